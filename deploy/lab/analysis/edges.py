"""Edges: how long each lived, what became of it, and where the money of the ones that were not traded would have gone.

Decides what an episode is: a package quoted with net > 0, from `opened` to `closed`, to a suspension, or to the end of the range.
Must never count what was not quoted as an edge: quotes exist only while net > 0, and at the moment one ends.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from deploy.lab.analysis.trades import UNSEEN, TradeRow
from deploy.lab.outcome.outcome import Outcome
from schemas.records import EdgeUpdate, TradeIntent

#: Where the settings do not say: `decide.cooldown_ms` as declared.
COOLDOWN_DEFAULT_MS = 2_000

Ending = Literal["closed", "suspended", "range_end"]
Fate = Literal["traded", "declined", "below_threshold", "no_intent"]


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One life of an edge. `best` is its best quote by net a contract; `ts_ended_ns - ts_opened_ns` its life in stream time."""

    pair_id: str
    package: str
    ts_opened_ns: int
    ts_ended_ns: int
    ending: Ending
    reason: str
    quotes: int
    fate: Fate
    why: str
    quantity_micros: int
    gross_micros: int
    fee_a_micros: int
    fee_b_micros: int
    friction_micros: int
    lockup_micros: int
    net_micros: int
    net_per_contract_micros: int
    distance_micros: int

    @property
    def life_ns(self) -> int:
        """From opening to end, stream time."""
        return self.ts_ended_ns - self.ts_opened_ns


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over some quotes, micros: gross less the fees of each venue, friction and lock-up is net.

    `threshold_micros` is the smallest net a contract that makes an intent; None where the quotes do not agree on it.
    """

    name: str
    count: int
    quantity_micros: int
    gross_micros: int
    fees_micros: dict[str, int]
    friction_micros: int
    lockup_micros: int
    net_micros: int
    threshold_micros: int | None


class PackageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of decide for one package; `net_best_micros` a contract, None before the first gross > 0."""

    pair_id: str
    package: str
    evaluations: int
    gross_positive: int
    net_positive: int
    episodes: int
    at_threshold: int
    net_best_micros: int | None


class _Open:
    __slots__ = ("best", "count", "first")

    def __init__(self, quote: EdgeUpdate) -> None:
        self.first = self.best = quote
        self.count = 1

    def add(self, quote: EdgeUpdate) -> None:
        self.count += 1
        if quote.net_per_contract_micros > self.best.net_per_contract_micros:
            self.best = quote


def episodes(outcome: Outcome, trades: Iterable[TradeRow]) -> tuple[Episode, ...]:
    """Every episode in order of its end; what decide said and what the executor made of it."""
    by_package: dict[tuple[str, str], list[TradeRow]] = defaultdict(list)
    for trade in sorted(trades, key=lambda trade: trade.ts_intent_ns):
        by_package[trade.pair_id, trade.package].append(trade)
    times = {key: [trade.ts_intent_ns for trade in group] for key, group in by_package.items()}
    found: list[Episode] = []
    live: dict[tuple[str, str], _Open] = {}

    def end(key: tuple[str, str], ts_ns: int, ending: Ending, reason: str) -> None:
        state = live.pop(key)
        known = times.get(key, [])
        own = by_package.get(key, [])[bisect_left(known, state.first.ts_ns) : bisect_right(known, ts_ns)]
        found.append(_episode(state, ts_ns, ending, reason, own))

    key: tuple[str, str]
    for quote in outcome.quotes:
        key = (quote.pair_id, quote.package)
        match quote.state:
            case "opened" | "changed":
                if key in live:
                    live[key].add(quote)
                else:
                    live[key] = _Open(quote)
            case "closed" | "suspended":
                if key in live:
                    end(key, quote.ts_ns, quote.state, quote.reason)
    for key in list(live):
        end(key, max(outcome.ts_last_ns, live[key].best.ts_ns), "range_end", "")
    return tuple(found)


def _episode(state: _Open, ts_ns: int, ending: Ending, reason: str, own: Sequence[TradeRow]) -> Episode:
    best = state.best
    fate: Fate
    if any(trade.state not in {"declined", UNSEEN} for trade in own):
        fate, why = "traded", ""
    elif own:
        fate, why = "declined", own[0].reason or own[0].state
    elif best.distance_micros < 0:
        fate, why = "below_threshold", ""
    else:
        fate, why = "no_intent", "cool-down, a window around close or game start, or smaller than a venue's minimum"
    return Episode(
        pair_id=best.pair_id,
        package=best.package,
        ts_opened_ns=state.first.ts_ns,
        ts_ended_ns=ts_ns,
        ending=ending,
        reason=reason,
        quotes=state.count,
        fate=fate,
        why=why,
        quantity_micros=best.quantity_micros,
        gross_micros=best.gross_micros,
        fee_a_micros=best.fee_a_micros,
        fee_b_micros=best.fee_b_micros,
        friction_micros=best.friction_micros,
        lockup_micros=best.lockup_micros,
        net_micros=best.net_micros,
        net_per_contract_micros=best.net_per_contract_micros,
        distance_micros=best.distance_micros,
    )


def waterfalls(outcome: Outcome, found: Sequence[Episode]) -> tuple[Waterfall, ...]:
    """Untraded episodes at their best, every package at its best quote, and the intents: those that hold anything."""
    best: dict[tuple[str, str], EdgeUpdate] = {}
    for quote in outcome.quotes:
        key = (quote.pair_id, quote.package)
        if quote.quantity_micros > 0 and (
            key not in best or quote.net_per_contract_micros > best[key].net_per_contract_micros
        ):
            best[key] = quote
    untraded = [episode for episode in found if episode.fate != "traded"]
    made = (
        _waterfall(outcome, "edges that were not traded, each at its best", untraded),
        _waterfall(outcome, "every package at its best quote", list(best.values())),
        _waterfall_of_intents(outcome.intents),
    )
    return tuple(one for one in made if one.count)


def _waterfall(outcome: Outcome, name: str, quotes: Sequence[EdgeUpdate] | Sequence[Episode]) -> Waterfall:
    fees: dict[str, int] = defaultdict(int)
    for quote in quotes:
        venue_a, venue_b = venues_of(outcome, quote.pair_id)
        fees[venue_a] += quote.fee_a_micros
        fees[venue_b] += quote.fee_b_micros
    thresholds = {quote.net_per_contract_micros - quote.distance_micros for quote in quotes}
    return Waterfall(
        name=name,
        count=len(quotes),
        quantity_micros=sum(quote.quantity_micros for quote in quotes),
        gross_micros=sum(quote.gross_micros for quote in quotes),
        fees_micros=dict(fees),
        friction_micros=sum(quote.friction_micros for quote in quotes),
        lockup_micros=sum(quote.lockup_micros for quote in quotes),
        net_micros=sum(quote.net_micros for quote in quotes),
        threshold_micros=thresholds.pop() if len(thresholds) == 1 else None,
    )


def _waterfall_of_intents(intents: Sequence[TradeIntent]) -> Waterfall:
    fees: dict[str, int] = defaultdict(int)
    for intent in intents:
        for leg in intent.legs:
            fees[leg.venue] += leg.fee_micros
    return Waterfall(
        name="intents, as decide saw them",
        count=len(intents),
        quantity_micros=sum(intent.quantity_micros for intent in intents),
        gross_micros=sum(intent.gross_micros for intent in intents),
        fees_micros=dict(fees),
        friction_micros=sum(intent.friction_micros for intent in intents),
        lockup_micros=sum(intent.lockup_micros for intent in intents),
        net_micros=sum(intent.net_micros for intent in intents),
        threshold_micros=None,
    )


def venues_of(outcome: Outcome, pair_id: str) -> tuple[str, str]:
    """Venues of a pair's legs, or the legs' names where the pair was never listed in the range."""
    pair = outcome.pairs.get(pair_id)
    if pair is None:
        return "leg a", "leg b"
    return _venue(outcome, pair.instrument_a), _venue(outcome, pair.instrument_b)


def _venue(outcome: Outcome, instrument_id: str) -> str:
    listed = outcome.instruments.get(instrument_id)
    return instrument_id.partition(":")[0] if listed is None else listed.venue


def package_counts(outcome: Outcome) -> tuple[PackageCounts, ...]:
    """Decide's counters of every package, the best first."""
    latest = {(one.pair_id, one.package, one.partition): one for one in outcome.statistics}
    merged: dict[tuple[str, str], PackageCounts] = {}
    for (pair_id, package, _), one in latest.items():
        before = merged.get((pair_id, package))
        known = (one.net_best_micros, before.net_best_micros if before else None)
        bests = [best for best in known if best is not None]
        merged[pair_id, package] = PackageCounts(
            pair_id=pair_id,
            package=package,
            evaluations=one.evaluations + (before.evaluations if before else 0),
            gross_positive=one.gross_positive + (before.gross_positive if before else 0),
            net_positive=one.net_positive + (before.net_positive if before else 0),
            episodes=one.episodes + (before.episodes if before else 0),
            at_threshold=one.at_threshold + (before.at_threshold if before else 0),
            net_best_micros=max(bests) if bests else None,
        )

    def order(one: PackageCounts) -> tuple[bool, int, str, str]:
        best = one.net_best_micros
        return best is None, -(best or 0), one.pair_id, one.package

    return tuple(sorted(merged.values(), key=order))


def fates(found: Iterable[Episode]) -> Mapping[str, int]:
    """How many episodes ended in each fate."""
    counts: dict[str, int] = {"traded": 0, "declined": 0, "below_threshold": 0, "no_intent": 0}
    for episode in found:
        counts[episode.fate] += 1
    return counts


def cooldown_ns(settings: Mapping[str, object]) -> int:
    """Cool-down of a pair in force, ns."""
    value = settings.get("decide.cooldown_ms", COOLDOWN_DEFAULT_MS)
    return int(value) * 1_000_000 if isinstance(value, int) else COOLDOWN_DEFAULT_MS * 1_000_000


def clusters(trades: Iterable[TradeRow], found: Iterable[Episode], settings: Mapping[str, object]) -> dict[str, int]:
    """Number of the bet that each executed trade belongs to.

    A trade of the same pair that begins in the same episode, before the last one is done, or within the cool-down after it
    began, is the same bet once more: its result says nothing new.
    """
    ends_of: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for episode in found:
        ends_of[episode.pair_id, episode.package].append((episode.ts_opened_ns, episode.ts_ended_ns))
    for ends in ends_of.values():
        ends.sort()
    cooldown = cooldown_ns(settings)
    numbers: dict[str, int] = {}
    last: dict[str, tuple[int, int]] = {}  # pair: (its bet, until when another trade belongs to it)
    count = 0
    executed = [trade for trade in trades if trade.filled]
    for trade in sorted(executed, key=lambda trade: (trade.ts_intent_ns, trade.trade_id)):
        ts_ns = trade.ts_intent_ns
        bet, until = last.get(trade.pair_id, (-1, -1))
        if bet < 0 or ts_ns > until:
            bet, until = count, -1
            count += 1
        done = trade.ts_hedged_ns or trade.ts_ended_ns or 0
        # Episodes of one package do not overlap, so only the last one that began can still be going on.
        ends = ends_of[trade.pair_id, trade.package]
        begun = bisect_right(ends, ts_ns, key=lambda span: span[0])
        ended = ends[begun - 1][1] if begun else 0
        last[trade.pair_id] = (bet, max(until, ts_ns + cooldown, done, ended))
        numbers[trade.trade_id] = bet
    return numbers
