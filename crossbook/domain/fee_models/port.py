"""The port to a fee model: what has to be known of a formula to price orders, bound them and pay out under it.

A model is pure and exact: integers in, integers out, micros everywhere. What a schedule holds was checked by `check` before any other
method sees it. Rates are parts per million, prices those of the outcome bought or sold.
"""

from typing import Final, NamedTuple, Protocol

from crossbook.domain.money import MICROS
from schemas.records import FeeSchedule, Rounding, Side

#: rate(ppm) · q(micros) · p(micros) · (1-p)(micros) over this is micros of a dollar.
QUADRATIC: Final = MICROS * MICROS * MICROS


class FillFee(NamedTuple):
    """What one fill was charged: net = trade fee + rounding - rebate, never negative."""

    trade_fee_micros: int
    rounding_micros: int
    rebate_micros: int
    net_micros: int


NO_FEE: Final = FillFee(0, 0, 0, 0)


class Bounded(NamedTuple):
    """Every order whose fees are to be bounded: fills of one side at prices from `low` to `high`, together at most the quantity.

    `dearest` is the price of the range at which p(1-p) is largest; `tick_micros` the distance of the prices, None where it is not known.
    """

    low_micros: int
    high_micros: int
    dearest_micros: int
    quantity_micros: int
    fills_max: int
    tick_micros: int | None


class FeeRules(Protocol):
    """One fee model."""

    @property
    def rounding(self) -> Rounding:
        """How a schedule rounds unless it says otherwise."""
        ...

    @property
    def precision_micros(self) -> int:
        """Unit of money, micros, that a schedule rounds to unless it says otherwise."""
        ...

    def check(self, schedule: FeeSchedule) -> None:
        """Raise FeeError for a schedule that this model does not price exactly; what all models ask was asked before."""
        ...

    def taker_fee(self, schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side) -> int:
        """Net fee of an order that fills once, at once, micros."""
        ...

    def fill(
        self,
        schedule: FeeSchedule,
        rate_ppm: int,
        owed_micros: int,
        price_micros: int,
        quantity_micros: int,
        side: Side,
    ) -> tuple[FillFee, int]:
        """Fee of the next fill of an order that may still get `owed_micros` of rounding back, and what it may get back afterwards.

        Raises FeeError for a fill that the venue cannot make.
        """
        ...

    def bound(self, schedule: FeeSchedule, order: Bounded) -> int:
        """Micros that the order's fees cannot exceed, whoever takes or makes."""
        ...

    def unit_fee(self, schedule: FeeSchedule, price_micros: int) -> int:
        """Taker's fee of a contract before anything is rounded, 10^-6 micros, floored."""
        ...

    def favour_micros(self, schedule: FeeSchedule) -> int:
        """What rounding can take off the fee of one fill at most, micros."""
        ...

    def payout_unit(self, schedule: FeeSchedule) -> int:
        """Unit of money, micros, to which the venue floors a payout."""
        ...
