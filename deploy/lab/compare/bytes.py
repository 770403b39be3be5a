"""Holds what a backtest wrote against what the live run wrote.

Decides which records belong together: intents by id (or, where positions are simulated, by pair, package and time), journal and
fills trade by trade, in their order. Must never leave out a record that the live run wrote in the range. Pure.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from deploy.lab.outcome.outcome import Comparison
from executors.journal import comparable, key_of
from executors.terms import NS_PER_S
from schemas.codec import Codec
from schemas.records import Record, TradeIntent

#: Two intents on the same package this close to each other are the same opportunity.
SAME_NS: Final = 2 * NS_PER_S


class _Tally:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.equal = self.different = self.missing = self.extra = self.late = 0
        self.first = ""

    def note(self, text: str) -> None:
        self.first = self.first or text

    def result(self) -> Comparison:
        return Comparison(self.topic, self.equal, self.different, self.missing, self.extra, self.first, self.late)


def compare_intents(live: Mapping[str, bytes], here: Sequence[TradeIntent], codec: Codec) -> Comparison:
    """Byte for byte, by intent id."""
    tally = _Tally("intents")
    found: set[str] = set()
    for intent in here:
        found.add(intent.intent_id)
        value = live.get(intent.intent_id)
        if value is None:
            tally.extra += 1
            tally.note(f"only here: {intent.intent_id} ({intent.pair_id} {intent.package})")
        elif value == codec.encode(intent):
            tally.equal += 1
        else:
            tally.different += 1
            tally.note(_apart(codec.decode(value), intent))
    for name in live:
        if name not in found:
            tally.missing += 1
            tally.note(f"only live: {name}")
    return tally.result()


def compare_opportunities(live: Iterable[TradeIntent], here: Iterable[TradeIntent]) -> Comparison:
    """By pair, package and time: what simulated positions changed. Equal means the same quantity at the same limits."""
    tally = _Tally("intents")
    waiting: dict[tuple[str, str], list[TradeIntent]] = {}
    for intent in here:
        waiting.setdefault((intent.pair_id, intent.package), []).append(intent)
    for intent in live:
        candidates = waiting.get((intent.pair_id, intent.package), [])
        match = min(candidates, key=lambda one: abs(one.ts_ns - intent.ts_ns), default=None)
        if match is None or abs(match.ts_ns - intent.ts_ns) > SAME_NS:
            tally.missing += 1
            tally.note(f"only live: {intent.intent_id} ({intent.pair_id} {intent.package})")
            continue
        candidates.remove(match)
        if _wanted(match) == _wanted(intent):
            tally.equal += 1
        else:
            tally.different += 1
            tally.note(f"{intent.intent_id}: live {_wanted(intent)}, here {_wanted(match)}")
    tally.extra = sum(map(len, waiting.values()))
    return tally.result()


def _wanted(intent: TradeIntent) -> tuple[int, ...]:
    return intent.quantity_micros, *(leg.price_limit_micros for leg in intent.legs)


def compare_executions(
    topic: str, live: Sequence[Record], here: Sequence[Record], late: Container[str] = ()
) -> Comparison:
    """Trade by trade, in order, without what the wall clock wrote; records of no trade are one sequence of their own.

    Trades in `late` are counted and set apart: the live executor was late for them, so that they differ for a known reason.
    """
    tally = _Tally(topic)
    theirs, ours = _by_trade(live), _by_trade(here)
    for trade_id in dict.fromkeys((*theirs, *ours)):
        one, other = theirs.get(trade_id, []), ours.get(trade_id, [])
        if trade_id is not None and trade_id in late:
            tally.late += one != other
            continue
        for before, after in zip(one, other, strict=False):
            if before == after:
                tally.equal += 1
            else:
                tally.different += 1
                tally.note(_apart(before, after))
        surplus = len(other) - len(one)
        if surplus > 0:
            tally.extra += surplus
            tally.note(f"only here: {other[len(one)]}")
        elif surplus:
            tally.missing -= surplus
            tally.note(f"only live: {one[len(other)]}")
    return tally.result()


def _by_trade(records: Iterable[Record]) -> dict[str | None, list[Record]]:
    trades: dict[str | None, list[Record]] = {}
    for record in records:
        masked = comparable(record)
        if masked is not None:
            trades.setdefault(key_of(record), []).append(masked)
    return trades


class _Field(NamedTuple):
    name: str
    live: object
    here: object


def _apart(live: Record, here: Record) -> str:
    """Which fields differ, in one line."""
    if type(live) is not type(here):
        return f"{type(live).__name__} live, {type(here).__name__} here: {live} / {here}"
    names = (name for name in type(live).__struct_fields__ if getattr(live, name) != getattr(here, name))
    fields = [_Field(name, getattr(live, name), getattr(here, name)) for name in names]
    of = getattr(live, "trade_id", getattr(live, "intent_id", ""))
    return f"{type(live).__name__} {of}: " + ", ".join(
        f"{one.name} {one.live!r} live, {one.here!r} here" for one in fields
    )
