"""What a venue charges for a fill, to the micro.

Decides the fee of each fill under a named schedule, and a bound for an order not yet sent. Must never use a float, never
price under a schedule it does not understand, and never look up a rate: rates arrive in the schedule, with their moment.

Models (M = 10^6; p price, q quantity, both micros; rates in parts per million):

- `kalshi_quadratic`: model fee = rate · q · p(1-p). Each fill's trade fee is the model fee rounded up to a micro; the fill's
  balance change is then floored to the member's precision (100 micros direct, 10,000 through a broker) and the difference is
  charged as a rounding fee; what an ORDER paid in rounding accumulates over its fills, taker and maker, and comes back in
  whole multiples of the precision as far as a fill's net fee stays at or above zero. (docs.kalshi.com fee_rounding, the rule
  in force since August 2026. Earlier eras are not modelled: trade fee up to $0.0001 with $0.01 rebates; before it, the whole
  order up to the cent.)
- `polymarket_curve`: fee = rate · q · (p(1-p))^exponent a maker matched, rounded to `member_precision_micros` (5 decimals).
  The venue says "rounded", a client of it floors, so the rounding belongs to the schedule; a fee below one unit is nothing.
- `free`: nothing.
"""

import hashlib
import json
from typing import Final, NamedTuple

import msgspec

from crossbook.domain.errors import FeeError
from crossbook.domain.money import MICROS, MICROS_PER_CENT
from schemas.records import FeeModel, FeeSchedule, InstrumentListed, Liquidity, Outcome, Rounding, Side

KALSHI_DIRECT_PRECISION_MICROS: Final = 100
KALSHI_FCM_PRECISION_MICROS: Final = 10_000
POLYMARKET_UNIT_MICROS: Final = 10
KALSHI_LOT_MICROS: Final = 10_000  # fills come in 0.01 contracts since 2026-04-17, whatever was sent

EXPONENT_MAX = 8  # venues have used 1 and 2; this only stops a corrupt schedule from building huge integers

_SQUARE: Final = MICROS * MICROS
#: rate(ppm) · q(micros) · p(micros) · (1-p)(micros) over this is micros of a dollar.
_QUADRATIC: Final = MICROS * _SQUARE

_HASHED: Final = tuple(name for name in FeeSchedule.__struct_fields__ if name != "hash")

_DEFAULTS: Final[dict[FeeModel, tuple[Rounding, int]]] = {
    "kalshi_quadratic": ("ceil", KALSHI_DIRECT_PRECISION_MICROS),
    "polymarket_curve": ("half_up", POLYMARKET_UNIT_MICROS),
    "free": ("floor", 1),
}


class FillFee(NamedTuple):
    """What one fill was charged: net = trade fee + rounding - rebate, never negative."""

    trade_fee_micros: int
    rounding_micros: int
    rebate_micros: int
    net_micros: int


_NO_FEE: Final = FillFee(0, 0, 0, 0)


def make_schedule(
    *,
    model: FeeModel,
    ts_effective_ns: int,
    source: str,
    taker_rate_ppm: int = 0,
    maker_rate_ppm: int = 0,
    exponent: int = 1,
    rounding: Rounding | None = None,
    member_precision_micros: int | None = None,
) -> FeeSchedule:
    """A schedule with its hash; rounding and precision default to the venue's own (Kalshi: direct member).

    Rates in parts per million: Kalshi's 0.07 with multiplier 1 is 70,000. Raises FeeError where `check_schedule` does.
    """
    if model not in _DEFAULTS:
        raise _unknown_model(model)
    rounding_default, precision_default = _DEFAULTS[model]
    bare = FeeSchedule(
        model=model,
        taker_rate_ppm=taker_rate_ppm,
        maker_rate_ppm=maker_rate_ppm,
        exponent=exponent,
        rounding=rounding_default if rounding is None else rounding,
        member_precision_micros=precision_default if member_precision_micros is None else member_precision_micros,
        ts_effective_ns=ts_effective_ns,
        source=source,
        hash="",
    )
    schedule = msgspec.structs.replace(bare, hash=schedule_hash(bare))
    check_schedule(schedule)
    return schedule


def schedule_hash(schedule: FeeSchedule) -> str:
    """sha256 (hex) of every field but `hash`, as compact JSON in the order of the record. Equal text, equal hash."""
    canonical = json.dumps(
        {name: getattr(schedule, name) for name in _HASHED}, separators=(",", ":"), ensure_ascii=True
    )
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def check_schedule(schedule: FeeSchedule) -> None:
    """Raises FeeError unless this module prices the schedule exactly and the hash is its own.

    Duty of whoever adopts a schedule (an instrument listed, a fee file read); the pricing functions trust it afterwards.
    """
    if schedule.model not in _DEFAULTS:
        raise _unknown_model(schedule.model)
    for name, rate in (("taker_rate_ppm", schedule.taker_rate_ppm), ("maker_rate_ppm", schedule.maker_rate_ppm)):
        if not 0 <= rate <= MICROS:
            raise FeeError(f"{name} was {rate}; use 0..{MICROS} (0.07 is 70000)")
    precision = schedule.member_precision_micros
    if precision < 1 or MICROS % precision:
        raise FeeError(f"member_precision_micros was {precision}; use a positive divisor of a dollar")
    if not 0 <= schedule.exponent <= EXPONENT_MAX:
        raise FeeError(f"exponent was {schedule.exponent}; use 0..{EXPONENT_MAX}")
    if schedule.rounding not in {"half_up", "floor", "ceil"}:
        raise FeeError(f"rounding was {schedule.rounding!r}; use half_up, floor or ceil")
    if schedule.model == "kalshi_quadratic" and (schedule.rounding != "ceil" or schedule.exponent != 1):
        raise FeeError(
            "a kalshi_quadratic schedule rounds its trade fee up with exponent 1; other rules are not modelled"
        )
    if schedule.model == "free" and (schedule.taker_rate_ppm or schedule.maker_rate_ppm):
        raise FeeError("a free schedule carried a rate; name the model that charges it")
    if schedule.hash != schedule_hash(schedule):
        raise FeeError(f"schedule hash {schedule.hash!r} is not that of its fields; build schedules with make_schedule")


def check_changes(first: FeeSchedule, changes: tuple[FeeSchedule, ...]) -> None:
    """Raises FeeError unless every announced schedule can be priced and each takes effect after the one before it."""
    before = first.ts_effective_ns
    for change in changes:
        check_schedule(change)
        if change.ts_effective_ns <= before:
            raise FeeError(f"a fee change takes effect at {change.ts_effective_ns}, not after the schedule before it")
        before = change.ts_effective_ns


def schedule_in_force(
    first: FeeSchedule, changes: tuple[FeeSchedule, ...], ts_ns: int
) -> tuple[FeeSchedule, int | None]:
    """The schedule that charges a fill at a moment, and when the next one replaces it (None: no change is announced)."""
    for index, change in enumerate(changes):
        if ts_ns < change.ts_effective_ns:
            return (changes[index - 1] if index else first), change.ts_effective_ns
    return (changes[-1] if changes else first), None


def listed_in_force(listed: InstrumentListed, ts_ns: int) -> tuple[InstrumentListed, int | None]:
    """The listing under the schedule that charges at a moment, and when the next one replaces it (None: no change is announced)."""
    schedule, until_ns = schedule_in_force(listed.fee_schedule, listed.fee_changes, ts_ns)
    if schedule is not listed.fee_schedule:
        listed = msgspec.structs.replace(listed, fee_schedule=schedule)
    return listed, until_ns


def taker_fee(schedule: FeeSchedule, price_micros: int, quantity_micros: int, side: Side = "buy") -> int:
    """Net fee in micros of an order that fills once, at once: equal to a fresh FeeAccumulator's first fill.

    Kalshi's rounding looks at the side. A quantity off Kalshi's 0.01 step, which no fill has, is priced up to the next
    micro. Raises FeeError for a price outside 0..1 or a negative quantity.
    """
    if not 0 <= price_micros <= MICROS or quantity_micros < 0:
        _refuse_fill(price_micros, quantity_micros)
    model = schedule.model
    if model == "kalshi_quadratic":
        notional = price_micros * quantity_micros  # 10^-12 dollars; so is every amount until the return
        trade = -(-schedule.taker_rate_ppm * notional * (MICROS - price_micros) // _QUADRATIC) * MICROS
        unit = schedule.member_precision_micros * MICROS
        if side == "buy":
            return -((notional + (-notional - trade) // unit * unit) // MICROS)
        return -(((notional - trade) // unit * unit - notional) // MICROS)
    if model == "polymarket_curve":
        return _curve_fee(schedule, schedule.taker_rate_ppm, price_micros, quantity_micros)
    if model == "free":
        return 0
    raise _unknown_model(model)


def payout_unit(schedule: FeeSchedule) -> int:
    """Unit of money, micros, to which the venue floors a payout: Kalshi the member's balance precision, elsewhere a micro."""
    return schedule.member_precision_micros if schedule.model == "kalshi_quadratic" else 1


def payout_micros(payout_yes_micros: int, outcome: Outcome, quantity_micros: int, unit_micros: int) -> int:
    """What a holding of an outcome is paid, floored to the unit; the remainder of a scalar payout stays with the venue.

    A negative quantity owes: its payment is rounded up.
    """
    each = payout_yes_micros if outcome == "yes" else MICROS - payout_yes_micros
    return each * quantity_micros // (MICROS * unit_micros) * unit_micros


class FeeAccumulator:
    """Fees of one ORDER, fill by fill, in the order of its fills.

    `state` (micros of rounding paid and not yet given back) is all it remembers: `FeeAccumulator(schedule, state)` goes on
    where another stood. Always zero but for Kalshi.
    """

    __slots__ = ("_schedule", "_state")

    def __init__(self, schedule: FeeSchedule, state: int = 0) -> None:
        if state < 0:
            raise FeeError(f"accumulator state was {state}; it is zero or more")
        self._schedule = schedule
        self._state = state

    @property
    def schedule(self) -> FeeSchedule:
        """The schedule of the order's market when the order was sent."""
        return self._schedule

    @property
    def state(self) -> int:
        """Micros of rounding fee that the order may still get back."""
        return self._state

    def copy(self) -> "FeeAccumulator":
        """An independent accumulator that stands where this one does."""
        return FeeAccumulator(self._schedule, self._state)

    def fill(self, price_micros: int, quantity_micros: int, side: Side, liquidity: Liquidity) -> FillFee:
        """Charge one fill and advance. `price_micros` is the executed price of the outcome bought or sold.

        Raises FeeError, and stays where it was, for a price outside 0..1, a quantity that is not positive, or a
        Kalshi fill whose money is no whole number of micros (off the steps of 0.01 contracts and $0.0001).
        """
        if not 0 <= price_micros <= MICROS or quantity_micros <= 0:
            _refuse_fill(price_micros, quantity_micros)
        schedule = self._schedule
        rate = schedule.taker_rate_ppm if liquidity == "taker" else schedule.maker_rate_ppm
        model = schedule.model
        if model == "kalshi_quadratic":
            return self._fill_kalshi(rate, price_micros, quantity_micros, side)
        if model == "polymarket_curve":
            fee = _curve_fee(schedule, rate, price_micros, quantity_micros)
            return FillFee(fee, 0, 0, fee)
        if model == "free":
            return _NO_FEE
        raise _unknown_model(model)

    def _fill_kalshi(self, rate_ppm: int, price_micros: int, quantity_micros: int, side: Side) -> FillFee:
        notional = price_micros * quantity_micros
        revenue, rest = divmod(notional, MICROS)
        if rest:
            raise FeeError(
                f"a Kalshi fill of {quantity_micros} micros of a contract at {price_micros} micros is no whole micros of a "
                f"dollar; fills are multiples of {KALSHI_LOT_MICROS} at prices in multiples of 100"
            )
        if side == "buy":
            revenue = -revenue
        precision = self._schedule.member_precision_micros
        trade_fee = -(-rate_ppm * notional * (MICROS - price_micros) // _QUADRATIC)
        rounding = (revenue - trade_fee) % precision  # what flooring to the precision takes away
        charged = trade_fee + rounding
        owed = self._state + rounding
        rebate = min(owed, charged) // precision * precision
        self._state = owed - rebate
        return FillFee(trade_fee, rounding, rebate, charged - rebate)


def fee_bound(
    schedule: FeeSchedule,
    price_micros: int,
    quantity_micros: int,
    *,
    price_best_micros: int | None = None,
    fills_max: int = 1,
    tick_micros: int | None = None,
) -> int:
    """Micros that an order's fees cannot exceed, known before it is sent.

    Holds for every sequence of at most `fills_max` fills, taker or maker, of one side, in the venue's steps, of together at
    most `quantity_micros`, each at a price between `price_micros` (the limit) and `price_best_micros` (default: the limit
    alone). A *better* price may cost a higher fee: p(1-p) peaks at 0.5, so the peak within the range is charged.

    Kalshi: the model fee rounded up to the cent an order, which is the published table, wherever each fill's money is a
    multiple of the member's precision (direct member at whole cents: one price, or a range with its `tick_micros`).
    Elsewhere each fill may keep up to one precision in rounding, and that is added first. Polymarket: up to 10^-5 dollar,
    and one unit more for each further fill, whichever way the venue rounds.
    Raises FeeError for a price outside 0..1, a negative quantity, or `fills_max` or `tick_micros` below 1.
    """
    best = price_micros if price_best_micros is None else price_best_micros
    low, high = (best, price_micros) if best <= price_micros else (price_micros, best)
    if low < 0 or high > MICROS or quantity_micros < 0:
        _refuse_fill(low if low < 0 else high, quantity_micros)
    if fills_max < 1 or (tick_micros is not None and tick_micros < 1):
        raise FeeError(f"fills_max was {fills_max}, tick_micros {tick_micros}; both are 1 or more")
    half = MICROS // 2
    dearest = half if low <= half <= high else (high if high < half else low)
    rate = max(schedule.taker_rate_ppm, schedule.maker_rate_ppm)
    model = schedule.model
    if model == "kalshi_quadratic":
        step = tick_micros or (price_micros if low == high else 1)
        if step and (low % step or high % step):
            step = 1  # the range does not lie on the tick it claims
        return _kalshi_bound(rate, dearest, quantity_micros, fills_max, step, schedule.member_precision_micros)
    if model == "polymarket_curve":
        numerator, denominator = _curve(rate, dearest, quantity_micros, schedule.exponent)
        unit = schedule.member_precision_micros
        units = -(-numerator // (denominator * unit))
        return (units + fills_max - 1) * unit if units else 0
    if model == "free":
        return 0
    raise _unknown_model(model)


def _kalshi_bound(
    rate_ppm: int, price_micros: int, quantity_micros: int, fills_max: int, step_micros: int, precision_micros: int
) -> int:
    """The order's trade fees plus the rounding that no rebate returns, up to the cent.

    Trade fees: each fill is rounded up by less than a micro, so together they stay below the model fee + `fills_max`.
    Rounding where all money is a multiple of the precision: each fill that has a fee nets at least one precision, so the
    rebate is never capped, and the order ends at its trade fees rounded up to the precision; the cent covers that.
    Elsewhere a fill that nets less than one precision gets no rebate and may keep precision - 1.
    """
    bound = -(-rate_ppm * quantity_micros * price_micros * (MICROS - price_micros) // _QUADRATIC)
    if bound:
        bound += fills_max - 1
    aligned = (
        quantity_micros % KALSHI_LOT_MICROS == 0 and step_micros * KALSHI_LOT_MICROS % (precision_micros * MICROS) == 0
    )
    if quantity_micros and not aligned:
        bound += fills_max * (precision_micros - 1)
    return -(-bound // MICROS_PER_CENT) * MICROS_PER_CENT


def _unknown_model(model: FeeModel) -> FeeError:
    return FeeError(f"fee model was {model!r}; known are {', '.join(_DEFAULTS)}")


def _curve(rate_ppm: int, price_micros: int, quantity_micros: int, exponent: int) -> tuple[int, int]:
    """Polymarket's fee in micros as an exact quotient."""
    square = price_micros * (MICROS - price_micros)
    if exponent == 1:
        return rate_ppm * quantity_micros * square, _QUADRATIC
    return rate_ppm * quantity_micros * square**exponent, MICROS * _SQUARE**exponent


def _curve_fee(schedule: FeeSchedule, rate_ppm: int, price_micros: int, quantity_micros: int) -> int:
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


def _refuse_fill(price_micros: int, quantity_micros: int) -> None:
    raise FeeError(
        f"a fill of {quantity_micros} micros of a contract at {price_micros} micros cannot be charged; "
        f"prices are 0..{MICROS}, quantities positive"
    )
