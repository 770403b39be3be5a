"""The executor without its edges: lanes, state and journal, fed with records and drained of records.

Decides the order in which lanes are stepped and what a batch of journal records is. The same engine runs live, in a test, in a
replay and in a backtest; only who feeds it and who writes its records differs. Must never read a clock or a topic: wall-clock
stamps are handed in. `LatencyObserved` and `IntentSeen.ts_seen_ns` hold one and decide nothing; where the log's own stamps are a wall
clock's, `IntentSeen.lag_ns` declines what is seen too late, and `OrderSent` says when an order really left.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from crossbook.domain.limits import refusal_of_limit
from crossbook.domain.names import VENUES
from crossbook.market.market_state import MarketState
from executors.errors import JournalError
from executors.fold import step
from executors.journal import INPUTS, JOURNAL_OUTPUTS, JournalInput
from executors.lane import Lane
from executors.machines import MACHINES
from executors.market_lane import Journaled
from executors.orders.machine import MachineTable
from executors.state import ExecutorState
from executors.terms import Terms
from executors.venues.paper import PAPER
from executors.venues.port import NEVER_NS, Command, GatewayTable, open_gateways
from schemas.records import (
    CancelRequested,
    ControlApplied,
    ExecutorConfigured,
    HaltedByFile,
    LagWatched,
    LatencyKind,
    LatencyObserved,
    LimitsChanged,
    OrderReport,
    OrderRequested,
    OrderSent,
    PairApproved,
    PairRevoked,
    Record,
    Scope,
    TradingState,
    TradingStateChanged,
)

#: Steps of one `advance`, so that the shell looks at its signals and files now and then.
STEPS_MAX: Final = 5_000


class Batch(NamedTuple):
    """`records` of `orders` and `fills` in journal order, and the commands that follow from them."""

    records: list[Record]
    commands: list[Command]


class Engine:
    """Lanes of all partitions over one state. `gateways`: venue → who makes its gateway; by default all are on paper.

    `machines`: kind of intent → its machine, for a state that begins here; one that is given has its own.
    """

    def __init__(
        self,
        partitions: Iterable[int],
        state: ExecutorState | None = None,
        *,
        advice_age_max_ns: int = 0,
        gateways: GatewayTable = PAPER,
        machines: MachineTable = MACHINES,
    ) -> None:
        self.state = ExecutorState(machines) if state is None else state
        self._gateways = gateways
        self._advice_age_max_ns = advice_age_max_ns
        self.lanes: dict[int, Lane] = {number: self._open_lane(number, MarketState()) for number in partitions}
        self._written: list[Record] = []
        self._commands: list[Command] = []
        self._unsent = 0  # commands that were taken and not sent yet
        self._observed: deque[LatencyObserved | OrderSent] = deque()
        self._urgent = False
        self._expected_ns: dict[int, int] = {}  # when a venue could have the first order that is not sent yet, a lane

    def _open_lane(self, number: int, market: MarketState) -> Lane:
        gateway = open_gateways(self._gateways, market)
        age_ns = self._advice_age_max_ns
        return Lane(number, self.state, self.journal, market, gateway, advice_age_max_ns=age_ns)

    @property
    def now_ns(self) -> int:
        """Latest stream time of any lane, Unix ns."""
        return max((lane.market.now_ns for lane in self.lanes.values()), default=0)

    def configure(self, terms: Terms, *, portfolio: str, code_digest: str, strategies: tuple[str, ...] = ()) -> None:
        """Journal the settings and the code that the executor works with from here on, unless they are those in force."""
        configured = ExecutorConfigured(
            sequence=-1,
            ts_ns=self.now_ns,
            portfolio=portfolio,
            code_digest=code_digest,
            execute=terms.execute,
            paper=terms.paper,
            strategies=strategies,
        )
        known = self.state.configured
        if known is None or configured != msgspec.structs.replace(
            known, sequence=-1, ts_ns=configured.ts_ns, life=configured.life
        ):
            self.journal(configured)

    def control(self, record: Record, offset: int) -> str:
        """Apply an operator's word and journal the acknowledgement; why it cannot be applied, or empty.

        Words that do not concern the executor, and words from before, are passed over.
        """
        if offset < self.state.controls_applied:
            return ""
        match record:
            case TradingStateChanged():
                if record.scope == "venue" and record.scope_value not in VENUES:
                    return f"no venue is called {record.scope_value!r}; known are {', '.join(VENUES)}"
                self._acknowledge(
                    record, offset, scope=record.scope, scope_value=record.scope_value, state=record.state
                )
            case PairRevoked():
                self._acknowledge(record, offset, scope="pair", scope_value=record.pair_id, state="reduce_only")
            case PairApproved():
                if record.pair_id in self.state.standing.halts.revoked:
                    self._acknowledge(record, offset, scope="pair", scope_value=record.pair_id, state="running")
            case LimitsChanged():
                refusal = refusal_of_limit(record.name, record.value_micros)
                if refusal:
                    return refusal
                self._acknowledge(record, offset, name=record.name, value=record.value_micros)
            case _:
                return ""
        return ""

    def kill(self, file: str) -> None:
        """Halt everything without Kafka: nothing is sent after this is journaled. Once, until the operator resumes.

        `file`: name of the file that says so.
        """
        if not self.state.standing.halts.killed:
            self._journal_now(HaltedByFile(sequence=-1, ts_ns=self.now_ns, file=file))

    def watch_lag(self, lag_ns: int, limit_ns: int) -> bool:
        """Let no trade open while the lag is over its limit, until it is back at half of it; whether that changed just now.

        Open trades go on. A limit of 0 means that nobody watches.
        """
        lagging = self.state.lagging
        if lagging == (lag_ns > (limit_ns // 2 if lagging else limit_ns) and limit_ns > 0):
            return False
        self._journal_now(
            LagWatched(sequence=-1, ts_ns=self.now_ns, lagging=not lagging, lag_ns=lag_ns, limit_ns=limit_ns)
        )
        return True

    def _acknowledge(
        self,
        record: TradingStateChanged | PairRevoked | PairApproved | LimitsChanged,
        offset: int,
        *,
        scope: Scope = "all",
        scope_value: str = "",
        state: TradingState | None = None,
        name: str = "",
        value: int = 0,
    ) -> None:
        self._journal_now(
            ControlApplied(
                sequence=-1,
                ts_ns=self.now_ns,
                control_offset=offset,
                action=type(record).__name__,
                scope=scope,
                scope_value=scope_value,
                state=state,
                name=name,
                value_micros=value,
                operator=record.operator,
            )
        )

    def _journal_now(self, record: JournalInput) -> None:
        self.journal(record)
        self._urgent = True

    def observe(self, trade_id: str, kind: LatencyKind, *, start_ns: int, end_ns: int, latency_ns: int) -> None:
        """Have a measurement journaled before the next step."""
        trade = self.state.trades.get(trade_id)
        self._observed.append(
            LatencyObserved(
                sequence=-1,
                ts_ns=self.now_ns,
                strategy="" if trade is None else trade.intent.strategy,
                trade_id=trade_id,
                kind=kind,
                ts_start_ns=start_ns,
                ts_end_ns=end_ns,
                latency_ns=latency_ns,
            )
        )

    def sent(self, records: Iterable[Record], wall_ns: int) -> None:
        """Records were committed: what they request leaves now, or is withheld where it would open a trade too late.

        An order that leaves within the time that the terms assume needs no word, and where stamps are recorded no order is late.
        """
        for record in records:
            if isinstance(record, OrderRequested):
                self._sent(record, wall_ns)

    def resume(self, wall_ns: int) -> None:
        """A life begins: of an order that an earlier life committed nobody knows whether it left, so that it leaves now."""
        for lane in self.lanes.values():
            self.sent(lane.venue.unsent(), wall_ns)

    def _sent(self, request: OrderRequested, wall_ns: int) -> None:
        lane, lag_ns = self.lanes[request.partition], wall_ns - request.ts_ns
        if lane.market.recorded or wall_ns <= lane.venue.leaves_ns(request, self.state.terms.paper):
            return
        intent = self.state.trades[request.trade_id].intent
        self._observed.append(
            OrderSent(
                sequence=-1,
                ts_ns=wall_ns,
                strategy=intent.strategy,
                partition=request.partition,
                position=lane.position,
                trade_id=request.trade_id,
                order_id=request.order_id,
                lag_ns=lag_ns,
                withheld=request.role == "leader" and wall_ns > intent.valid_until_ns,
            )
        )

    def advance(self, steps_max: int = STEPS_MAX, *, wall_ns: int = 0) -> bool:
        """Step the lanes until something must be committed before work goes on, or nothing is ready; whether more may be.

        A batch ends before the first step in which the venue could have received an order of the same batch: nothing of its
        answer is looked at before the plan is written. So trades that come together share a transaction, and one that comes
        alone is committed at once, because nothing else is ready. `wall_ns`: the wall clock at this moment; 0: it says nothing here.
        """
        assert not self._unsent, "what was written is sent before anything comes after it"
        self._urgent = False
        for lane in self.lanes.values():
            lane.wall_ns = wall_ns
        while self._observed:
            self.journal(self._observed.popleft())
        steps = 0
        worked = True
        while worked:
            worked = False
            for lane in self.lanes.values():
                if lane.ready():
                    sent_ns = self._expected_ns.get(lane.partition)
                    if sent_ns is not None and lane.next_ts_ns() >= sent_ns:
                        return True
                    lane.step()
                    worked = True
                    steps += 1
                    if self._urgent or steps >= steps_max:
                        return True
        return False

    def take(self) -> Batch:
        """What was journaled since the last call. You must write the records, then send the commands, then you may advance."""
        batch = Batch(self._written, self._commands)
        self._unsent += len(self._commands)
        self._written, self._commands = [], []
        return batch

    def send(self, commands: Iterable[Command]) -> None:
        """Hand commands to their gateways. Every record of their batch must be on the log: this is where an order leaves."""
        for command in commands:
            self.lanes[command.request.partition].venue.send((command,))
            self._unsent -= 1
        if not self._unsent and not self._commands:
            self._expected_ns.clear()

    def take_and_send(self) -> list[Record]:
        """Records since the last call, their commands sent: where the list itself is the log, as in a backtest or a test."""
        batch = self.take()
        self.send(batch.commands)
        return batch.records

    @property
    def drained(self) -> bool:
        """Whether everything journaled was taken, and every command sent."""
        return not (self._written or self._unsent)

    @property
    def has_written(self) -> bool:
        """Whether `take` has something to give."""
        return bool(self._written)

    def journal(self, record: JournalInput) -> None:
        """Number an input, fold it, and keep it with what follows for the next batch."""
        if isinstance(record, ControlApplied) and record.state == "running":
            for lane in self.lanes.values():  # what a resume lets out is decided on the books of now
                lane.refresh_held_back()
        state = self.state
        portfolio = record.portfolio if isinstance(record, ExecutorConfigured) else state.portfolio
        numbered = msgspec.structs.replace(record, sequence=state.next_sequence, portfolio=portfolio, life=state.life)
        outputs = step(self.state, numbered)
        self._written.append(numbered)
        self._written.extend(outputs)
        if isinstance(numbered, OrderSent):
            self.lanes[numbered.partition].venue.sent(numbered)
        for output in outputs:
            if isinstance(output, (OrderRequested, CancelRequested)):
                lane = self.lanes[output.partition]
                command = lane.command(output, self.state.terms.paper)
                self._commands.append(command)
                expected_ns = lane.venue.expected_ns(command)
                self._expected_ns[output.partition] = min(
                    expected_ns, self._expected_ns.get(output.partition, NEVER_NS)
                )


def refold(
    records: Iterable[Record], state: ExecutorState | None = None, *, machines: MachineTable = MACHINES
) -> tuple[ExecutorState, dict[int, deque[Journaled]]]:
    """State of a recorded journal, and per partition what it holds of the venue.

    With a state (of a checkpoint), the records are what comes after it, and the state is folded on. Raises JournalError at the
    first record that the inputs before it do not give.
    """
    state = ExecutorState(machines) if state is None else state
    expected: deque[Record] = deque()
    journaled: dict[int, deque[Journaled]] = {}
    for record in records:
        if isinstance(record, (OrderRequested, CancelRequested, OrderSent, OrderReport)):
            journaled.setdefault(record.partition, deque()).append((record, state.terms.paper))
        if isinstance(record, INPUTS):
            if expected:
                raise JournalError(f"the journal holds {record} where {expected[0]} follows from its inputs")
            expected.extend(o for o in step(state, record) if isinstance(o, JOURNAL_OUTPUTS))
        elif not expected or expected.popleft() != record:
            raise JournalError(
                f"the journal holds {record}, which does not follow from its inputs; it was written by other code "
                f"({'' if state.configured is None else state.configured.code_digest}): run that, or choose another prefix"
            )
    if expected:
        raise JournalError(f"the journal ends before {expected[0]}, which follows from its inputs")
    return state, journaled
