"""What a venue charges for a fill, to the micro.

Decides the fee of each fill under a named schedule, and a bound for an order not yet sent. Must never use a float, never
price under a schedule it does not understand, and never look up a rate: rates arrive in the schedule, with their moment.

How a schedule charges is its model's (`crossbook.domain.fee_models`); what is the same for all models stands here.
"""

import hashlib
import json
from typing import Final

import msgspec

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.port import Bounded, FillFee
from crossbook.domain.fee_models.table import rules_of
from crossbook.domain.money import MICROS
from schemas.records import FeeModel, FeeSchedule, InstrumentListed, Liquidity, Outcome, Rounding, Side

EXPONENT_MAX = 8  # venues have used 1 and 2; this only stops a corrupt schedule from building huge integers

_HASHED: Final = tuple(name for name in FeeSchedule.__struct_fields__ if name != "hash")


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
    rules = rules_of(model)
    bare = FeeSchedule(
        model=model,
        taker_rate_ppm=taker_rate_ppm,
        maker_rate_ppm=maker_rate_ppm,
        exponent=exponent,
        rounding=rules.rounding if rounding is None else rounding,
        member_precision_micros=rules.precision_micros if member_precision_micros is None else member_precision_micros,
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
    rules = rules_of(schedule.model)
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
    rules.check(schedule)
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

    Raises FeeError for a price outside 0..1 or a negative quantity.
    """
    if not 0 <= price_micros <= MICROS or quantity_micros < 0:
        _refuse_fill(price_micros, quantity_micros)
    return rules_of(schedule.model).taker_fee(schedule, price_micros, quantity_micros, side)


def payout_unit(schedule: FeeSchedule) -> int:
    """Unit of money, micros, to which the venue floors a payout."""
    return rules_of(schedule.model).payout_unit(schedule)


def payout_micros(payout_yes_micros: int, outcome: Outcome, quantity_micros: int, unit_micros: int) -> int:
    """What a holding of an outcome is paid, floored to the unit; the remainder of a scalar payout stays with the venue.

    A negative quantity owes: its payment is rounded up.
    """
    each = payout_yes_micros if outcome == "yes" else MICROS - payout_yes_micros
    return each * quantity_micros // (MICROS * unit_micros) * unit_micros


class FeeAccumulator:
    """Fees of one ORDER, fill by fill, in the order of its fills.

    `state` (micros of rounding paid and not yet given back) is all it remembers: `FeeAccumulator(schedule, state)` goes on
    where another stood. Always zero but where a model gives rounding back over the fills of an order.
    """

    __slots__ = ("_rules", "_schedule", "_state")

    def __init__(self, schedule: FeeSchedule, state: int = 0) -> None:
        if state < 0:
            raise FeeError(f"accumulator state was {state}; it is zero or more")
        self._rules = rules_of(schedule.model)
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

        Raises FeeError, and stays where it was, for a price outside 0..1, a quantity that is not positive, or a fill that the
        venue of the model cannot make.
        """
        if not 0 <= price_micros <= MICROS or quantity_micros <= 0:
            _refuse_fill(price_micros, quantity_micros)
        schedule = self._schedule
        rate = schedule.taker_rate_ppm if liquidity == "taker" else schedule.maker_rate_ppm
        fee, self._state = self._rules.fill(schedule, rate, self._state, price_micros, quantity_micros, side)
        return fee


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

    What rounding may add is the model's to know, and in `tick_micros`, where it is given, how far apart the prices are.
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
    order = Bounded(low, high, dearest, quantity_micros, fills_max, tick_micros)
    return rules_of(schedule.model).bound(schedule, order)


def _refuse_fill(price_micros: int, quantity_micros: int) -> None:
    raise FeeError(
        f"a fill of {quantity_micros} micros of a contract at {price_micros} micros cannot be charged; "
        f"prices are 0..{MICROS}, quantities positive"
    )
