"""One partition of a backtest: decide's fold, and the executor's lane right behind it.

Decides when a record is worth a lane's step: once something is due there, where it carries an intent, settles an instrument, or touches
a book that depth was taken from; any other record cannot cause anything. Must never skip a fold of the market, and
never step the lane beyond what it was asked for: `run` stops after the record, or the intent, that journaled enough.
"""

from collections.abc import Iterator, Mapping, Sequence

from deploy.backtest.collect import Collection
from deploy.backtest.feed import Placed, Preparation
from deploy.backtest.guard import LookAheadGuard
from deploy.backtest.lanes import NEVER_NS, FollowingEngine, FollowingLane, WatchedMarket
from deploy.backtest.options import Range
from executors.advice import Advice
from processors.decide_fold import skip, step
from processors.decide_state import DecideState, Output
from schemas.records import BookDelta, InstrumentSettled, LogOpened, Record, TradeIntent, Watermark


class PartitionRun:
    """`events` were traded on, `folded` all that were read; `proved` is the last position that a live executor could have reached.

    `advice` holds what the live executor was advised, by intent.
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
        self._state = state
        self._prepare = prepare
        self._span = span
        self._advice = advice or {}
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
            market.clock, self._prepare, guard.claims, lane.intends, lane.venue.consumed
        )  # fmt: skip
        position_end, ns_end, trading = self._position_end, self._ns_end, self._trading
        if engine.journaled >= until_journaled or not self._intend(engine, kept, until_journaled):
            return
        wake_ns = lane.wake_ns
        for position, given in self._records:
            if position >= position_end:
                break
            floor_ns = clock.now_ns
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
                lane.follow(record, floor_ns)
                if engine.has_written:
                    kept.executed(engine.take(), guard, engine.state.terms.paper)
                    if engine.journaled >= until_journaled:
                        return
                if intends and not self._intend(engine, kept, until_journaled):
                    return
                wake_ns = lane.wake_ns
            if now_ns >= until_ns or position >= until_position:
                return
        self.ended = True

    def _intend(self, engine: FollowingEngine, kept: Collection, until_journaled: int) -> bool:
        """Have the intents of the position reached looked at; whether there is room in the journal for more."""
        lane = engine.following[self.partition]
        while lane.intends:
            lane.take_intent()
            kept.executed(engine.take(), self.guard, engine.state.terms.paper)
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
                lane.put_intent(record, record.number, record.ts_ns, advice=self._advice.get(record.intent_id))
                self.proved = position
            else:
                kept.signal(record, self.guard)
                if isinstance(record, Watermark):
                    self.proved = position
