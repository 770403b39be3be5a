"""One partition of `market` as the executor lives it: books, gateway, timers and intents in the order of stream time.

Decides when something may be processed. Laws, which make the output equal at any speed and with any batches:

- A position is folded only when decide is *proved* to have folded everything before it and every intent from before it is
  here: by a Watermark whose `intents` have all arrived, or by an intent, whose `number` says how many came before.
- What is due happens in the order (time, kind, number): arrivals at the venue, reports, timers. What is due before the stream time that the
  next record reaches happens before that record is folded, moment by moment, and sees the books of its own time; what is due at
  that very time comes after the record, and then come the intents that the position caused.
- What one step requests no step looks at: an order is matched in a later one, so that its request is committed first.

Must never look at a wall clock, and never fold past its proof, however long decide is silent.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from crossbook.market.book_state import Change
from crossbook.market.market_state import MarketState
from executors.advice import Advice, AdviceBook
from executors.errors import LaneError
from executors.journal import JournalInput, SeenAt, trade_id_of
from executors.market_lane import MarketLane
from executors.orders.machine import Book, Machine
from executors.orders.work import Intent, Work
from executors.portfolio.equity import Book as MarkedBook
from executors.state import ExecutorState
from executors.venues.port import NEVER_NS, Gateway
from schemas.records import (
    InstrumentSettled,
    IntentSeen,
    LeadLag,
    ListingSeen,
    OrderReport,
    PayoutBooked,
    QuoteIntent,
    QuoteSeen,
    Record,
    TakeIntent,
    TakeSeen,
    TimerFired,
    TopSeen,
    TradeIntent,
    Watermark,
)

_TIMER: Final = 2  # after the venue's kinds 0 and 1
#: Journals an input and sends what follows from it.
Journal = Callable[[JournalInput], None]


class _Seen(NamedTuple):
    intent: Intent
    offset: int
    ts_seen_ns: int
    advice: Advice | None
    lag_ns: int | None


class Lane(MarketLane):
    """The executor's view of one partition. `position` is the last one folded, -1 before the first.

    `wall_ns`: the wall clock as it was handed in, Unix ns; 0: nobody says. It counts where the log's stamps are a wall clock's.
    """

    def __init__(
        self,
        partition: int,
        state: ExecutorState,
        journal: Journal,
        market: MarketState,
        gateway: Gateway,
        *,
        advice_age_max_ns: int = 0,
    ) -> None:
        super().__init__(partition, market, gateway)
        self.wall_ns = 0
        self.state = state
        self._journal = journal
        self._records: deque[tuple[int, Record | None]] = deque()
        self.intents: deque[_Seen] = deque()  # here, not journaled
        self._proved = -1  # everything before this position has been decided
        self._marks: deque[tuple[int, int]] = deque()  # (position, intents): proofs whose intents have not all arrived
        self._arrived = state.intents_seen.get(partition, 0)  # number of the last intent that is here
        self._journaled = False  # within the step under way
        self._wm_offset = -1
        self._wm_position = -1
        self._advice = AdviceBook(advice_age_max_ns)

    # Inputs

    def put_record(self, position: int, record: Record | None) -> None:
        """The next record of `market`; None for one that could not be decoded."""
        self._records.append((position, record))

    def put_intent(
        self,
        intent: Intent,
        offset: int,
        ts_seen_ns: int,
        *,
        advice: Advice | None = None,
        lag_ns: int | None = None,
    ) -> None:
        """The next record of `intents`. One that is journaled already is passed over; one that no machine takes is journaled, and declined.

        `advice`, `lag_ns`: use these, as a journal has them, instead of what `put_advice` brought and the wall clock says.
        """
        if intent.number <= self._arrived:
            return
        if intent.number != self._arrived + 1:
            raise LaneError(
                f"intents, partition {self.partition}: number {intent.number} came after {self._arrived}; "
                "the topic lost records or belongs to another log; restore it or choose another prefix"
            )
        self._arrived = intent.number
        self.intents.append(_Seen(intent, offset, ts_seen_ns, advice, lag_ns))
        self._prove(intent.position, intent.number - 1)

    def begin_at(self, intents: int) -> None:
        """Trade from here on: so many intents were before and are not ours."""
        self._arrived = intents

    def put_advice(self, record: LeadLag) -> None:
        """A record of `leadlag`. It binds nothing: an intent is journaled with the advice that was used."""
        self._advice.put(record)

    def put_watermark(self, mark: Watermark, offset: int) -> None:
        """The next Watermark of `signals`."""
        self._wm_offset, self._wm_position = offset, mark.position
        self._prove(mark.position, mark.intents)

    def _prove(self, position: int, intents: int) -> None:
        if intents > self._arrived:
            self._marks.append((position, intents))
        else:
            self._proved = max(self._proved, position)
        while self._marks and self._marks[0][1] <= self._arrived:
            self._proved = max(self._proved, self._marks.popleft()[0])

    @property
    def waiting(self) -> int:
        """Records of `market` that are here and not folded."""
        return len(self._records)

    @property
    def first_unprocessed_intent(self) -> int | None:
        """Offset of the first intent that is here and not journaled."""
        return self.intents[0].offset if self.intents else None

    @property
    def watermark_needed(self) -> int | None:
        """Offset of the Watermark that a restarted executor must read again; None when it stands behind the lane."""
        return self._wm_offset if self._wm_position > self.position else None

    # Steps

    def ready(self) -> bool:
        """Whether `step` has something to do."""
        if self.intents and self.intents[0].intent.position <= self.position:
            return True
        return bool(self._records) and self._records[0][0] <= self._proved

    def next_ts_ns(self) -> int:
        """Stream time that the next step reaches; it may be asked only when `ready`."""
        if self.intents and self.intents[0].intent.position <= self.position:
            return self.market.now_ns
        return min(self.due_ns, self._reach_ns(self._records[0][1]))

    def step(self) -> None:
        """Process the next intent of the position reached, or what is due next before the next position, or else fold that one."""
        if self.intents and self.intents[0].intent.position <= self.position:
            self._intent(self.intents.popleft())
            return
        position, record = self._records[0]
        due_ns = self.due_ns
        if due_ns != NEVER_NS and due_ns < self._reach_ns(record):
            self.pass_time(due_ns)
            return
        self._records.popleft()
        change = self._fold(position, record)
        if change is not None:
            self.follow(change, record, due_ns)

    @property
    def due_ns(self) -> int:
        """When something is due next at the venue or by a timer, Unix ns of stream time; NEVER_NS: nothing is."""
        due_ns = self.venue.next_due_ns
        for trade_id in self.state.timed.get(self.partition, ()):
            for timer in self.state.trades[trade_id].timers:
                due_ns = min(due_ns, timer.due_ns)
        return due_ns

    def pass_time(self, due_ns: int) -> None:
        """Do what is due at a moment before the next record; the books are those of that moment."""
        self._journaled = False
        self._run_due(due_ns)
        if self._journaled and self.market.settled:
            self._settle()

    def follow(self, change: Change, record: Record | None, due_ns: int) -> None:
        """Do what a record that was just folded causes; `due_ns` is when something was due next before it."""
        self._journaled = False
        now = self.market.now_ns
        if due_ns <= now or self.venue.next_due_ns <= now:
            self._run_due(now)
        if change.kind in {"moved", "instrument"}:
            self._watch_moves(change)
        if self.state.working.get(self.partition):
            self._watch_tops(change)
        if self.state.standing.equity.exposed:
            self._watch_marks(change)
        if isinstance(record, InstrumentSettled) or (self._journaled and self.market.settled):
            self._settle()

    def _run_due(self, until_ns: int) -> None:
        while True:
            due = self.venue.peek()
            timer = self._next_timer()
            if timer is not None and (due is None or (timer[0], _TIMER) < (due.ts_ns, due.kind)):
                if timer[0] > until_ns:
                    return
                self._fire(*timer)
            elif due is None or due.ts_ns > until_ns:
                return
            else:
                report = self.venue.pop()
                if report is not None:
                    self._take_report(report)

    def _next_timer(self) -> tuple[int, Work, int] | None:
        """(due, trade, index of the timer) of the next timer of this lane."""
        best: tuple[int, Work, int] | None = None
        for trade_id in self.state.timed.get(self.partition, ()):
            trade = self.state.trades[trade_id]
            for index, timer in enumerate(trade.timers):
                if best is None or timer.due_ns < best[0]:
                    best = (timer.due_ns, trade, index)
        return best

    def _fire(self, due_ns: int, trade: Work, index: int) -> None:
        timer = trade.timers[index]
        # Whether an order counts as dead decides for a trade that has ended, too.
        self._refresh_tops(trade, due_ns, deciding=timer.kind == "finality")
        if self.state.trades[trade.trade_id].timer(timer.kind, timer.order_id) != timer:
            return  # the top just seen took it away
        self._record(
            TimerFired(
                sequence=-1,
                ts_ns=due_ns,
                strategy=trade.intent.strategy,
                partition=self.partition,
                position=self.position,
                trade_id=trade.trade_id,
                timer=timer.kind,
                order_id=timer.order_id,
            )
        )

    def _take_report(self, report: OrderReport) -> None:
        trade = self.state.trades.get(report.trade_id)
        if trade is not None:
            self._refresh_tops(trade, report.ts_ns, deciding=report.last_quantity_micros > 0 or report.reversed)
        strategy = "" if trade is None else trade.intent.strategy
        self._record(msgspec.structs.replace(report, strategy=strategy, position=self.position))

    def _intent(self, seen: _Seen) -> None:
        intent = seen.intent
        now = self.market.now_ns
        trade_id, strategy = trade_id_of(self.state.portfolio, intent.intent_id), intent.strategy
        machine = self.state.machines.get(type(intent))
        for book in () if machine is None else machine.books_of(intent):
            self._see_listing(trade_id, strategy, book, now)
            self._record(self._top(trade_id, strategy, book.instrument_id, now))
        lag_ns = self.lag_ns if seen.lag_ns is None else seen.lag_ns
        place = SeenAt(
            sequence=-1,
            ts_ns=now,
            strategy=strategy,
            partition=self.partition,
            position=self.position,
            ts_seen_ns=seen.ts_seen_ns,
            lag_ns=lag_ns,
        )
        match intent:
            case QuoteIntent():
                self._record(QuoteSeen(intent=intent, **place))
            case TakeIntent():
                self._record(TakeSeen(intent=intent, **place))
            case TradeIntent():
                advised = () if machine is None else machine.advised(intent)
                advice = seen.advice or self._advice.about(advised, now)
                self._record(
                    IntentSeen(
                        intent=intent,
                        leader_advised=None if advice is None else advice.leader,
                        advice_id=None if advice is None else advice.advice_id,
                        **place,
                    )
                )

    @property
    def lag_ns(self) -> int:
        """How far the wall clock is past stream time, ns; 0 where nobody says, or the stamps are a recording's."""
        return 0 if self.market.recorded or not self.wall_ns else max(0, self.wall_ns - self.market.now_ns)

    def _machine(self, trade: Work) -> Machine[Any]:
        return self.state.machines[type(trade.intent)]

    # Tops

    def _top(self, trade_id: str, strategy: str, instrument_id: str, ts_ns: int) -> TopSeen:
        bid, ask = self.venue.top(instrument_id)
        return TopSeen(
            sequence=-1,
            ts_ns=ts_ns,
            strategy=strategy,
            partition=self.partition,
            position=self.position,
            trade_id=trade_id,
            instrument_id=instrument_id,
            usable=self.market.usable(instrument_id, ts_ns) and not self.market.suspect,
            bid_price_micros=None if bid is None else bid[0],
            bid_size_micros=None if bid is None else bid[1],
            ask_price_micros=None if ask is None else ask[0],
            ask_size_micros=None if ask is None else ask[1],
            listed=instrument_id in self.market.instruments,
        )

    def refresh_held_back(self) -> None:
        """Journal what changed of the books of trades that a resume is about to let go on."""
        for trade_id in list(self.state.working.get(self.partition, ())):
            trade = self.state.trades[trade_id]
            if trade.held_back:
                self._refresh_tops(trade, self.market.now_ns, deciding=True)

    def _refresh_tops(self, trade: Work, ts_ns: int, *, deciding: bool) -> None:
        """Journal listings and tops of a trade's books before a working trade is told something, or any that decides, where they changed."""
        if not deciding and trade.trade_id not in self.state.working.get(self.partition, ()):
            return
        for book in self._machine(trade).books(trade):
            self._see_listing(trade.trade_id, trade.intent.strategy, book, ts_ns)
            top = self._top(trade.trade_id, trade.intent.strategy, book.instrument_id, ts_ns)
            if not _same_top(book.top, top):
                self._record(top)

    def _see_listing(self, trade_id: str, strategy: str, book: Book, ts_ns: int) -> None:
        """Journal what the venue asks of an order now, if it is not what is known."""
        listed = self.market.instruments.get(book.instrument_id)
        if listed is None or book.instrument_id in self.market.refused:
            return  # nothing is known that orders could go by; its book counts as unusable
        rules = book.rules
        minimum = next((m for m in listed.minimums if (m.order_type, m.side) == ("marketable", "buy")), None)
        if minimum is not None:
            quantity, notional = minimum.quantity_micros, minimum.notional_micros
        elif rules is not None:
            quantity, notional = rules.quantity_minimum_micros, rules.notional_minimum_micros
        else:
            quantity = notional = 0
        if rules is not None and (
            listed.grid,
            listed.quantity_step_micros,
            listed.taker_delay_ms,
            listed.fee_schedule,
            quantity,
            notional,
        ) == (
            rules.grid,
            rules.quantity_step_micros,
            rules.taker_delay_ms,
            rules.fee_schedule,
            rules.quantity_minimum_micros,
            rules.notional_minimum_micros,
        ):
            return
        self._record(
            ListingSeen(
                sequence=-1,
                ts_ns=ts_ns,
                strategy=strategy,
                partition=self.partition,
                position=self.position,
                trade_id=trade_id,
                instrument_id=book.instrument_id,
                quantity_step_micros=listed.quantity_step_micros,
                quantity_minimum_micros=quantity,
                notional_minimum_micros=notional,
                taker_delay_ms=listed.taker_delay_ms,
                grid=listed.grid,
                fee_schedule=listed.fee_schedule,
            )
        )

    def _watch_moves(self, change: Change) -> None:
        """Tell every trade that may still send that an instrument of it left this partition, or came back to it."""
        for trade_id, trade in list(self.state.trades.items()):
            machine = self._machine(trade)
            if trade.intent.partition != self.partition or not machine.reopens(trade):
                continue
            for book in machine.books(trade):
                if book.instrument_id == change.instrument_id and book.top is not None:
                    now_listed = change.instrument_id in self.market.instruments
                    if book.top.listed != now_listed:
                        self._record(self._top(trade_id, trade.intent.strategy, book.instrument_id, self.market.now_ns))

    def _watch_tops(self, change: Change) -> None:
        """Journal a top when it turns what a trade waits for, as a hedge's price that becomes adverse: after a change of its book, its feed or its listing.

        A feed that falls silent is noticed at the next word of any other feed, half a second later at most.
        """
        if change.kind in {"none", "trade", "reference", "observation"}:
            return
        book = change.instrument_id if change.kind == "book" else None
        for trade_id in list(self.state.working[self.partition]):
            trade = self.state.trades[trade_id]
            machine = self._machine(trade)
            if not machine.watches(trade):
                continue
            instrument_id = machine.watched(trade, book)
            if instrument_id is None:
                continue
            top = self._top(trade_id, trade.intent.strategy, instrument_id, self.market.now_ns)
            if machine.turns(trade, top):
                self._record(top)

    def _watch_marks(self, change: Change) -> None:
        """Journal the top of unmatched contracts that no order is out for (a stuck trade, one that waits) when their mark moves.

        The loss stops see what such contracts are worth by it, and only by it: nothing else looks at their book.
        """
        equity = self.state.standing.equity
        if change.kind in {"none", "trade", "reference", "observation"}:
            return
        changed = MarkedBook(self.partition, change.instrument_id or "")
        for book in (changed,) if change.kind == "book" else tuple(equity.exposed):
            trade = self._unwatched(book)
            if trade is not None:
                top = self._top(trade.trade_id, trade.intent.strategy, book.instrument_id, self.market.now_ns)
                if equity.is_news(top):
                    self._record(top)

    @property
    def watches_marks(self) -> bool:
        """Whether any record may move the mark of unmatched contracts that no order is out for."""
        return any(self._unwatched(book) for book in self.state.standing.equity.exposed)

    def _unwatched(self, book: MarkedBook) -> Work | None:
        """A trade of this lane with unmatched contracts in a book that stay so for long."""
        if book.partition != self.partition:
            return None
        names = self.state.standing.equity.exposed.get(book, ())
        trades = (self.state.trades.get(trade_id) for trade_id in names)
        return next((trade for trade in trades if trade is not None and self._machine(trade).unmatched(trade)), None)

    def _settle(self) -> None:
        """Journal the payout of what is held of a settled instrument."""
        ledger = self.state.standing.ledger
        for instrument_id, payout in self.market.settled.items():
            if ledger.holds(instrument_id):
                self._journal(
                    PayoutBooked(
                        sequence=-1,
                        ts_ns=self.market.now_ns,
                        partition=self.partition,
                        position=self.position,
                        instrument_id=instrument_id,
                        payout_yes_micros=payout,
                    )
                )

    def _record(self, record: JournalInput) -> None:
        self._journaled = True
        self._journal(record)


def _same_top(one: TopSeen | None, other: TopSeen) -> bool:
    return one is not None and (
        one.usable,
        one.listed,
        one.bid_price_micros,
        one.bid_size_micros,
        one.ask_price_micros,
        one.ask_size_micros,
    ) == (
        other.usable,
        other.listed,
        other.bid_price_micros,
        other.bid_size_micros,
        other.ask_price_micros,
        other.ask_size_micros,
    )
