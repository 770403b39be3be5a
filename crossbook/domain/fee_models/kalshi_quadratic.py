"""Kalshi's fee: rate · q · p(1-p), aligned to the member's balance over the fills of an order.

Each fill's trade fee is the model fee rounded up to a micro; the fill's balance change is then floored to the member's precision (100
micros direct, 10,000 through a broker) and the difference is charged as a rounding fee; what an ORDER paid in rounding accumulates over
its fills, taker and maker, and comes back in whole multiples of the precision as far as a fill's net fee stays at or above zero.
(docs.kalshi.com fee_rounding, the rule in force since August 2026. Earlier eras are not modelled: trade fee up to $0.0001 with $0.01
rebates; before it, the whole order up to the cent.)
"""

from typing import Final

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.port import QUADRATIC, Bounded, FillFee
from crossbook.domain.money import MICROS, MICROS_PER_CENT
from schemas.records import FeeSchedule, Rounding, Side

DIRECT_PRECISION_MICROS: Final = 100
FCM_PRECISION_MICROS: Final = 10_000
LOT_MICROS: Final = 10_000  # fills come in 0.01 contracts since 2026-04-17, whatever was sent


class KalshiQuadratic:
    """See the module; FeeRules says what each method is for."""

    rounding: Rounding = "ceil"
    precision_micros = DIRECT_PRECISION_MICROS

    def check(self, schedule: FeeSchedule) -> None:
        """As FeeRules."""
        if schedule.rounding != "ceil" or schedule.exponent != 1:
            raise FeeError(
                "a kalshi_quadratic schedule rounds its trade fee up with exponent 1; other rules are not modelled"
            )

    def taker_fee(self, schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side) -> int:
        """As FeeRules; the rounding looks at the side. A quantity off the 0.01 step, which no fill has, is priced up to the next micro."""
        notional = price_micros * quantity_micros  # 10^-12 dollars; so is every amount until the return
        trade = -(-schedule.taker_rate_ppm * notional * (MICROS - price_micros) // QUADRATIC) * MICROS
        unit = schedule.member_precision_micros * MICROS
        if side == "buy":
            return -((notional + (-notional - trade) // unit * unit) // MICROS)
        return -(((notional - trade) // unit * unit - notional) // MICROS)

    def fill(
        self,
        schedule: FeeSchedule,
        rate_ppm: int,
        owed_micros: int,
        price_micros: int,
        quantity_micros: int,
        side: Side,
    ) -> tuple[FillFee, int]:
        """As FeeRules. Raises FeeError for a fill off the steps of 0.01 contracts and $0.0001: its money is no whole micros."""
        notional = price_micros * quantity_micros
        revenue, rest = divmod(notional, MICROS)
        if rest:
            raise FeeError(
                f"a Kalshi fill of {quantity_micros} micros of a contract at {price_micros} micros is no whole micros of a "
                f"dollar; fills are multiples of {LOT_MICROS} at prices in multiples of 100"
            )
        if side == "buy":
            revenue = -revenue
        precision = schedule.member_precision_micros
        trade_fee = -(-rate_ppm * notional * (MICROS - price_micros) // QUADRATIC)
        rounding = (revenue - trade_fee) % precision  # what flooring to the precision takes away
        charged = trade_fee + rounding
        owed = owed_micros + rounding
        rebate = min(owed, charged) // precision * precision
        return FillFee(trade_fee, rounding, rebate, charged - rebate), owed - rebate

    def bound(self, schedule: FeeSchedule, order: Bounded) -> int:
        """The order's trade fees plus the rounding that no rebate returns, up to the cent.

        Trade fees: each fill is rounded up by less than a micro, so together they stay below the model fee + `fills_max`.
        Rounding where all money is a multiple of the precision: each fill that has a fee nets at least one precision, so the
        rebate is never capped, and the order ends at its trade fees rounded up to the precision; the cent covers that.
        Elsewhere a fill that nets less than one precision gets no rebate and may keep precision - 1.
        """
        low, high, price, quantity, fills_max, tick = order
        step = tick or (low if low == high else 1)
        if step and (low % step or high % step):
            step = 1  # the range does not lie on the tick it claims
        rate = max(schedule.taker_rate_ppm, schedule.maker_rate_ppm)
        precision = schedule.member_precision_micros
        bound = -(-rate * quantity * price * (MICROS - price) // QUADRATIC)
        if bound:
            bound += fills_max - 1
        aligned = quantity % LOT_MICROS == 0 and step * LOT_MICROS % (precision * MICROS) == 0
        if quantity and not aligned:
            bound += fills_max * (precision - 1)
        return -(-bound // MICROS_PER_CENT) * MICROS_PER_CENT

    def unit_fee(self, schedule: FeeSchedule, price_micros: int) -> int:
        """As FeeRules."""
        return schedule.taker_rate_ppm * price_micros * (MICROS - price_micros) // MICROS

    def favour_micros(self, schedule: FeeSchedule) -> int:
        """Nothing: it rounds against us, and gives back no more than it took."""
        del schedule
        return 0

    def payout_unit(self, schedule: FeeSchedule) -> int:
        """The member's balance precision."""
        return schedule.member_precision_micros
