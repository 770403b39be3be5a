"""One partition of a backtest: decide's fold, and the executor's lane right behind it.

Decides when a record is worth a lane's step: once something is due there (what is due before it goes first, on the books before it), where it carries an intent, settles an instrument, or touches
a book that depth was taken from; any other record cannot cause anything. Must never skip a fold of the market, and
never step the lane beyond what it was asked for: `run` stops after the record, or the intent, that journaled enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from deploy.lab.backtest.collect import Collection
from deploy.lab.backtest.feed import Placed, Preparation
from deploy.lab.backtest.guard import LookAheadGuard
from deploy.lab.backtest.lanes import FollowingEngine, FollowingLane, WatchedMarket
from deploy.lab.backtest.options import Range
from executors.advice import Advice
from executors.venues.port import NEVER_NS
from processors.decide.fold import skip, step
from processors.decide.state import DecideState, Output
from schemas.records import BookDelta, InstrumentSettled, LogOpened, Record, TradeIntent, Watermark


class PartitionRun:
    """`events` were traded on, `folded` all that were read; `proved` is the last position that a live executor could have reached.

    `advice` holds what the live executor was advised, by intent, `lags_ns` how late it saw it.
    """

    def __init__(
        self,
        partition: int,
        records: Iterator[Placed],
        *,
        state: DecideState,
        market: WatchedMarket,
        prepare: Preparation,
        guard: LookAheadGuard,
        span: Range,
        advice: Mapping[str, Advice] | None = None,
        lags_ns: Mapping[str, int] | None = None,
    ) -> None:
        state.market = market
        self.partition = partition
        self.market = market
        self.guard = guard
        self.events = self.folded = 0
        self.position_first, self.position_last = NEVER_NS, -1
        self.proved = -1
        self.ended = False
        self.first_ns = 0
        self.log_id = ""
        self._records = records
        self._held: Placed | None = None  # taken from the records, but not its turn yet
        self._state = state
        self._prepare = prepare
        self._span = span
        self._advice = advice or {}
        self._lags_ns = lags_ns or {}
        self._trading = span.begin is None
        if self._trading:
            self.position_first = 0
        last = span.end_position(partition)
        self._position_end = NEVER_NS if last is None else last
        self._ns_end = NEVER_NS if span.end is None or span.end.ts_ns is None else span.end.ts_ns

    def run(
        self,
        engine: FollowingEngine,
        kept: Collection,
        *,
        until_ns: int = NEVER_NS,
        until_journaled: int = NEVER_NS,
        until_position: int = NEVER_NS,
    ) -> None:
        """Go on until the journal is so long, stream time is past a moment, a position is done, or the range ends."""
        lane, market, state, guard = engine.following[self.partition], self.market, self._state, self.guard
        # Looked up once: these are asked about every record.
        clock, prepare, claims, intends, consumed = (
            market.clock, self._prepare, guard.claims, lane.intents, lane.venue.consumed
        )  # fmt: skip
        records, self._held = self._records if self._held is None else chain((self._held,), self._records), None
        position_end, ns_end, trading = self._position_end, self._ns_end, self._trading
        if engine.journaled >= until_journaled or not self._intend(engine, kept, until_journaled):
            return
        wake_ns, due_ns = lane.wake_ns, lane.due_ns
        for position, given in records:
            if position >= position_end:
                break
            full = False
            if due_ns != NEVER_NS and trading and given is not None:
                full = self._pass_time(given, due_ns, engine, kept, until_journaled)
                wake_ns, due_ns = lane.wake_ns, lane.due_ns
            if full or position > until_position:
                self._held = position, given
                return
            if given is None:
                skip(state, position)
                self.folded += 1
                self.events += self._trading
                self.position_last = position
                continue
            is_delta = type(given) is BookDelta
            record = given if is_delta else prepare(given)
            outputs = step(state, position, record)
            now_ns = clock.now_ns
            if now_ns >= ns_end:
                break
            self.folded += 1
            self.position_last = position
            if record.ts_received_ns > now_ns or claims:  # type: ignore[attr-defined]  # each record of `market` has it
                guard.ahead(position, record)
            if not is_delta:
                self._listing(position, record, kept)
            if not trading:
                trading = self._begins(lane, position, outputs)
                if not trading:
                    if now_ns >= until_ns:
                        return
                    continue
            self.events += 1
            if outputs:
                self._outputs(position, outputs, lane, kept)
            settles = not is_delta and type(record) is InstrumentSettled
            if now_ns >= wake_ns or settles or intends or market.change.instrument_id in consumed:
                lane.follow_on(record)
                if engine.has_written:
                    kept.executed(engine.take_and_send(), guard, engine.state.terms.paper)
                    if engine.journaled >= until_journaled:
                        return
                if intends and not self._intend(engine, kept, until_journaled):
                    return
                wake_ns, due_ns = lane.wake_ns, lane.due_ns
            if now_ns >= until_ns:
                return
        self.ended = True

    def _pass_time(
        self, record: Record, due_ns: int, engine: FollowingEngine, kept: Collection, until_journaled: int
    ) -> bool:
        """Do what is due before a record that comes next, before decide folds it; whether the journal is full."""
        clock = self.market.clock
        # Only a later stamp takes time on, but for a claimed jump, which this very record may confirm.
        if record.ts_received_ns <= due_ns >= clock.now_ns and not clock.claims:  # type: ignore[attr-defined]  # each has it
            return False
        lane = engine.following[self.partition]
        reach_ns = min(self.market.reach_ns(record), self._ns_end)
        while (due_ns := lane.due_ns) < reach_ns:
            self.guard.passed_ns = due_ns
            lane.pass_time(due_ns)
            if engine.has_written:
                kept.executed(engine.take_and_send(), self.guard, engine.state.terms.paper)
                if engine.journaled >= until_journaled:
                    return True
        return False

    def _intend(self, engine: FollowingEngine, kept: Collection, until_journaled: int) -> bool:
        """Have the intents of the position reached looked at; whether there is room in the journal for more."""
        lane = engine.following[self.partition]
        while lane.intents:
            lane.take_intent()
            kept.executed(engine.take_and_send(), self.guard, engine.state.terms.paper)
            if engine.journaled >= until_journaled:
                return False
        return True

    def _begins(self, lane: FollowingLane, position: int, outputs: Sequence[Output]) -> bool:
        """Whether the range begins here."""
        now_ns = self.market.now_ns
        if not self._span.begins(self.partition, position, now_ns):
            return False
        self._trading = True
        self.position_first, self.first_ns = position, now_ns
        lane.begin_at(self._state.intents - sum(isinstance(output.record, TradeIntent) for output in outputs))
        return True

    def _listing(self, position: int, record: Record, kept: Collection) -> None:
        if isinstance(record, LogOpened):
            self.log_id = record.log_id
        elif isinstance(record, InstrumentSettled):
            self.guard.settled(position, record)
        if self._trading and not self.first_ns:
            self.first_ns = self.market.now_ns
        kept.listing(record, self.market.now_ns)

    def _outputs(self, position: int, outputs: Sequence[Output], lane: FollowingLane, kept: Collection) -> None:
        for _topic, _key, record in outputs:
            if isinstance(record, TradeIntent):
                self.guard.intent(position, record)
                kept.intents.append(record)
                lane.put_intent(
                    record,
                    record.number,
                    record.ts_ns,
                    advice=self._advice.get(record.intent_id),
                    lag_ns=self._lags_ns.get(record.intent_id, 0),
                )
                self.proved = position
            else:
                kept.signal(record)
                if isinstance(record, Watermark):
                    self.proved = position
