"""No fee at all."""

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.port import NO_FEE, Bounded, FillFee
from schemas.records import FeeSchedule, Rounding, Side


class Free:
    """Charges nothing; FeeRules says what each method is for."""

    rounding: Rounding = "floor"
    precision_micros = 1

    def check(self, schedule: FeeSchedule) -> None:
        """As FeeRules."""
        if schedule.taker_rate_ppm or schedule.maker_rate_ppm:
            raise FeeError("a free schedule carried a rate; name the model that charges it")

    def taker_fee(self, schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side) -> int:
        """As FeeRules."""
        del schedule, price_micros, quantity_micros, side
        return 0

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
        del schedule, rate_ppm, price_micros, quantity_micros, side
        return NO_FEE, owed_micros

    def bound(self, schedule: FeeSchedule, order: Bounded) -> int:
        """As FeeRules."""
        del schedule, order
        return 0

    def unit_fee(self, schedule: FeeSchedule, price_micros: int) -> int:
        """As FeeRules."""
        del schedule, price_micros
        return 0

    def favour_micros(self, schedule: FeeSchedule) -> int:
        """As FeeRules."""
        del schedule
        return 0

    def payout_unit(self, schedule: FeeSchedule) -> int:
        """A micro."""
        del schedule
        return 1
