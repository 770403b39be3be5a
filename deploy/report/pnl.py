"""PnL of executions: what each trade made at each instrument, by the same definitions as `projections/sql/views.sql`.

Decides which executions count (reversed ones do not), what one contract is worth (the payout once settled, else the mid of the
last mark with both sides), and how cash, fees and holdings become gross, net, realised and unrealised. Must never use a float,
and never value a holding that was never priced at anything but what it cost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from crossbook.domain.money import MICROS
from deploy.backtest.outcome import Mark, Outcome
from schemas.records import Fill, FillReversed


@dataclass(slots=True)
class LegSums:
    """Running sums of the executions of one trade at one instrument, micros. Linear, so an execution can be taken out again."""

    yes: int = 0
    no: int = 0
    cash: int = 0
    fees: int = 0
    bought: int = 0
    sold: int = 0
    bought_value: int = 0
    sold_value: int = 0
    bought_fees: int = 0
    sold_fees: int = 0

    def add(self, fill: Fill, sign: int = 1) -> None:
        """Count an execution; `sign` -1 takes it out again."""
        quantity = sign * fill.quantity_micros
        cash = sign * cash_of(fill)
        fee = sign * fill.fee_micros
        held = quantity if fill.side == "buy" else -quantity
        self.cash += cash
        self.fees += fee
        if fill.outcome == "yes":
            self.yes += held
        else:
            self.no += held
        # In YES terms: buying NO at q is selling YES at 1 - q and locking a dollar up.
        if (fill.outcome == "yes") == (fill.side == "buy"):
            self.bought += quantity
            self.bought_value += -cash if fill.outcome == "yes" else quantity - cash
            self.bought_fees += fee
        else:
            self.sold += quantity
            self.sold_value += cash if fill.outcome == "yes" else quantity + cash
            self.sold_fees += fee

    @property
    def closed_gross(self) -> int:
        """What the part that was bought and sold again made, before fees."""
        closed = min(self.bought, self.sold)
        return truncated(self.sold_value * closed, self.sold) - truncated(self.bought_value * closed, self.bought)

    @property
    def closed_fees(self) -> int:
        """Fees of that part."""
        closed = min(self.bought, self.sold)
        return truncated(self.sold_fees * closed, self.sold) + truncated(self.bought_fees * closed, self.bought)

    def gross(self, mark_yes_micros: int | None) -> int:
        """Cash moved and the value of what is held; at cost where there is no mark."""
        if mark_yes_micros is None:
            return self.closed_gross
        held = self.yes * mark_yes_micros + self.no * (MICROS - mark_yes_micros)
        return self.cash + truncated(held, MICROS)


class PnlLeg(msgspec.Struct, frozen=True, kw_only=True):
    """PnL of one trade at one instrument, micros: net = gross - fees = realised + unrealised."""

    trade_id: str
    instrument_id: str
    pair_id: str
    venue: str
    category: str
    ts_first_fill_ns: int
    settled: bool
    priced: bool
    cash_micros: int
    gross_micros: int
    fee_micros: int
    net_micros: int
    realised_micros: int
    unrealised_micros: int


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


def mid_of(mark: Mark) -> int | None:
    """Mid of a mark with both sides; None otherwise."""
    if mark.bid_micros is None or mark.ask_micros is None:
        return None
    return (mark.bid_micros + mark.ask_micros) // 2


def final_marks(marks: Iterable[Mark], settled: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """What one YES of each instrument is worth at the end, micros; instruments that were never priced are absent."""
    latest: dict[str, tuple[int, int]] = {}
    for mark in marks:
        mid = mid_of(mark)
        if mid is not None and mark.ts_ns >= latest.get(mark.instrument_id, (mark.ts_ns, 0))[0]:
            latest[mark.instrument_id] = (mark.ts_ns, mid)
    worth = {instrument_id: mid for instrument_id, (_, mid) in latest.items()}
    return worth | {instrument_id: payout for instrument_id, (payout, _) in settled.items()}


def pnl_legs(
    fills: Iterable[Fill], marks: Mapping[str, int], settled: Mapping[str, tuple[int, int]]
) -> tuple[PnlLeg, ...]:
    """PnL a trade and instrument, in the order of their first executions. `fills` are those that stand."""
    sums: dict[tuple[str, str], LegSums] = {}
    first: dict[tuple[str, str], Fill] = {}
    for fill in fills:
        key = (fill.trade_id, fill.instrument_id)
        if key not in sums:
            sums[key], first[key] = LegSums(), fill
        sums[key].add(fill)
    legs = []
    for (trade_id, instrument_id), leg in sums.items():
        fill = first[trade_id, instrument_id]
        gross = leg.gross(marks.get(instrument_id))
        net = gross - leg.fees
        is_settled = instrument_id in settled
        realised = net if is_settled else leg.closed_gross - leg.closed_fees
        legs.append(
            PnlLeg(
                trade_id=trade_id,
                instrument_id=instrument_id,
                pair_id=fill.pair_id,
                venue=fill.venue,
                category=fill.category,
                ts_first_fill_ns=fill.ts_ns,
                settled=is_settled,
                priced=instrument_id in marks,
                cash_micros=leg.cash,
                gross_micros=gross,
                fee_micros=leg.fees,
                net_micros=net,
                realised_micros=realised,
                unrealised_micros=net - realised,
            )
        )
    return tuple(legs)
