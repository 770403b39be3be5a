"""What the live run left beside the market: its journal, fills and intents, if the log has them.

Decides under which terms a logged run works, in which order lanes took turns, where an operator's word took effect, and how late the
live executor was. Must never hand a decision anything but what the live executor itself was told: settings, advice, what operators
said, and what its wall clock said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from deploy.lab.backtest.options import Range
from executors.advice import Advice
from executors.hedge.hedging import LAGGING
from executors.journal import INPUTS, WORDS, comparable
from executors.terms import Terms
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import (
    ExecutorConfigured,
    IntentSeen,
    LatencyObserved,
    LimitsChanged,
    OrderSent,
    PairApproved,
    PairRevoked,
    Record,
    TradeIntent,
    TradeUpdate,
    TradingStateChanged,
)
from schemas.topics import MAIN, partition_of

#: Where the main portfolio's journal stands.
MAIN_JOURNAL: Final = partition_of(MAIN)
#: Why the live executor declined what an executor in time would not have: the intent was too old, or its watchdog had stopped it.
LATE_REASONS: Final = frozenset({"late", LAGGING})


class Turn(NamedTuple):
    """A lane may go on until the journal holds so many records, but not beyond this position."""

    partition: int
    journaled: int
    position: int


class Word(NamedTuple):
    """Something that reached the executor from outside the market: a journal's record, or one of `control` with its offset."""

    ts_ns: int
    record: Record
    offset: int | None = None


@dataclass(slots=True)
class LiveRun:
    """The live run; everything is empty where the log does not have it.

    `words` are settings and operators' words in order; `score` is the journal's order, in which an order that left late is a word too.
    `measured_ns` are the tick_to_plan times. `intents` holds bytes by intent id, `lags_ns` by intent id how late it was seen, `late`
    the trades that were declined for it or of which an order left late or never.
    """

    terms: Terms | None = None
    journal: list[Record] = field(default_factory=list)
    fills: list[Record] = field(default_factory=list)
    intents: dict[str, bytes] = field(default_factory=dict)
    intent_places: dict[str, tuple[int, int]] = field(default_factory=dict)
    decided_positions: dict[int, int] = field(default_factory=dict)
    advice: dict[str, Advice] = field(default_factory=dict)
    lags_ns: dict[str, int] = field(default_factory=dict)
    late: dict[str, None] = field(default_factory=dict)
    measured_ns: list[int] = field(default_factory=list)
    score: list[Turn | Word] = field(default_factory=list)

    @property
    def words(self) -> list[Word]:
        """Settings and what operators said."""
        return [item for item in self.score if isinstance(item, Word) and not isinstance(item.record, OrderSent)]


def read_live(
    log: Log, codec: Codec, span: Range, base_offsets: Mapping[int, int], journal: int | None = MAIN_JOURNAL
) -> LiveRun:
    """Read what the live stages wrote; topics that the log does not have are empty.

    `journal` is the partition of the portfolio's journal and fills; None: it has none.
    """
    run = LiveRun()
    journaled = 0
    for record in () if journal is None else _records(log, codec, "orders", journal):
        if isinstance(record, LatencyObserved):
            if record.kind == "tick_to_plan":
                run.measured_ns.append(record.latency_ns)
            continue
        if isinstance(record, WORDS):
            if isinstance(record, ExecutorConfigured):
                run.terms = run.terms or Terms(execute=record.execute, paper=record.paper)
            run.score.append(Word(record.ts_ns, record))
            run.journal.append(record)
            journaled += 1
            continue
        if not _within(record, span):
            continue
        if isinstance(record, IntentSeen):
            _take_seen(run, record)
        elif isinstance(record, TradeUpdate) and record.state == "declined" and record.reason in LATE_REASONS:
            run.late[record.trade_id] = None
        journaled += 1
        if isinstance(record, OrderSent):
            run.late[record.trade_id] = None
            run.score.append(Word(record.ts_ns, record))
        elif isinstance(record, INPUTS):
            _take_turn(run, record, journaled)
        elif run.score and isinstance(run.score[-1], Turn):
            run.score[-1] = run.score[-1]._replace(journaled=journaled)
        run.journal.append(record)
    run.fills = [] if journal is None else list(_records(log, codec, "fills", journal))
    for partition, base_offset in base_offsets.items():
        run.decided_positions[partition] = log.decided_end(partition) - base_offset
        for value, record in _lines(log, codec, "intents", partition):
            if isinstance(record, TradeIntent):
                run.intents[record.intent_id] = value
                run.intent_places[record.intent_id] = (record.partition, record.position)
    return run


def _take_seen(run: LiveRun, record: IntentSeen) -> None:
    intent_id = record.intent.intent_id
    if record.leader_advised is not None:
        run.advice[intent_id] = Advice(record.leader_advised, record.advice_id or "")
    if record.lag_ns:
        run.lags_ns[intent_id] = record.lag_ns


def read_words(log: Log, codec: Codec) -> list[Word]:
    """What operators said on `control`, for a log without a journal; their own clocks say when."""
    return [
        Word(record.ts_ns, record, number)
        for number, record in enumerate(_records(log, codec, "control", 0))
        if isinstance(record, (TradingStateChanged, LimitsChanged, PairApproved, PairRevoked))
    ]


def _take_turn(run: LiveRun, record: Record, journaled: int) -> None:
    """Lengthen the turn under way, or begin one of another lane."""
    last = run.score[-1] if run.score else None
    partition: int = getattr(record, "partition", 0)
    position: int = getattr(record, "position", 0)
    if isinstance(last, Turn) and last.partition == partition:
        run.score[-1] = Turn(partition, journaled, position)
    else:
        run.score.append(Turn(partition, journaled, position))


def _within(record: Record, span: Range) -> bool:
    """Whether the record of a journal lies in the range; those that name no place are the caller's to judge."""
    partition: int = getattr(record, "partition", 0)
    position: int = getattr(record, "position", 0)
    ts_ns: int = getattr(record, "ts_ns", 0)
    return span.begins(partition, position, ts_ns) and not span.ends(partition, position, ts_ns)


def _records(log: Log, codec: Codec, topic: str, partition: int) -> Iterator[Record]:
    for _, record in _lines(log, codec, topic, partition):
        yield record


def _lines(log: Log, codec: Codec, topic: str, partition: int) -> Iterator[tuple[bytes, Record]]:
    try:
        low, high = log.extent(topic, partition)
        if low >= high:
            return
        for line in log.read(topic, partition):
            try:
                yield line.value, codec.decode(line.value)
            except SchemaError:
                continue
    except LogError:
        return  # a log without that topic: nothing to compare with


def comparable_records(records: list[Record]) -> list[Record]:
    """Records of a journal without what the wall clock put into them."""
    return [masked for record in records if (masked := comparable(record)) is not None]
