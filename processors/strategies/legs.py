"""One leg of a package: what any quantity of the displayed depth costs, to the micro, and bounds of it without rounding.

Decides nothing. Each level walked through is one fill of one order, as the venue charges it. Must never use a float.
"""

from collections.abc import Sequence
from typing import Final

from crossbook.domain.fee_models.table import rules_of
from crossbook.domain.fees import FeeAccumulator
from crossbook.domain.money import MICROS, cost_micros
from crossbook.market.book import Level
from schemas.records import FeeSchedule

#: Bounds are in 10^-12 micros, so that a unit (10^-6 micros a contract) times a quantity (micros) is one.
BOUND_SCALE: Final = MICROS * MICROS


class LegPricer:
    """Cost and fees of one leg at any quantity; each level walked through is one fill of one order."""

    __slots__ = ("_rules", "_schedule", "_walked", "levels")

    def __init__(self, levels: Sequence[Level], schedule: FeeSchedule) -> None:
        self.levels = levels
        self._schedule = schedule
        self._rules = rules_of(schedule.model)
        self._walked = [(0, 0, 0, 0)]  # before each level: quantity, cost, fee, rounding that may come back

    def at(self, index: int, quantity_micros: int) -> tuple[int, int]:
        """(cost, fee) of a quantity that ends in the level of this index."""
        walked, schedule = self._walked, self._schedule
        while len(walked) <= index:
            done, cost, fee, owed = walked[-1]
            price, size = self.levels[len(walked) - 1]
            fees = FeeAccumulator(schedule, owed)
            fee += fees.fill(price, size, "buy", "taker").net_micros
            walked.append((done + size, cost + cost_micros(price, size), fee, fees.state))
        done, cost, fee, owed = walked[index]
        price, part = self.levels[index][0], quantity_micros - done
        fee += FeeAccumulator(schedule, owed).fill(price, part, "buy", "taker").net_micros
        return cost - (-price * part // MICROS), fee

    def unit_bound(self, index: int) -> int:
        """Price and fee of a contract at a level before anything is rounded, 10^-6 micros, floored."""
        price = self.levels[index][0]
        return price * MICROS + self._rules.unit_fee(self._schedule, price)

    def favour_micros(self) -> int:
        """What rounding can take off the fee of one fill at most."""
        return self._rules.favour_micros(self._schedule)

    def index_of(self, quantity_micros: int) -> int:
        """Index of the level in which a quantity ends."""
        index, end = 0, self.levels[0][1]
        while quantity_micros > end:
            index += 1
            end += self.levels[index][1]
        return index

    def payable(self, cost_max_micros: int) -> int:
        """A quantity that no more than this may just pay for, before anything is rounded against us."""
        left = cost_max_micros * BOUND_SCALE
        favour = self.favour_micros() * BOUND_SCALE
        quantity = 0
        for index, (_, size) in enumerate(self.levels):
            left += favour
            each = self.unit_bound(index)
            if each * size > left:
                return quantity + left // each
            left -= each * size
            quantity += size
        return quantity
