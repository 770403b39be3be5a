"""Polymarket's fee: rate · q · (p(1-p))^exponent a maker matched, rounded to the schedule's unit (5 decimals).

The venue says "rounded", a client of it floors, so the rounding belongs to the schedule; a fee below one unit is nothing.
"""

from typing import Final

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.port import QUADRATIC, Bounded, FillFee
from crossbook.domain.money import MICROS
from schemas.records import FeeSchedule, Rounding, Side

UNIT_MICROS: Final = 10
_SQUARE: Final = MICROS * MICROS


class PolymarketCurve:
    """See the module; FeeRules says what each method is for."""

    rounding: Rounding = "half_up"
    precision_micros = UNIT_MICROS

    def check(self, schedule: FeeSchedule) -> None:
        """As FeeRules: every schedule that all models ask for is priced."""

    def taker_fee(self, schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side) -> int:
        """As FeeRules."""
        del side
        return _fee(schedule, schedule.taker_rate_ppm, price_micros, quantity_micros)

    def fill(
        self,
        schedule: FeeSchedule,
        rate_ppm: int,
        owed_micros: int,
        price_micros: int,
        quantity_micros: int,
        side: Side,
    ) -> tuple[FillFee, int]:
        """As FeeRules."""
        del side
        fee = _fee(schedule, rate_ppm, price_micros, quantity_micros)
        return FillFee(fee, 0, 0, fee), owed_micros

    def bound(self, schedule: FeeSchedule, order: Bounded) -> int:
        """Up to the unit, and one unit more for each further fill, whichever way the venue rounds."""
        rate = max(schedule.taker_rate_ppm, schedule.maker_rate_ppm)
        numerator, denominator = _curve(rate, order.dearest_micros, order.quantity_micros, schedule.exponent)
        unit = schedule.member_precision_micros
        units = -(-numerator // (denominator * unit))
        return (units + order.fills_max - 1) * unit if units else 0

    def unit_fee(self, schedule: FeeSchedule, price_micros: int) -> int:
        """As FeeRules."""
        square, exponent = price_micros * (MICROS - price_micros), schedule.exponent
        if exponent == 1:
            return schedule.taker_rate_ppm * square // MICROS
        fee: int = schedule.taker_rate_ppm * square**exponent * MICROS // MICROS ** (2 * exponent)
        return fee

    def favour_micros(self, schedule: FeeSchedule) -> int:
        """As FeeRules."""
        return schedule.member_precision_micros if schedule.rounding != "ceil" else 0

    def payout_unit(self, schedule: FeeSchedule) -> int:
        """A micro."""
        del schedule
        return 1


def _curve(rate_ppm: int, price_micros: int, quantity_micros: int, exponent: int) -> tuple[int, int]:
    """The fee in micros as an exact quotient."""
    square = price_micros * (MICROS - price_micros)
    if exponent == 1:
        return rate_ppm * quantity_micros * square, QUADRATIC
    return rate_ppm * quantity_micros * square**exponent, MICROS * _SQUARE**exponent


def _fee(schedule: FeeSchedule, rate_ppm: int, price_micros: int, quantity_micros: int) -> int:
    numerator, denominator = _curve(rate_ppm, price_micros, quantity_micros, schedule.exponent)
    unit = schedule.member_precision_micros
    whole = denominator * unit
    rounding = schedule.rounding
    if rounding == "half_up":
        return (2 * numerator + whole) // (2 * whole) * unit if numerator >= whole else 0
    if rounding == "floor":
        return numerator // whole * unit
    if rounding == "ceil":
        return -(-numerator // whole) * unit
    raise FeeError(f"rounding was {rounding!r}; no fee formula knows it")
