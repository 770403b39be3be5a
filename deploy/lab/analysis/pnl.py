"""What each trade made: the executor's own equity (`executors/portfolio/equity.py`), folded again from the records that an Outcome holds.

Decides in which order executions, tops and payouts count (that of the journal) and what an execution without an intent is worth:
all of it is unmatched. Must never use a float, and never value anything by another rule than the loss stops and the SQL views.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from crossbook.domain.money import MICROS
from deploy.lab.outcome.outcome import Outcome
from executors.portfolio.equity import EquityBook, TradeEquity, TradeTerms, execute_fill, terms_of
from schemas.records import Fill, FillReversed, IntentSeen, PayoutBooked, Record, TopSeen


class TradePnl(msgspec.Struct, frozen=True, kw_only=True):
    """PnL of one trade, micros: net = gross - fees = locked + marked.

    `locked_micros`: matched contracts at their worst payout, sales and payouts; `unwound_micros` is the part of it that sales made or
    lost. `marked_micros`: unmatched contracts at what the last top seen would pay, less what they cost. Then contracts: held on both
    legs, held on one, sold again.
    """

    trade_id: str
    pair_id: str
    venues: str
    category: str
    ts_first_fill_ns: int
    gross_micros: int
    fee_micros: int
    net_micros: int
    locked_micros: int
    marked_micros: int
    unwound_micros: int
    matched_micros: int
    unmatched_micros: int
    unwound_contracts_micros: int


class Move(NamedTuple):
    """Equity moved by so much at a stream time, micros."""

    ts_ns: int
    change_micros: int


class Folded(NamedTuple):
    """Trades with an execution that stands, in the order of their first ones, and every move of equity in the journal's order."""

    trades: tuple[TradePnl, ...]
    moves: tuple[Move, ...]


def truncated(numerator: int, denominator: int) -> int:
    """Quotient towards zero, as ClickHouse's intDiv; 0 for no denominator."""
    if denominator <= 0:
        return 0
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def cash_of(fill: Fill) -> int:
    """Cash that an execution moved, without its fee: a purchase is rounded up to a micro, a sale down, as the ledger does it."""
    product = fill.price_micros * fill.quantity_micros
    return -((product + MICROS - 1) // MICROS) if fill.side == "buy" else product // MICROS


def standing_fills(outcome: Outcome) -> list[Fill]:
    """Executions that were not reversed, in order."""
    gone = {record.fill_id for record in outcome.fills if isinstance(record, FillReversed)}
    return [record for record in outcome.fills if isinstance(record, Fill) and record.fill_id not in gone]


def fold_equity(outcome: Outcome) -> Folded:
    """Fold executions, tops and payouts into equity by trade."""
    book = EquityBook()
    intents = {one.intent_id: one for one in outcome.intents}
    intents |= {r.intent.intent_id: r.intent for r in outcome.journal if isinstance(r, IntentSeen)}
    fills = {record.fill_id: record for record in outcome.fills if isinstance(record, Fill)}
    moves = []
    for record in _in_order(outcome):
        change = 0
        match record:
            case Fill():
                if record.intent_id in intents:
                    book.open(record.trade_id, terms_of(intents[record.intent_id]))
                elif record.trade_id not in book.trades:
                    book.adopt(record.trade_id, TradeEquity(_unknown_terms(record)))
                change = execute_fill(book, record)
            case FillReversed(fill_id=fill_id) if fill_id in fills:
                change = execute_fill(book, fills[fill_id], undo=True)
            case TopSeen():
                change = book.see(record)
            case PayoutBooked():
                change = book.settle(record.instrument_id, record.payout_yes_micros)
            case _:
                pass
        if change:
            moves.append(Move(record.ts_ns, change))  # type: ignore[attr-defined]  # each record of the journal has it
    return Folded(_trades(book, standing_fills(outcome)), tuple(moves))


def _in_order(outcome: Outcome) -> Iterable[Record]:
    """Records of the journal and of fills by number; an execution has the number of its report and comes right after it."""
    numbered = [(record.sequence, 0, record) for record in outcome.journal]  # type: ignore[attr-defined]  # as above
    numbered += [(record.sequence, 1, record) for record in outcome.fills]  # type: ignore[attr-defined]  # as above
    numbered.sort(key=lambda item: item[:2])  # stable: what came first stays first
    return (record for _, _, record in numbered)


def _unknown_terms(fill: Fill) -> TradeTerms:
    """Terms of an execution whose intent is not there: one leg, nothing to match it."""
    return TradeTerms(0, (fill.instrument_id, ""), (fill.outcome, "no"), (1, 1), 0, 1)


def _trades(book: EquityBook, fills: Iterable[Fill]) -> tuple[TradePnl, ...]:
    own: dict[str, list[Fill]] = {}
    for fill in fills:
        own.setdefault(fill.trade_id, []).append(fill)
    made = []
    for trade_id, group in own.items():
        worth, first = book.worth(trade_id), group[0]
        made.append(
            TradePnl(
                trade_id=trade_id,
                pair_id=first.pair_id,
                venues=" + ".join(sorted({fill.venue for fill in group})),
                category=first.category,
                ts_first_fill_ns=first.ts_ns,
                gross_micros=worth.equity_micros + worth.fee_micros,
                fee_micros=worth.fee_micros,
                net_micros=worth.equity_micros,
                locked_micros=worth.locked_micros,
                marked_micros=worth.marked_micros,
                unwound_micros=worth.unwound_micros,
                matched_micros=worth.matched_micros,
                unmatched_micros=worth.unmatched_micros,
                unwound_contracts_micros=worth.unwound_contracts_micros,
            )
        )
    return tuple(made)
