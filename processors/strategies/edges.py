"""Prices a package of two legs: what buying both outcomes costs, pays at worst, and leaves, to the micro.

Decides the quantity worth taking from the displayed depth and the exact waterfall of that quantity. Must never use a float,
assume a payout, a fee schedule or a payout date that is not known (the package is then refused by name), or look at time
other than the `now_ns` it is given.

The walk: of all multiples of both quantity steps that both depths hold, the one that leaves the most is taken (payout less prices,
exact fees, currency and lock-up; not gas, which is paid once). Fees are rounded by fill, so that a stretch can add nothing and the
next one something, and a lot less can leave more; the walk looks past both.
"""

from collections.abc import Iterator, Sequence
from math import lcm
from typing import Final, NamedTuple, TypeAlias

from crossbook.domain.errors import FeeError
from crossbook.domain.money import MICROS, ceil_div
from crossbook.market.book import Level
from processors.strategies.legs import BOUND_SCALE, LegPricer
from schemas.records import (
    FeeSchedule,
    FrictionPack,
    InstrumentListed,
    Outcome,
    Package,
    PairListed,
    Relation,
)
from schemas.vocabulary import words

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
#: Quantities priced at most, downwards and upwards. Only where a contract leaves less than a hundredth of a cent do the bounds need
#: more, and all that such a quantity could still win is one rounding.
TRIES_MAX: Final = 1_000
NO_CAP: Final = 2**63 - 1
#: Quantities above `start`, up to `end`, that end in one level of each leg: (start, end, slope, what `start` may leave at most, indexes).
_Stretch: TypeAlias = tuple[int, int, int, int, int, int]
#: Cost and fee of leg a, cost and fee of leg b.
_Legs: TypeAlias = tuple[int, int, int, int]
#: What each leg may buy, best first.
Levels: TypeAlias = tuple[Sequence[Level], Sequence[Level]]

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
    missing = [outcome for outcome in words("payout_outcome") if outcome not in present]
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


class _Pricer:
    """Waterfalls of one package at any quantity."""

    __slots__ = ("_gross_top", "_terms", "leg_a", "leg_b", "lockup_numerator")

    def __init__(self, terms: Terms, levels_a: Sequence[Level], levels_b: Sequence[Level], now_ns: int) -> None:
        self._terms = terms
        self.leg_a = LegPricer(levels_a, terms.schedule_a)
        self.leg_b = LegPricer(levels_b, terms.schedule_b)
        self.lockup_numerator = terms.lockup_ppm_per_year * max(terms.ts_payout_ns - now_ns, 0)
        self._gross_top = gross_at_top(terms, levels_a[0], levels_b[0])

    def price_at(self, quantity_micros: int) -> Evaluation:
        """The waterfall of a quantity that is displayed."""
        index_a, index_b = (leg.index_of(quantity_micros) for leg in (self.leg_a, self.leg_b))
        return self.price(index_a, index_b, quantity_micros, self.legs(index_a, index_b, quantity_micros))

    def legs(self, index_a: int, index_b: int, quantity_micros: int) -> _Legs:
        """Cost and fee of both legs at a quantity that ends in these levels."""
        return *self.leg_a.at(index_a, quantity_micros), *self.leg_b.at(index_b, quantity_micros)

    def left(self, quantity_micros: int, legs: _Legs) -> int:
        """Net before gas of a quantity with these costs and fees."""
        terms = self._terms
        cost_a, fee_a, cost_b, fee_b = legs
        cost = cost_a + cost_b
        left = terms.payout_micros * quantity_micros // MICROS - cost - fee_a - fee_b
        if terms.currency_ppm:
            left -= ceil_div(cost * terms.currency_ppm, MICROS)
        if self.lockup_numerator:
            left -= ceil_div(cost * self.lockup_numerator, MICROS * YEAR_NS)
        return left

    def price(self, index_a: int, index_b: int, quantity_micros: int, legs: _Legs) -> Evaluation:
        """The waterfall of a quantity that ends in these levels, with these costs and fees."""
        terms = self._terms
        cost_a, fee_a, cost_b, fee_b = legs
        cost = cost_a + cost_b
        return Evaluation(
            quantity_micros,
            self.leg_a.levels[index_a][0],
            self.leg_b.levels[index_b][0],
            cost_a,
            cost_b,
            terms.payout_micros * quantity_micros // MICROS,
            fee_a,
            fee_b,
            terms.gas_micros + ceil_div(cost * terms.currency_ppm, MICROS),
            ceil_div(cost * self.lockup_numerator, MICROS * YEAR_NS),
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
    """The quantity of both depths (levels to buy, best first) that leaves the most; of equal ones the smallest.

    With `marginal_micros` above zero every contract must add that much: what is made largest is the net less that amount a
    contract, and of equal quantities the largest is taken. If no quantity adds anything, the first stretch is priced, so that the
    waterfall shows why. Refused if nothing is displayed, or if a venue's fee rule does not know such a fill.
    """
    if not levels_a or not levels_b:
        return Refused("no_depth")
    pricer = _Pricer(terms, levels_a, levels_b, now_ns)
    try:
        best = _Walk(terms, pricer, marginal_micros, NO_CAP, NO_CAP).best()
        if best is not None:
            return best
        first = _first_quantity(levels_a, levels_b, terms.step_micros)
        return pricer.price_at(first) if first else Refused("no_depth")
    except FeeError as error:
        return Refused(f"fee: {error}")


def leaves_in_whole(
    terms: Terms, levels_a: Sequence[Level], levels_b: Sequence[Level], now_ns: int, evaluation: Evaluation
) -> bool:
    """Whether levels taken whole leave something, as an evaluation above zero says of its quantity.

    What only a part of a level leaves is won by the rounding of a fee: it is traded, but it is no edge of the market.
    """
    pricer = _Pricer(terms, levels_a, levels_b, now_ns)
    try:
        for start, end, _, _, index_a, index_b in _Walk(terms, pricer, 0, NO_CAP, NO_CAP).stretches():
            quantity = end - end % terms.step_micros
            if quantity == evaluation.quantity_micros:
                return True
            if quantity > start and pricer.left(quantity, pricer.legs(index_a, index_b, quantity)) > terms.gas_micros:
                return True
    except FeeError:
        return False
    return False


def price_at(
    terms: Terms, levels_a: Sequence[Level], levels_b: Sequence[Level], now_ns: int, quantity_micros: int
) -> Evaluation | Refused:
    """Waterfall of exactly this quantity, which both depths must hold."""
    try:
        return _Pricer(terms, levels_a, levels_b, now_ns).price_at(quantity_micros)
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
    """The evaluation, or that of the smaller quantity that leaves the most while no leg costs more than the cap with its fee."""
    if _within(evaluation, cost_max_micros):
        return evaluation
    try:
        pricer = _Pricer(terms, levels_a, levels_b, now_ns)
        payable = min(leg.payable(cost_max_micros) for leg in (pricer.leg_a, pricer.leg_b))
        quantity_max = min(payable, evaluation.quantity_micros)
        best = _Walk(terms, pricer, 0, quantity_max, cost_max_micros).best()
    except FeeError as error:
        return Refused(f"fee: {error}")
    return Refused("cost_cap") if best is None else best


def _within(evaluation: Evaluation, cost_max_micros: int) -> bool:
    return (
        evaluation.cost_a_micros + evaluation.fee_a_micros <= cost_max_micros
        and evaluation.cost_b_micros + evaluation.fee_b_micros <= cost_max_micros
    )


class _Walk:
    """Looks for the best quantity where it can be.

    Without rounding, what a contract leaves is constant in a stretch (both prices the same) and falls from stretch to stretch,
    because prices worsen faster than any fee p(1-p) can fall: the best quantity is the end of the last stretch that adds. Rounding
    moves it by a few steps, at most by what one fill may lose or win by it. So quantities are priced from that end, first downwards,
    then upwards, until the bound of what could still be left falls to what was found.
    """

    __slots__ = ("_best", "_cost_max", "_found", "_least", "_marginal", "_pricer", "_quantity_max", "_terms")

    def __init__(
        self, terms: Terms, pricer: _Pricer, marginal_micros: int, quantity_max_micros: int, cost_max_micros: int
    ) -> None:
        self._terms, self._pricer, self._marginal = terms, pricer, marginal_micros
        self._quantity_max, self._cost_max = quantity_max_micros, cost_max_micros
        # 10^-12 micros, as every bound here. Something must be left, or with a marginal amount at least that amount.
        self._least = 0 if marginal_micros else 1
        self._best = self._least - 1
        self._found: Evaluation | None = None

    def best(self) -> Evaluation | None:
        """The waterfall of the best quantity; None when none adds anything. Raises FeeError for a fill that no rule knows."""
        stretches = self.stretches()
        rising: list[_Stretch] = []
        falling: _Stretch | None = None
        for stretch in stretches:
            if stretch[2] <= 0:
                falling = stretch
                break
            rising.append(stretch)
        tries = TRIES_MAX
        while rising and tries:
            tries = self._downwards(*rising.pop(), tries)
        tries = TRIES_MAX
        while falling is not None and tries:
            tries = self._upwards(*falling, tries)
            falling = next(stretches, None) if tries else None
        return self._found

    def stretches(self) -> Iterator[_Stretch]:
        """The stretches of both depths, best first."""
        terms, leg_a, leg_b = self._terms, self._pricer.leg_a, self._pricer.leg_b
        levels_a, levels_b, quantity_max = leg_a.levels, leg_b.levels, self._quantity_max
        payout = (terms.payout_micros - self._marginal) * MICROS
        currency, lockup = terms.currency_ppm, self._pricer.lockup_numerator
        favour_a, favour_b = leg_a.favour_micros() * BOUND_SCALE, leg_b.favour_micros() * BOUND_SCALE
        bound = favour_a + favour_b
        start = index_a = index_b = 0
        price_a, end_a = levels_a[0]
        price_b, end_b = levels_b[0]
        unit_a, unit_b = leg_a.unit_bound(0), leg_b.unit_bound(0)
        while start < quantity_max:
            slope = payout - unit_a - unit_b
            if currency or lockup:
                price = price_a + price_b
                slope -= price * currency + price * lockup // YEAR_NS
            end = min(end_a, end_b, quantity_max)
            yield start, end, slope, bound, index_a, index_b
            bound += slope * (end - start)
            start = end
            if end_a == end:
                index_a += 1
                if index_a == len(levels_a):
                    return
                price_a, size = levels_a[index_a]
                end_a += size
                bound += favour_a
                unit_a = leg_a.unit_bound(index_a)
            if end_b == end:
                index_b += 1
                if index_b == len(levels_b):
                    return
                price_b, size = levels_b[index_b]
                end_b += size
                bound += favour_b
                unit_b = leg_b.unit_bound(index_b)

    def _downwards(self, start: int, end: int, slope: int, bound: int, index_a: int, index_b: int, tries: int) -> int:
        """Price the quantities of a stretch that adds, from its end; how many tries are left, 0 when nothing better lies below."""
        step, marginal = self._terms.step_micros, self._marginal
        quantity = end - end % step
        reach = bound + slope * (quantity - start)
        while quantity > start:
            if reach < self._best or (marginal and reach == self._best) or not tries:
                return 0
            self._try(index_a, index_b, quantity, equal_is_better=not marginal)
            tries -= 1
            quantity -= step
            reach -= slope * step
        return tries

    def _upwards(self, start: int, end: int, slope: int, bound: int, index_a: int, index_b: int, tries: int) -> int:
        """The same of a stretch that adds nothing but by its rounding, from its start."""
        step, marginal = self._terms.step_micros, self._marginal
        quantity = start - start % step + step
        reach = bound + slope * (quantity - start)
        while quantity <= end:
            if reach < self._best or (not marginal and reach == self._best) or not tries:
                return 0
            self._try(index_a, index_b, quantity, equal_is_better=bool(marginal))
            tries -= 1
            quantity += step
            reach += slope * step
        return tries

    def _try(self, index_a: int, index_b: int, quantity: int, *, equal_is_better: bool) -> None:
        pricer, best = self._pricer, self._best
        legs = pricer.legs(index_a, index_b, quantity)
        left = pricer.left(quantity, legs) * BOUND_SCALE - self._marginal * MICROS * quantity
        if left > best or (equal_is_better and left == best >= self._least):
            cost_a, fee_a, cost_b, fee_b = legs
            if cost_a + fee_a <= self._cost_max and cost_b + fee_b <= self._cost_max:
                self._best, self._found = left, pricer.price(index_a, index_b, quantity, legs)


def _first_quantity(levels_a: Sequence[Level], levels_b: Sequence[Level], step_micros: int) -> int:
    """End of the first stretch that holds a step; 0 when the depths hold none."""
    index_a = index_b = 0
    end_a, end_b = levels_a[0][1], levels_b[0][1]
    while min(end_a, end_b) < step_micros:
        if end_a <= end_b:
            index_a += 1
            if index_a == len(levels_a):
                return 0
            end_a += levels_a[index_a][1]
        else:
            index_b += 1
            if index_b == len(levels_b):
                return 0
            end_b += levels_b[index_b][1]
    end = min(end_a, end_b)
    return end - end % step_micros
