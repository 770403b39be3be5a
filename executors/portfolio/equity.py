"""What every trade is worth at each moment: the one definition of profit and loss, for the loss stops and for every report.

Decides, from executions, tops and payouts in the order of the journal. Of a trade:

- equity = money received - money paid (fees included) + known value of what it holds
- known value, while a payout is missing = worst admissible payout of its matched contracts + worth of its unmatched ones
- known value, once both payouts are known = what both legs pay
- worth of unmatched contracts = their payout where it is known, else what the last top seen would pay for them now; without a
  usable top, or without that side, they are worth their worst: nothing

So the order in which two venues pay changes nothing: what a first payout brings is what the second leg then lacks. Only payouts
that together differ from the worst one (a tie, a void, a scalar) count, when both are known. Equity is that of a trade, never of
an instrument: what one trade paid for contracts says nothing about what another lost by selling its own.

Must never use a float, and never round in our favour: money out is rounded up, money in is rounded down.
"""

from typing import Final, Literal, NamedTuple

from crossbook.domain.fees import payout_micros, payout_unit
from crossbook.domain.money import MICROS, cost_micros
from schemas.records import Fill, Outcome, Side, TopSeen, TradeIntent

#: Which leg of a trade: 0 is leg a, 1 is leg b.
LegIndex = Literal[0, 1]
_LEGS: Final[tuple[LegIndex, LegIndex]] = (0, 1)


class TradeTerms(NamedTuple):
    """What a trade was meant to be: both legs, and the worst admissible payout of `quantity_micros` of each.

    `partition` of `market` is where its books are; a top of another partition is not its mark.
    """

    partition: int
    instruments: tuple[str, str]
    outcomes: tuple[Outcome, Outcome]
    payout_units: tuple[int, int]
    payout_micros: int
    quantity_micros: int


class Book(NamedTuple):
    """The book of an instrument, as a partition of `market` has it."""

    partition: int
    instrument_id: str


class Mark(NamedTuple):
    """Executable prices of an instrument in YES terms, micros; None: not to be had."""

    bid_micros: int | None
    ask_micros: int | None


_NO_MARK: Final = Mark(None, None)
#: A mark that moved less is not journaled for its own sake: a cent, the tick of most books.
MARK_MOVE_MICROS: Final = 10_000


class LegSums(NamedTuple):
    """What a trade bought and sold of a leg, in the leg's outcome, micros: contracts, and money with fees."""

    bought_micros: int = 0
    paid_micros: int = 0
    sold_micros: int = 0
    proceeds_micros: int = 0

    @property
    def held(self) -> int:
        """Contracts held, micros."""
        return self.bought_micros - self.sold_micros

    def cost_of(self, quantity: int) -> int:
        """What a quantity cost on average, fees included, rounded up."""
        return -(-self.paid_micros * quantity // self.bought_micros) if self.bought_micros else 0


class Worth(NamedTuple):
    """A trade in money, micros: equity = locked + marked.

    `locked_micros`: what no price can change any more, but a better payout may: matched contracts at their worst payout, what was
    sold, what was paid out; `unwound_micros` is the part of it that selling made or lost. `marked_micros`: unmatched contracts at
    mark, less what they cost.
    """

    equity_micros: int
    locked_micros: int
    marked_micros: int
    unwound_micros: int
    fee_micros: int
    matched_micros: int
    unmatched_micros: int
    unwound_contracts_micros: int


class TradeEquity:
    """One trade's sums and its equity as last computed."""

    __slots__ = ("equity_micros", "fee_micros", "legs", "terms")

    def __init__(self, terms: TradeTerms) -> None:
        self.terms = terms
        self.legs: list[LegSums] = [LegSums(), LegSums()]
        self.fee_micros = 0
        self.equity_micros = 0

    @property
    def matched(self) -> int:
        """Contracts held on both legs, micros."""
        return max(min(self.legs[0].held, self.legs[1].held), 0)

    def index_of(self, instrument_id: str) -> LegIndex:
        """The leg of an instrument."""
        return 0 if instrument_id == self.terms.instruments[0] else 1

    def add(
        self, instrument_id: str, outcome: Outcome, side: Side, price: int, quantity: int, fee: int, sign: int
    ) -> None:
        """Count an execution; with `sign` -1 take it out again.

        The other outcome of a leg's instrument is the leg sold: YES and NO pay a dollar together, whatever happens.
        """
        index = self.index_of(instrument_id)
        bought, paid, sold, proceeds = self.legs[index]
        own = outcome == self.terms.outcomes[index]
        if (side == "buy") == own:
            money = cost_micros(price, quantity) if own else quantity - price * quantity // MICROS
            bought, paid = bought + sign * quantity, paid + sign * (money + fee)
        else:
            money = price * quantity // MICROS if own else quantity - cost_micros(price, quantity)
            sold, proceeds = sold + sign * quantity, proceeds + sign * (money - fee)
        self.legs[index] = LegSums(bought, paid, sold, proceeds)
        self.fee_micros += sign * fee


class EquityBook:
    """Equity of all trades of a portfolio. Mutable; owned by the fold. Every change returns by how much equity moved, micros."""

    __slots__ = ("exposed", "marks", "payouts", "trades")

    def __init__(self) -> None:
        self.trades: dict[str, TradeEquity] = {}
        self.marks: dict[Book, Mark] = {}
        self.payouts: dict[str, int] = {}
        self.exposed: dict[Book, dict[str, None]] = {}  # trades with unmatched contracts, by their book

    def open(self, trade_id: str, terms: TradeTerms) -> None:
        """A trade may have executions from here on; one that is known stays as it is."""
        if trade_id not in self.trades:
            self.trades[trade_id] = TradeEquity(terms)

    def adopt(self, trade_id: str, trade: TradeEquity) -> None:
        """Take over a trade from an image; what it is worth is no change."""
        self.trades[trade_id] = trade
        self._expose(trade_id, trade)
        self._revalue(trade)

    def execute(
        self,
        trade_id: str,
        instrument_id: str,
        outcome: Outcome,
        side: Side,
        price: int,
        quantity: int,
        fee: int,
        *,
        undo: bool = False,
    ) -> int:
        """An execution happened, or never happened after all."""
        trade = self.trades[trade_id]
        trade.add(instrument_id, outcome, side, price, quantity, fee, -1 if undo else 1)
        self._expose(trade_id, trade)
        return self._revalue(trade)

    def see(self, top: TopSeen) -> int:
        """The last top of an instrument is this one; an unusable one is no price at all."""
        book, mark = Book(top.partition, top.instrument_id), _mark_of(top)
        if top.instrument_id in self.payouts or self.marks.get(book) == mark:
            return 0
        self.marks[book] = mark
        return sum(self._revalue(self.trades[name]) for name in self.exposed.get(book, ()))

    def is_news(self, top: TopSeen) -> bool:
        """Whether a top moves the mark of its instrument by MARK_MOVE_MICROS or more, or takes away or brings back a side of it."""
        if top.instrument_id in self.payouts:
            return False
        known, seen = self.marks.get(Book(top.partition, top.instrument_id), _NO_MARK), _mark_of(top)
        return any(
            was != now and (was is None or now is None or abs(was - now) >= MARK_MOVE_MICROS)
            for was, now in zip(known, seen, strict=True)
        )

    def settle(self, instrument_id: str, payout_yes_micros: int) -> int:
        """One YES of an instrument pays this much. The first word stands."""
        if instrument_id in self.payouts:
            return 0
        self.payouts[instrument_id] = payout_yes_micros
        for book in [book for book in self.marks if book.instrument_id == instrument_id]:
            del self.marks[book]
        touched = [trade for trade in self.trades.values() if instrument_id in trade.terms.instruments]
        return sum(map(self._revalue, touched))

    def worth(self, trade_id: str) -> Worth:
        """A trade in money."""
        trade = self.trades[trade_id]
        matched = trade.matched
        marked = unwound = unmatched = 0
        paid = all(name in self.payouts for name in trade.terms.instruments)
        for index in _LEGS:
            leg = trade.legs[index]
            unwound += leg.proceeds_micros - leg.cost_of(leg.sold_micros)
            excess = leg.held - matched
            if excess and not paid and trade.terms.instruments[index] not in self.payouts:
                unmatched += abs(excess)
                marked += self._unmatched(trade.terms, index, excess) - leg.cost_of(max(excess, 0))
        equity = self._equity(trade)
        return Worth(
            equity_micros=equity,
            locked_micros=equity - marked,
            marked_micros=marked,
            unwound_micros=unwound,
            fee_micros=trade.fee_micros,
            matched_micros=matched,
            unmatched_micros=unmatched,
            unwound_contracts_micros=sum(leg.sold_micros for leg in trade.legs),
        )

    def is_spent(self, trade_id: str) -> bool:
        """Whether nothing but a new execution could move a trade's equity: it holds nothing, or all of it was paid out."""
        trade = self.trades[trade_id]
        return all(
            not leg.held or name in self.payouts for leg, name in zip(trade.legs, trade.terms.instruments, strict=True)
        )

    # Values

    def _revalue(self, trade: TradeEquity) -> int:
        was, trade.equity_micros = trade.equity_micros, self._equity(trade)
        return trade.equity_micros - was

    def _equity(self, trade: TradeEquity) -> int:
        terms, (a, b) = trade.terms, trade.legs
        cash = a.proceeds_micros + b.proceeds_micros - a.paid_micros - b.paid_micros
        if all(name in self.payouts for name in terms.instruments):
            return cash + sum(self._payout(terms, index, trade.legs[index].held) for index in _LEGS)
        matched = trade.matched
        value = cash + terms.payout_micros * matched // terms.quantity_micros
        for index in _LEGS:
            excess = trade.legs[index].held - matched
            if excess:
                value += self._unmatched(terms, index, excess)
        return value

    def _unmatched(self, terms: TradeTerms, index: LegIndex, quantity: int) -> int:
        """What unmatched contracts are worth; a negative quantity was sold without being held and must be bought back."""
        instrument_id = terms.instruments[index]
        if instrument_id in self.payouts:
            return self._payout(terms, index, quantity)
        mark = self.marks.get(Book(terms.partition, instrument_id), _NO_MARK)
        selling = quantity > 0
        price = mark.bid_micros if selling == (terms.outcomes[index] == "yes") else mark.ask_micros
        if price is None:
            price = 0 if selling else MICROS
        elif terms.outcomes[index] == "no":
            price = MICROS - price
        return price * quantity // MICROS

    def _payout(self, terms: TradeTerms, index: LegIndex, quantity: int) -> int:
        payout = self.payouts[terms.instruments[index]]
        return payout_micros(payout, terms.outcomes[index], quantity, terms.payout_units[index])

    def _expose(self, trade_id: str, trade: TradeEquity) -> None:
        matched = trade.matched
        for leg, instrument_id in zip(trade.legs, trade.terms.instruments, strict=True):
            book = Book(trade.terms.partition, instrument_id)
            if leg.held != matched:
                self.exposed.setdefault(book, {})[trade_id] = None
            elif book in self.exposed:
                self.exposed[book].pop(trade_id, None)
                if not self.exposed[book]:
                    del self.exposed[book]


def _mark_of(top: TopSeen) -> Mark:
    return Mark(top.bid_price_micros, top.ask_price_micros) if top.usable else _NO_MARK


def terms_of(intent: TradeIntent) -> TradeTerms:
    """What the trade of an intent is valued by."""
    a, b = intent.legs
    return TradeTerms(
        partition=intent.partition,
        instruments=(a.instrument_id, b.instrument_id),
        outcomes=(a.outcome, b.outcome),
        payout_units=(payout_unit(a.fee_schedule), payout_unit(b.fee_schedule)),
        payout_micros=intent.payout_micros,
        quantity_micros=intent.quantity_micros,
    )


def execute_fill(book: EquityBook, fill: Fill, *, undo: bool = False) -> int:
    """Tell a book of a Fill, or that it never happened; by how much equity moved, micros."""
    return book.execute(
        fill.trade_id,
        fill.instrument_id,
        fill.outcome,
        fill.side,
        fill.price_micros,
        fill.quantity_micros,
        fill.fee_micros,
        undo=undo,
    )
