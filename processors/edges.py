"""Prices a package of two legs: what buying both outcomes costs, pays at worst, and leaves, to the micro.

Decides the quantity worth taking from the displayed depth and the exact waterfall of that quantity. Must never use a float,
assume a payout, a fee schedule or a payout date that is not known (the package is then refused by name), or look at time
other than the `now_ns` it is given.

The walk: both depths are cut where a price of either leg changes. A stretch is taken while what it adds to the net (payout less
prices, exact fees, currency and lock-up; not gas, which is paid once) is above zero; the quantity is floored to a multiple of both
quantity steps. Prices only worsen along the walk, and faster than any fee p(1-p) can fall, so the first stretch that adds nothing
ends it. On one-level books the walk takes the displayed size.
"""

from collections.abc import Iterator, Sequence
from math import lcm
from typing import Final, NamedTuple, get_args

from crossbook.domain.book import Level
from crossbook.domain.errors import FeeError
from crossbook.domain.fees import FeeAccumulator
from crossbook.domain.money import MICROS, ceil_div, cost_micros
from schemas.records import (
    FeeSchedule,
    FrictionPack,
    InstrumentListed,
    Outcome,
    Package,
    PairListed,
    PayoutOutcome,
    Relation,
)

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000

#: What is bought at instrument_a and instrument_b.
OUTCOMES: Final[dict[Package, tuple[Outcome, Outcome]]] = {
    "yes_a_no_b": ("yes", "no"),
    "no_a_yes_b": ("no", "yes"),
    "yes_a_yes_b": ("yes", "yes"),
    "no_a_no_b": ("no", "no"),
}
#: The two packages of a relation that pay alike in every outcome it allows.
PACKAGES: Final[dict[Relation, tuple[Package, Package]]] = {
    "identity": ("yes_a_no_b", "no_a_yes_b"),
    "complement": ("yes_a_yes_b", "no_a_no_b"),
}
_PAYOUT_OUTCOMES: Final[tuple[PayoutOutcome, ...]] = get_args(PayoutOutcome)


class Terms(NamedTuple):
    """What a package is priced under; holds until a listing, the pair or the friction pack changes.

    `payout_micros` is the worst admissible payout less the haircut, a contract. `ts_payout_ns` is the later leg's.
    """

    outcome_a: Outcome
    outcome_b: Outcome
    payout_micros: int
    step_micros: int
    schedule_a: FeeSchedule
    schedule_b: FeeSchedule
    gas_micros: int
    currency_ppm: int
    lockup_ppm_per_year: int
    ts_payout_ns: int


class Refused(NamedTuple):
    """A package that cannot be priced, and why."""

    reason: str


class Evaluation(NamedTuple):
    """Waterfall of a quantity; totals in micros of a dollar, prices are the worst walked to, in the outcomes' own terms.

    `gross_top_micros` is payout less prices at the displayed size of the two best levels.
    """

    quantity_micros: int
    price_a_micros: int
    price_b_micros: int
    cost_a_micros: int
    cost_b_micros: int
    payout_micros: int
    fee_a_micros: int
    fee_b_micros: int
    friction_micros: int
    lockup_micros: int
    gross_top_micros: int

    @property
    def gross_micros(self) -> int:
        """Payout less both costs."""
        return self.payout_micros - self.cost_a_micros - self.cost_b_micros

    @property
    def net_micros(self) -> int:
        """Gross less fees, friction and lock-up."""
        return (
            self.payout_micros
            - self.cost_a_micros
            - self.cost_b_micros
            - self.fee_a_micros
            - self.fee_b_micros
            - self.friction_micros
            - self.lockup_micros
        )

    @property
    def net_per_contract_micros(self) -> int:
        """Net over quantity, floored, micros a contract; 0 for no quantity."""
        return self.net_micros * MICROS // self.quantity_micros if self.quantity_micros else 0

    @property
    def net_per_contract_nearest_micros(self) -> int:
        """The same rounded to the nearest micro, half up: for statistics, never for a threshold."""
        quantity = self.quantity_micros
        return (2 * self.net_micros * MICROS + quantity) // (2 * quantity) if quantity else 0


NOTHING: Final = Evaluation(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def worst_payout(pair: PairListed, package: Package) -> int | Refused:
    """Smallest admissible payout of one contract of each leg, less the haircut, micros.

    Every outcome must have a cell, and every admissible cell both payouts: what is not known fails closed.
    """
    outcome_a, outcome_b = OUTCOMES[package]
    present = {cell.outcome for cell in pair.payouts}
    missing = [outcome for outcome in _PAYOUT_OUTCOMES if outcome not in present]
    if missing:
        return Refused(f"payout_missing_{missing[0]}")
    worst: int | None = None
    for cell in pair.payouts:
        if not cell.admissible:
            continue
        if cell.payout_a_micros is None or cell.payout_b_micros is None:
            return Refused(f"payout_unknown_{cell.outcome}")
        pays = _pays(outcome_a, cell.payout_a_micros) + _pays(outcome_b, cell.payout_b_micros)
        worst = pays if worst is None or pays < worst else worst
    return Refused("payout_inadmissible") if worst is None else worst - pair.haircut_micros


def _pays(outcome: Outcome, payout_yes_micros: int) -> int:
    return payout_yes_micros if outcome == "yes" else MICROS - payout_yes_micros


def make_terms(
    pair: PairListed,
    package: Package,
    listed_a: InstrumentListed | None,
    listed_b: InstrumentListed | None,
    friction: FrictionPack | None,
) -> Terms | Refused:
    """Terms of a package, or why it cannot be priced."""
    if listed_a is None or listed_b is None:
        return Refused("not_listed")
    if pair.instrument_a == pair.instrument_b:
        return Refused("same_instrument")  # YES + NO below 1 in one mirrored book is a broken book
    if friction is None:
        return Refused("no_friction")
    payout = worst_payout(pair, package)
    if isinstance(payout, Refused):
        return payout
    if listed_a.quantity_step_micros < 1 or listed_b.quantity_step_micros < 1:
        return Refused("no_quantity_step")
    ts_payout_ns = 0
    if friction.lockup_ppm_per_year:
        if listed_a.ts_payout_expected_ns is None or listed_b.ts_payout_expected_ns is None:
            return Refused("payout_time_unknown")
        ts_payout_ns = max(listed_a.ts_payout_expected_ns, listed_b.ts_payout_expected_ns)
    outcome_a, outcome_b = OUTCOMES[package]
    return Terms(
        outcome_a,
        outcome_b,
        payout,
        lcm(listed_a.quantity_step_micros, listed_b.quantity_step_micros),
        listed_a.fee_schedule,
        listed_b.fee_schedule,
        friction.gas_micros,
        friction.fx_ppm + friction.on_ramp_ppm,
        friction.lockup_ppm_per_year,
        ts_payout_ns,
    )


class _LegWalk:
    """Cost and fees of one leg at growing quantities; each level walked through is one fill of one order."""

    __slots__ = ("_accumulator", "_cost", "_done", "_fee", "_index", "_levels")

    def __init__(self, levels: Sequence[Level], schedule: FeeSchedule) -> None:
        self._levels = levels
        self._accumulator = FeeAccumulator(schedule)
        self._index = 0
        self._done = 0  # quantity of the levels walked through wholly
        self._cost = 0
        self._fee = 0

    def to(self, quantity_micros: int) -> tuple[int, int, int]:
        """(worst price, cost, fee) of a quantity that is displayed and not below the last one."""
        price, size = self._levels[self._index]
        while quantity_micros > self._done + size:
            self._cost += cost_micros(price, size)
            self._fee += self._accumulator.fill(price, size, "buy", "taker").net_micros
            self._done += size
            self._index += 1
            price, size = self._levels[self._index]
        part = quantity_micros - self._done
        fee = self._accumulator.copy().fill(price, part, "buy", "taker").net_micros
        return price, self._cost + cost_micros(price, part), self._fee + fee


class _Pricer:
    """Waterfalls of one package at growing quantities."""

    __slots__ = ("_gross_top", "_lockup_numerator", "_terms", "_walk_a", "_walk_b")

    def __init__(self, terms: Terms, levels_a: Sequence[Level], levels_b: Sequence[Level], now_ns: int) -> None:
        self._terms = terms
        self._walk_a = _LegWalk(levels_a, terms.schedule_a)
        self._walk_b = _LegWalk(levels_b, terms.schedule_b)
        self._lockup_numerator = terms.lockup_ppm_per_year * max(terms.ts_payout_ns - now_ns, 0)
        self._gross_top = gross_at_top(terms, levels_a[0], levels_b[0])

    def price(self, quantity_micros: int) -> Evaluation:
        terms = self._terms
        price_a, cost_a, fee_a = self._walk_a.to(quantity_micros)
        price_b, cost_b, fee_b = self._walk_b.to(quantity_micros)
        cost = cost_a + cost_b
        return Evaluation(
            quantity_micros,
            price_a,
            price_b,
            cost_a,
            cost_b,
            terms.payout_micros * quantity_micros // MICROS,
            fee_a,
            fee_b,
            terms.gas_micros + ceil_div(cost * terms.currency_ppm, MICROS),
            ceil_div(cost * self._lockup_numerator, MICROS * YEAR_NS),
            self._gross_top,
        )


def gross_at_top(terms: Terms, best_a: Level, best_b: Level) -> int:
    """Payout less prices at the displayed size of the two best levels, micros; rounded down."""
    size = min(best_a[1], best_b[1])
    size -= size % terms.step_micros
    return (terms.payout_micros - best_a[0] - best_b[0]) * size // MICROS


def evaluate(
    terms: Terms,
    levels_a: Sequence[Level],
    levels_b: Sequence[Level],
    now_ns: int,
    *,
    marginal_micros: int = 0,
) -> Evaluation | Refused:
    """Walk both depths (levels to buy, best first) while each stretch adds more than zero.

    With `marginal_micros` above zero a stretch must add at least that much a contract. If already the first stretch does
    not, that stretch is priced, so that the waterfall shows why. Refused if nothing is displayed, or if a venue's fee rule
    does not know such a fill.
    """
    if not levels_a or not levels_b:
        return Refused("no_depth")
    pricer = _Pricer(terms, levels_a, levels_b, now_ns)
    taken: Evaluation | None = None
    variable_net = 0
    try:
        for quantity in _stretches(levels_a, levels_b, terms.step_micros):
            wider = pricer.price(quantity)
            net = wider.net_micros + terms.gas_micros
            added = net - variable_net
            width = quantity if taken is None else quantity - taken.quantity_micros
            enough = added * MICROS >= marginal_micros * width if marginal_micros > 0 else added > 0
            if not enough:
                return wider if taken is None else taken
            taken = wider
            variable_net = net
    except FeeError as error:
        return Refused(f"fee: {error}")
    return Refused("no_depth") if taken is None else taken


def price_at(
    terms: Terms, levels_a: Sequence[Level], levels_b: Sequence[Level], now_ns: int, quantity_micros: int
) -> Evaluation | Refused:
    """Waterfall of exactly this quantity, which both depths must hold."""
    try:
        return _Pricer(terms, levels_a, levels_b, now_ns).price(quantity_micros)
    except FeeError as error:
        return Refused(f"fee: {error}")


def cap_quantity(
    terms: Terms,
    levels_a: Sequence[Level],
    levels_b: Sequence[Level],
    now_ns: int,
    evaluation: Evaluation,
    cost_max_micros: int,
) -> Evaluation | Refused:
    """The evaluation, or that of the largest smaller quantity on the step at which no leg costs more than the cap with its fee."""
    if _within(evaluation, cost_max_micros):
        return evaluation
    step = terms.step_micros
    low, high = 0, evaluation.quantity_micros // step  # low fits (it costs nothing), high does not
    best: Evaluation | Refused = Refused("cost_cap")
    while high - low > 1:
        middle = (low + high) // 2
        priced = price_at(terms, levels_a, levels_b, now_ns, middle * step)
        if isinstance(priced, Refused):
            return priced
        if _within(priced, cost_max_micros):
            low, best = middle, priced
        else:
            high = middle
    return best


def _within(evaluation: Evaluation, cost_max_micros: int) -> bool:
    return (
        evaluation.cost_a_micros + evaluation.fee_a_micros <= cost_max_micros
        and evaluation.cost_b_micros + evaluation.fee_b_micros <= cost_max_micros
    )


def _stretches(levels_a: Sequence[Level], levels_b: Sequence[Level], step_micros: int) -> Iterator[int]:
    """Cumulative quantities, on the step, at which either leg's price changes, up to the smaller depth."""
    last = 0
    index_a = index_b = 0
    end_a, end_b = levels_a[0][1], levels_b[0][1]
    while True:
        depth = min(end_a, end_b)
        quantity = depth - depth % step_micros
        if quantity > last:
            last = quantity
            yield quantity
        if end_a == depth:
            index_a += 1
            if index_a == len(levels_a):
                return
            end_a += levels_a[index_a][1]
        if end_b == depth:
            index_b += 1
            if index_b == len(levels_b):
                return
            end_b += levels_b[index_b][1]
