"""What the cross-venue strategy remembers of a partition: quotes, counters and cool-downs of pairs.

Decides nothing. What is marked as a memo is derived from the market and left out of images. The order of every dict here is the order
of events, never of hashes, because outputs follow it.
"""

from typing import Literal, TypeAlias

from crossbook.domain.fees import listed_in_force
from crossbook.domain.identities import LEGS_CHANGED
from crossbook.domain.trading_hours import FOREVER
from processors.strategies.base import MarketView
from processors.strategies.cross_venue.settings import CrossVenueSettings
from processors.strategies.edges import NOTHING, PACKAGES, Evaluation, Refused, Terms, make_terms
from schemas.records import InstrumentListed, Package, PairListed

QuoteStatus: TypeAlias = Literal["none", "open", "suspended"]


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


#: A listed pair, its state and the packages of its relation.
Active: TypeAlias = tuple[PairListed, PairState, tuple[PackageState, ...]]


class CrossVenueState:
    """State of the strategy in one partition.

    `statistics_unwritten` holds the packages whose counters changed since they were written, `quotes` those with a quote that is open
    or suspended.
    """

    __slots__ = ("_active", "_pairs_of", "pairs", "quotes", "settings", "statistics_unwritten")

    def __init__(self) -> None:
        self.settings: CrossVenueSettings
        self.pairs: dict[str, PairState] = {}
        self.statistics_unwritten: dict[tuple[str, Package], None] = {}
        self.quotes: dict[tuple[str, Package], None] = {}
        self._pairs_of: dict[str, list[str]] | None = None  # memo
        self._active: dict[str, Active] = {}  # memo

    def pairs_of(self, view: MarketView, instrument_id: str) -> list[str]:
        """Listed pairs with this instrument as a leg, in the order they were listed."""
        index = self._pairs_of
        if index is None:
            index = {}
            for pair_id, pair in view.pairs.items():
                index.setdefault(pair.instrument_a, []).append(pair_id)
                if pair.instrument_b != pair.instrument_a:
                    index.setdefault(pair.instrument_b, []).append(pair_id)
            self._pairs_of = index
        return index.get(instrument_id, [])

    def active(self, view: MarketView, pair_id: str) -> Active:
        """A pair that is listed, or was while the strategy ran."""
        found = self._active.get(pair_id)
        if found is None:
            pair_state = self.pairs.get(pair_id)
            if pair_state is None:
                pair_state = self.pairs[pair_id] = PairState(view.pairs[pair_id])
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


def make_package_terms(view: MarketView, pair: PairListed, package: PackageState) -> Terms | Refused:
    """Price the package anew, under the fee schedules in force; they hold until the next announced change of either."""
    now = view.now_ns
    ends: list[int] = []
    legs: list[InstrumentListed | None] = []
    for instrument_id in (pair.instrument_a, pair.instrument_b):
        listed = view.instruments.get(instrument_id)
        if listed is not None:
            listed, until_ns = listed_in_force(listed, now)
            ends += [] if until_ns is None else [until_ns]
        legs.append(listed)
    package.terms = (
        Refused(LEGS_CHANGED)
        if pair.pair_id in view.identities.pairs
        else make_terms(pair, package.package, legs[0], legs[1], view.friction)
    )
    package.terms_until_ns = min(ends, default=FOREVER)
    return package.terms
