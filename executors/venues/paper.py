"""The paper venue: what the venues would have done with our orders, from the recorded market alone.

Decides fills, from displayed depth: an order arrives at request time + decide, wire and taker delay, and meets the book that
stands then; one that left later than that (`OrderSent`) arrives by as much later, one that was withheld comes to nothing. Without any latency
it is matched at a later position than the one that caused it. A streaming book fills it if it is usable; a polled one only at its next poll,
never at the row that triggered. Outside open and close and in a pause it refuses, as the venues do, and an order that waits there ends. What
we took stays taken (`executors.venues.depth`); a new poll of the same resting order grants nothing. Must never read a clock, draw a number or
see the trade behind an order: its answers are a function of market, requests and terms, so they are equal at any speed.

Semantics kept: fees are charged by an accumulator an order, as the listing's schedule says; where the listing says that fills are provisional,
one is confirmed or reversed after `finality_ms`. All venues take quantities in shares here (the real Polymarket takes dollars for an immediate
BUY, so a price better than the limit buys more there; the gateway issue will size for it). fill_or_kill fills whole or not at all. A sale never
sells more than is held. Seeded faults by hash, so that unwinds and declines happen on purpose; depth that vanished for a hedge stays gone.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import Final

import msgspec

from crossbook.domain.fees import FeeAccumulator
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.names import VENUES
from crossbook.market.book import BookSide
from crossbook.market.book_state import BookState, Change
from crossbook.market.market_state import MarketState
from executors.errors import CheckpointError
from executors.hedge.trade import floor_step
from executors.terms import NS_PER_MS, PaperTerms, request_min_ns
from executors.venues.depth import TakenDepth, TakenLevel
from executors.venues.paper_faults import fault, vanishes
from executors.venues.paper_image import HeldImage, LevelImage, VenueImage
from executors.venues.paper_latency import decide_latency_ns, report_latency_ns, wire_latency_ns
from executors.venues.paper_orders import (
    Entry,
    PaperCancel,
    PaperOrder,
    Take,
    arrival,
    due_image,
    due_of,
    order_id_of,
    order_image,
    order_of,
    patience_ns,
    refused_cancel,
    shorten,
    trade_id_of,
)
from executors.venues.port import NEVER_NS, REPORT, Cancel, Command, Due, GatewayTable, Place, Replace
from schemas.records import Finality, InstrumentListed, OrderReport, OrderRequested, OrderSent, OrderStatus, Outcome

#: Why an order never left.
WITHHELD: Final = "late"


class PaperVenue:
    """All venues, simulated for the instruments of one partition of `market`. An order keeps the terms it was sent under.

    It is a Gateway on stream time. `watch` hears of every order that meets a book: its id, and the stream time of the books.
    """

    __slots__ = ("_early", "_held", "_market", "_queue", "_taken", "_waiting", "_watch")

    def __init__(self, market: MarketState, watch: Callable[[str, int], None] | None = None) -> None:
        self._market = market
        self._watch = watch
        self._queue: list[Entry] = []
        self._early: list[Entry] = []  # requested at the position folded last, without any latency
        self._waiting: dict[str, list[PaperOrder]] = {}
        self._taken = TakenDepth()
        self._held: dict[tuple[str, Outcome], int] = {}

    def send(self, commands: Iterable[Command]) -> None:
        """Take orders, cancels and replacements."""
        for command in commands:
            match command:
                case Place():
                    self._place(command)
                case Replace():
                    self._place(command.place, replaces=command.replaced)
                case Cancel():
                    self._cancel(command)

    def _place(self, command: Place, replaces: str = "") -> None:
        request, terms, taker_delay_ms = command
        order = PaperOrder(request, terms, replaces)
        if fault(terms, "late", request.order_id, terms.late_ppm):
            order.report_ns += terms.late_ms * NS_PER_MS
        self._enter(order, self.leaves_ns(request, terms), taker_delay_ms)

    def _cancel(self, command: Cancel) -> None:
        request, terms = command
        name = f"{request.order_id}-cancel"  # its ways are drawn apart from the order's
        due_ns = request.ts_ns + decide_latency_ns(terms, name) + wire_latency_ns(terms, name)
        entry = arrival(PaperCancel(request, report_latency_ns(terms, name)), due_ns)
        if due_ns > request.ts_ns:
            heapq.heappush(self._queue, entry)
        else:
            self._early.append(entry)

    def expected_ns(self, command: Command) -> int:
        """Request time and the shortest way to the venue."""
        return command.request.ts_ns + request_min_ns(command.terms)

    def leaves_ns(self, request: OrderRequested, terms: PaperTerms) -> int:
        """Request time and the time to decide that the terms assume for this order."""
        return request.ts_ns + decide_latency_ns(terms, request.order_id)

    def sent(self, word: OrderSent) -> None:
        """An order that is not at the venue yet leaves at this moment instead, or never."""
        entries = [entry[-1] for entry in (*self._queue, *self._early)]
        order = next((e for e in entries if isinstance(e, PaperOrder) and e.request.order_id == word.order_id), None)
        assert order is not None, "nothing of an order is looked at before it left"
        self._queue = [entry for entry in self._queue if order_id_of(entry[-1]) != word.order_id]
        self._early = [entry for entry in self._early if order_id_of(entry[-1]) != word.order_id]
        heapq.heapify(self._queue)
        order.sent = True
        order.reports = 0
        if word.withheld:
            self._report(order, word.ts_ns, "expired", cumulative=0, reason=WITHHELD)
        else:
            listed = self._market.instruments.get(order.request.instrument_id)
            self._enter(order, word.ts_ns, 0 if listed is None else listed.taker_delay_ms)

    def unsent(self) -> list[OrderRequested]:
        """Requests of which nobody said when they left, and nothing was heard yet."""
        entries = [entry[-1] for entry in (*self._early, *self._queue)]
        reports = [entry for entry in (*self._early, *self._queue) if isinstance(entry[-1], OrderReport)]
        unheard = Counter(entry[3] for entry in reports if entry[4])  # not what was said of a cancel
        orders = [one for one in entries if isinstance(one, PaperOrder) and not (one.sent or one.met)]
        return [one.request for one in orders if one.reports == unheard[one.request.order_id]]

    def _enter(self, order: PaperOrder, leaves_ns: int, taker_delay_ms: int) -> None:
        request, terms = order.request, order.terms
        delay_ns = taker_delay_ms * NS_PER_MS
        at_venue_ns = leaves_ns + wire_latency_ns(terms, request.order_id)
        order.venue_ns = at_venue_ns
        order.arrival_ns = at_venue_ns + delay_ns
        if order.arrival_ns > request.ts_ns:
            heapq.heappush(self._queue, arrival(order, order.arrival_ns))
        else:
            self._early.append(arrival(order, order.arrival_ns))
        if delay_ns:
            self._report(order, at_venue_ns, "delayed", cumulative=0)

    @property
    def attentive(self) -> bool:
        """Whether the next record of `market` matters whatever it is: an order was just taken, or waits for a book."""
        return bool(self._early or self._waiting)

    @property
    def consumed(self) -> Container[str]:
        """Instruments whose books we took depth from, as it stands at any time: a change of such a book matters."""
        return self._taken

    def begin(self, change: Change) -> None:
        """A record of `market` was folded; what was due before its time must be done."""
        for entry in self._early:
            heapq.heappush(self._queue, entry)
        self._early.clear()
        if change.kind == "book" and change.instrument_id in self._taken:
            state = self._market.books[change.instrument_id]  # type: ignore[index]  # what was taken from has a name
            if state.valid:
                self._taken.recall(state.instrument_id, state.book.size_at)
        if self._waiting:
            self._revisit()

    @property
    def next_due_ns(self) -> int:
        """When something is due next, Unix ns; NEVER_NS: nothing is under way."""
        return self._queue[0][0] if self._queue else NEVER_NS

    def peek(self) -> Due | None:
        """What is next; None when nothing is under way."""
        return Due(self._queue[0][0], self._queue[0][1]) if self._queue else None

    def pop(self) -> OrderReport | None:
        """Do what is next: a report to journal (its sequence still -1), or None for something inside the venue."""
        due_ns, _, _, _, _, item = heapq.heappop(self._queue)
        match item:
            case OrderReport():
                return item
            case PaperCancel():
                self._arrive_cancel(item, max(due_ns, self._market.now_ns))
            case _:
                self._arrive(item, due_ns)
        return None

    # Image

    def image(self) -> msgspec.Raw:
        """A VenueImage as JSON: where the venue stands, without its market."""
        image = VenueImage(
            queue=tuple(due_image(due) for due in sorted(self._queue, key=lambda due: due[:-1])),
            early=tuple(map(due_image, self._early)),
            waiting={key: tuple(map(order_image, orders)) for key, orders in self._waiting.items()},
            levels=tuple(LevelImage(instrument_id, *level, *known) for instrument_id, level, known in self._taken),
            held=tuple(HeldImage(*key, quantity) for key, quantity in self._held.items()),
        )
        return msgspec.Raw(msgspec.json.encode(image))

    def restore(self, image: msgspec.Raw) -> None:
        """Bring a fresh venue to where the image stands; its market is restored apart. Raises CheckpointError."""
        try:
            self._restore(msgspec.json.decode(image, type=VenueImage))
        except msgspec.DecodeError as error:
            raise CheckpointError(f"the paper venue cannot read its image: {error}") from error

    def _restore(self, image: VenueImage) -> None:
        self._queue = [due_of(one) for one in image.queue]  # sorted, so it is a heap
        self._early = [due_of(one) for one in image.early]
        self._waiting = {key: [order_of(one) for one in orders] for key, orders in image.waiting.items()}
        self._held = {(one.instrument_id, one.outcome): one.quantity_micros for one in image.held}
        self._taken = TakenDepth()
        for level in image.levels:
            known = TakenLevel(level.left_micros, level.largest_micros, level.taken_micros)
            self._taken.restore(level.instrument_id, (level.side, level.price_micros), known)

    def busy_trades(self) -> set[str]:
        """Trades that the venue still has an order or a report of."""
        items = [entry[-1] for entry in (*self._queue, *self._early)]
        orders = [order for waiting in self._waiting.values() for order in waiting]
        return {order.request.trade_id for order in orders} | {trade_id_of(one) for one in items}

    # Arrival and match

    def _arrive(self, order: PaperOrder, due_ns: int) -> None:
        request = order.request
        ts_ns = max(due_ns, self._market.now_ns)
        listed = self._market.instruments.get(request.instrument_id)
        if not order.met:
            refusal = self._refusal(order, listed, ts_ns)
            if not refusal and order.replaces and not self._take_back(order.replaces, ts_ns, "replaced"):
                refusal = "nothing to replace"
            if refusal:
                self._report(order, ts_ns, "rejected", cumulative=0, reason=refusal)
                return
        shut = self._market.hours(request.instrument_id, ts_ns).shut
        if order.met and shut:
            self._report(order, ts_ns, "canceled", cumulative=0, reason=f"market is not open: {shut}")
            return
        assert listed is not None, "an unlisted instrument was refused"
        book = self._market.books.get(request.instrument_id)
        if book is not None and self._can_meet(order, book, ts_ns):
            self._match(order, listed, book, ts_ns)
        elif ts_ns >= order.arrival_ns + patience_ns(book):
            self._report(order, ts_ns, "canceled", cumulative=0, reason="no_book")
        else:
            order.met = True
            self._waiting.setdefault(request.instrument_id, []).append(order)

    def _arrive_cancel(self, cancel: PaperCancel, ts_ns: int) -> None:
        request = cancel.request
        if self._take_back(request.order_id, ts_ns, "canceled on request"):
            return
        report = refused_cancel(cancel, ts_ns)
        heapq.heappush(self._queue, (report.ts_ns, REPORT, request.sequence, request.order_id, 0, report))

    def _take_back(self, order_id: str, ts_ns: int, reason: str) -> bool:
        """Cancel an order that is at the venue and has not matched; whether there is one."""
        queued = [entry[-1] for entry in self._queue]
        waiting = [order for orders in self._waiting.values() for order in orders]
        found = next(
            (
                one
                for one in (*queued, *waiting)
                if isinstance(one, PaperOrder) and one.request.order_id == order_id and one.venue_ns <= ts_ns
            ),
            None,
        )
        if found is None:
            return False
        self._queue = [entry for entry in self._queue if entry[-1] is not found]
        heapq.heapify(self._queue)
        for instrument_id, orders in list(self._waiting.items()):
            self._waiting[instrument_id] = [order for order in orders if order is not found]
            if not self._waiting[instrument_id]:
                del self._waiting[instrument_id]
        self._report(found, ts_ns, "canceled", cumulative=0, reason=reason)
        return True

    def _can_meet(self, order: PaperOrder, book: BookState, ts_ns: int) -> bool:
        """A streaming book as it stands; a polled one only at a poll that found the order there."""
        request, market = order.request, self._market
        if not market.usable(request.instrument_id, ts_ns):
            return False
        polled_now = book.refreshed_position == market.position > request.position
        return book.delivery == "streaming" or (polled_now and order.arrival_ns <= market.now_ns)

    def _revisit(self) -> None:
        """Bring back waiting orders whose book may be met now, whose market shut, or whose patience is over."""
        now = self._market.now_ns
        for instrument_id, orders in list(self._waiting.items()):
            book = self._market.books.get(instrument_id)
            kept: list[PaperOrder] = []
            for order in orders:
                ends = self._market.hours(instrument_id).shut or now >= order.arrival_ns + patience_ns(book)
                if ends or (book is not None and self._can_meet(order, book, now)):
                    heapq.heappush(self._queue, arrival(order, now))
                else:
                    kept.append(order)
            if kept:
                self._waiting[instrument_id] = kept
            else:
                del self._waiting[instrument_id]

    def _refusal(self, order: PaperOrder, listed: InstrumentListed | None, ts_ns: int) -> str:
        request, terms = order.request, order.terms
        if listed is None:
            return "unknown instrument"
        if request.instrument_id in self._market.refused:
            return "fee schedule or price grid unknown"
        if shut := self._market.hours(request.instrument_id, ts_ns).shut:
            return f"market is not open: {shut}"
        grid = PriceGrid.from_ranges(listed.grid)
        price = request.price_limit_micros
        if not grid.contains(price if request.outcome == "yes" else MICROS - price):
            return "price breaks the grid"
        if request.quantity_micros % listed.quantity_step_micros:
            return "quantity breaks the step"
        for minimum in listed.minimums:
            if minimum.order_type == "marketable" and minimum.side == request.side:
                notional = price * request.quantity_micros // MICROS
                if request.quantity_micros < minimum.quantity_micros or notional < minimum.notional_micros:
                    return "below the minimum"
        if request.side == "sell" and self._held.get((request.instrument_id, request.outcome), 0) <= 0:
            return "nothing held to sell"
        if fault(terms, "reject", request.order_id, terms.reject_ppm):
            return "fault: rejected"
        return ""

    def _match(self, order: PaperOrder, listed: InstrumentListed, book: BookState, ts_ns: int) -> None:
        request = order.request
        if self._watch is not None:
            self._watch(request.order_id, self._market.now_ns)
        wanted = request.quantity_micros
        if request.side == "sell":
            held = self._held.get((request.instrument_id, request.outcome), 0)
            wanted = min(wanted, floor_step(held, listed.quantity_step_micros))
        takes = self._walk(request, listed.quantity_step_micros, book, wanted)
        reason = "" if sum(t.quantity for t in takes) == wanted == request.quantity_micros else "no more depth"
        if vanishes(request, order.terms):
            takes, reason = [], "fault: depth gone"
        elif takes and fault(order.terms, "partial", request.order_id, order.terms.partial_ppm):
            half = floor_step(sum(t.quantity for t in takes) // 2, listed.quantity_step_micros)
            takes, reason = shorten(takes, half), "fault: partial"
        filled = sum(t.quantity for t in takes)
        if request.time_in_force == "fill_or_kill" and filled < request.quantity_micros:
            self._report(order, ts_ns, "canceled", cumulative=0, reason=f"killed: {reason}")
            return
        self._execute(order, book, takes, ts_ns)
        if filled < request.quantity_micros:
            self._report(order, ts_ns, "canceled", cumulative=filled, reason=reason)

    def _execute(self, order: PaperOrder, book: BookState, takes: list[Take], ts_ns: int) -> None:
        request = order.request
        schedule = self._market.schedule(request.instrument_id, ts_ns)
        fees = FeeAccumulator(schedule)
        key = (request.instrument_id, request.outcome)
        cumulative = 0
        for take in takes:
            level = (take.side, take.yes_price)
            self._taken.take(request.instrument_id, level, take.quantity, book.book.size_at(*level))
            cumulative += take.quantity
            self._held[key] = self._held.get(key, 0) + (take.quantity if request.side == "buy" else -take.quantity)
            order.fills += 1
            self._report(
                order,
                ts_ns,
                "filled" if cumulative == request.quantity_micros else "partially_filled",
                cumulative=cumulative,
                take=take,
                fee=fees.fill(take.price, take.quantity, request.side, "taker").net_micros,
                schedule_hash=schedule.hash,
                finality=self._market.instruments[request.instrument_id].policy.fill_finality,
            )

    def _walk(self, request: OrderRequested, step: int, book: BookState, wanted: int) -> list[Take]:
        """Levels that the order takes, as far as they are still there for us."""
        buying, outcome = request.side == "buy", request.outcome
        levels = book.book.levels_to_buy(outcome) if buying else book.book.levels_to_sell(outcome)
        side: BookSide = "ask" if buying == (outcome == "yes") else "bid"
        takes: list[Take] = []
        for price, size in levels:
            if not wanted or (price > request.price_limit_micros if buying else price < request.price_limit_micros):
                break
            yes_price = price if outcome == "yes" else MICROS - price
            left = self._taken.left(request.instrument_id, (side, yes_price), size)
            quantity = floor_step(min(left, wanted), step)
            if quantity:
                takes.append(Take(side, yes_price, price, quantity))
                wanted -= quantity
        return takes

    def top(self, instrument_id: str) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Best bid and ask in YES terms (price, size) as far as they are still there for us.

        A recording shows what we took as if nobody had; whoever decides on it must see it gone, as on a live book.
        """
        state = self._market.books.get(instrument_id)
        if state is None:
            return None, None
        book = state.book
        if instrument_id not in self._taken:
            return book.best_bid, book.best_ask
        levels = book.levels()
        bids = zip(levels.bid_prices, levels.bid_sizes, strict=True)
        asks = zip(levels.ask_prices, levels.ask_sizes, strict=True)
        first_left = self._taken.first_left
        return first_left(instrument_id, "bid", bids), first_left(instrument_id, "ask", asks)

    # Reports

    def _report(
        self,
        order: PaperOrder,
        ts_ns: int,
        status: OrderStatus,
        *,
        cumulative: int,
        take: Take | None = None,
        fee: int = 0,
        reason: str = "",
        schedule_hash: str = "",
        finality: Finality = "final",
    ) -> None:
        request = order.request
        order.reports += 1
        provisional = take is not None and finality != "final"
        done = status in {"filled", "canceled", "rejected", "expired"}
        report = OrderReport(
            sequence=-1,
            ts_ns=ts_ns + order.report_ns,
            partition=request.partition,
            position=-1,
            report_id=f"{request.order_id}-r{order.reports}",
            order_id=request.order_id,
            venue_order_id="" if status == "rejected" else f"paper-{request.order_id}",
            trade_id=request.trade_id,
            ts_venue_ns=ts_ns,
            order_status=status,
            cumulative_quantity_micros=cumulative,
            leaves_quantity_micros=0 if done else request.quantity_micros - cumulative,
            last_quantity_micros=0 if take is None else take.quantity,
            last_price_micros=0 if take is None else take.price,
            last_fee_micros=fee,
            fill_id="" if take is None else f"{request.order_id}-f{order.fills}",
            liquidity="taker",
            finality=finality,
            reversed=False,
            reason=reason,
            schedule_hash=schedule_hash,
        )
        self._push(order, report)
        if provisional:
            self._mine(order, report)

    def _mine(self, order: PaperOrder, fill: OrderReport) -> None:
        """Say later what became of a provisional fill: mined, or failed."""
        order.reports += 1
        failed = fault(order.terms, "reverse", fill.fill_id, order.terms.reverse_ppm)
        fields = {name: getattr(fill, name) for name in OrderReport.__struct_fields__}
        quantity = fill.last_quantity_micros if failed else 0
        fields |= {
            "ts_ns": fill.ts_ns + order.terms.finality_ms * NS_PER_MS,
            "ts_venue_ns": fill.ts_ns + order.terms.finality_ms * NS_PER_MS,
            "report_id": f"{order.request.order_id}-r{order.reports}",
            "last_quantity_micros": quantity,
            "last_price_micros": fill.last_price_micros if failed else 0,
            "last_fee_micros": fill.last_fee_micros if failed else 0,
            "finality": "final",
            "reversed": failed,
            "reason": "FAILED" if failed else "MINED",
        }
        if failed:
            key = (order.request.instrument_id, order.request.outcome)
            self._held[key] -= quantity if order.request.side == "buy" else -quantity
        self._push(order, OrderReport(**fields))

    def _push(self, order: PaperOrder, report: OrderReport) -> None:
        request = order.request
        heapq.heappush(self._queue, (report.ts_ns, REPORT, request.sequence, request.order_id, order.reports, report))


#: Every venue on paper.
PAPER: Final[GatewayTable] = dict.fromkeys(VENUES, PaperVenue)
