"""A fee model of a plug-in: so many micros a contract, whatever the price, rounded up to a cent an order."""

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.port import Bounded, FillFee
from crossbook.domain.money import MICROS, MICROS_PER_CENT, ceil_div
from schemas.records import FeeSchedule, Rounding, Side

FLAT = "acme_flat"


class FlatFee:
    """The rates are micros a contract; what was rounded up is given back to the order's next fills."""

    rounding: Rounding = "ceil"
    precision_micros = MICROS_PER_CENT

    def check(self, schedule: FeeSchedule) -> None:
        if schedule.rounding != "ceil":
            raise FeeError("acme_flat rounds up")

    def taker_fee(self, schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side) -> int:
        return _up(schedule, schedule.taker_rate_ppm * quantity_micros)

    def fill(
        self,
        schedule: FeeSchedule,
        rate_ppm: int,
        owed_micros: int,
        price_micros: int,
        quantity_micros: int,
        side: Side,
    ) -> tuple[FillFee, int]:
        exact = ceil_div(rate_ppm * quantity_micros, MICROS)
        net = _up(schedule, max(exact - owed_micros, 0) * MICROS)
        return FillFee(exact, max(net - exact, 0), max(exact - net, 0), net), owed_micros + net - exact

    def bound(self, schedule: FeeSchedule, order: Bounded) -> int:
        rate = max(schedule.taker_rate_ppm, schedule.maker_rate_ppm)
        return _up(schedule, rate * order.quantity_micros) + order.fills_max * schedule.member_precision_micros

    def unit_fee(self, schedule: FeeSchedule, price_micros: int) -> int:
        return schedule.taker_rate_ppm * MICROS

    def favour_micros(self, schedule: FeeSchedule) -> int:
        return 0

    def payout_unit(self, schedule: FeeSchedule) -> int:
        return MICROS_PER_CENT


def _up(schedule: FeeSchedule, amount: int) -> int:
    """Micros² of a contract up to the unit of the schedule, micros."""
    unit = schedule.member_precision_micros
    return ceil_div(amount, MICROS * unit) * unit
