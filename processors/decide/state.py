"""What decide remembers of a partition beside the market itself: quotes, counters, tops and watermarks already written.

Decides nothing. `market`, the counters and the written marks are the state; what is marked as a memo is derived from them and
left out of checkpoints. The order of every dict here is the order of events, never of hashes, because outputs follow it.
"""

from typing import Literal, NamedTuple, TypeAlias

from crossbook.domain.fees import listed_in_force
from crossbook.domain.identities import LEGS_CHANGED
from crossbook.domain.trading_hours import FOREVER
from crossbook.market.market_state import MarketState
from processors.strategies.edges import NOTHING, PACKAGES, Evaluation, Refused, Terms, make_terms
from schemas.records import InstrumentListed, Package, PairListed, Record

QuoteStatus: TypeAlias = Literal["none", "open", "suspended"]


class Output(NamedTuple):
    """A record that decide writes: the topic's name without prefix, the key, the record."""

    topic: str
    key: str | None
    record: Record


class PackageState:
    """Quote and counters of one package of a pair; the counters run since the log began.

    `quoted` is the evaluation of the last quote, `refusal` the reason last quoted for not pricing it at all.
    """

    __slots__ = (
        "at_threshold",
        "episodes",
        "episodes_at_threshold",
        "evaluations",
        "gross_positive",
        "in_episode",
        "in_episode_at_threshold",
        "net_best_micros",
        "net_positive",
        "package",
        "pair_id",
        "quoted",
        "refusal",
        "status",
        "terms",
        "terms_until_ns",
    )

    def __init__(self, pair_id: str, package: Package) -> None:
        self.pair_id = pair_id
        self.package: Package = package
        self.status: QuoteStatus = "none"
        self.quoted: Evaluation = NOTHING
        self.refusal = ""
        self.evaluations = 0
        self.gross_positive = 0
        self.net_positive = 0
        self.episodes = 0
        self.at_threshold = 0
        self.episodes_at_threshold = 0
        self.in_episode = False
        self.in_episode_at_threshold = False
        self.net_best_micros: int | None = None
        self.terms: Terms | Refused | None = None  # memo
        self.terms_until_ns = 0  # memo: when an announced fee change ends them


class PairState:
    """A pair as last listed, the packages it has had, and when it was last intended (stream time; None: never)."""

    __slots__ = ("last_intent_ns", "listing", "packages")

    def __init__(self, listing: PairListed) -> None:
        self.listing = listing
        self.packages: dict[Package, PackageState] = {}
        self.last_intent_ns: int | None = None


class DecideState:
    """State of the fold of one partition, under the code that runs.

    `groups` holds the last known group of an instrument, `top_written_ns` when its top was last written, `tops_unwritten` those
    that changed since; `statistics_unwritten` the packages whose counters did; `quotes` the packages with a quote that is open
    or suspended; `references_fresh` whether a reference was fresh when its top was last written.
    """

    __slots__ = (
        "_active",
        "_pairs_of",
        "code_digest",
        "groups",
        "intents",
        "market",
        "pairs",
        "quotes",
        "references_fresh",
        "statistics_unwritten",
        "top_written_ns",
        "tops_unwritten",
        "watermark_due_ns",
    )

    def __init__(self, code_digest: str) -> None:
        self.code_digest = code_digest
        self.market = MarketState()
        self.pairs: dict[str, PairState] = {}
        self.groups: dict[str, str] = {}
        self.top_written_ns: dict[str, int] = {}
        self.tops_unwritten: dict[str, None] = {}
        self.statistics_unwritten: dict[tuple[str, Package], None] = {}
        self.quotes: dict[tuple[str, Package], None] = {}
        self.references_fresh: dict[str, bool] = {}
        self.watermark_due_ns = 0
        self.intents = 0
        self._pairs_of: dict[str, list[str]] | None = None  # memo
        self._active: dict[str, tuple[PairListed, PairState, tuple[PackageState, ...]]] = {}  # memo

    def pairs_of(self, instrument_id: str) -> list[str]:
        """Listed pairs with this instrument as a leg, in the order they were listed."""
        index = self._pairs_of
        if index is None:
            index = {}
            for pair_id, pair in self.market.pairs.items():
                index.setdefault(pair.instrument_a, []).append(pair_id)
                if pair.instrument_b != pair.instrument_a:
                    index.setdefault(pair.instrument_b, []).append(pair_id)
            self._pairs_of = index
        return index.get(instrument_id, [])

    def active(self, pair_id: str) -> tuple[PairListed, PairState, tuple[PackageState, ...]]:
        """A listed pair, its state and the packages of its relation."""
        found = self._active.get(pair_id)
        if found is None:
            pair_state = self.pairs[pair_id]
            pair = pair_state.listing
            for package in PACKAGES[pair.relation]:
                if package not in pair_state.packages:
                    pair_state.packages[package] = PackageState(pair_id, package)
            found = (pair, pair_state, tuple(pair_state.packages[package] for package in PACKAGES[pair.relation]))
            self._active[pair_id] = found
        return found

    def package(self, key: tuple[str, Package]) -> PackageState:
        """A package that was evaluated or quoted before."""
        return self.pairs[key[0]].packages[key[1]]

    def list_pair(self, listing: PairListed) -> None:
        """Take a new listing of a pair; its counters and cool-down go on."""
        pair_state = self.pairs.get(listing.pair_id)
        if pair_state is None:
            self.pairs[listing.pair_id] = PairState(listing)
        else:
            pair_state.listing = listing
        self.forget_pairs()
        self.forget_terms(listing.pair_id)

    def forget_pairs(self) -> None:
        """Drop the memos of which pairs are listed."""
        self._pairs_of = None
        self._active.clear()

    def forget_terms(self, pair_id: str) -> None:
        """Drop the memo of a pair's terms."""
        pair_state = self.pairs.get(pair_id)
        if pair_state is not None:
            for package in pair_state.packages.values():
                package.terms = None


def make_package_terms(market: MarketState, pair: PairListed, package: PackageState) -> Terms | Refused:
    """Price the package anew, under the fee schedules in force; they hold until the next announced change of either."""
    now = market.clock.now_ns
    ends: list[int] = []
    legs: list[InstrumentListed | None] = []
    for instrument_id in (pair.instrument_a, pair.instrument_b):
        listed = market.instruments.get(instrument_id)
        if listed is not None:
            listed, until_ns = listed_in_force(listed, now)
            ends += [] if until_ns is None else [until_ns]
        legs.append(listed)
    package.terms = (
        Refused(LEGS_CHANGED)
        if pair.pair_id in market.identities.pairs
        else make_terms(pair, package.package, legs[0], legs[1], market.friction)
    )
    package.terms_until_ns = min(ends, default=FOREVER)
    return package.terms
