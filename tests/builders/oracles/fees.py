"""A second, slow reading of the venues' fee rules, in fractions and dollars. Shares no code and no units with the module."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

CENTICENT = Fraction(1, 10_000)
CENT = Fraction(1, 100)
MICRO = Fraction(1, 1_000_000)


@dataclass
class KalshiOrder:
    """The steps of the venue's page on rounding, one by one."""

    rate_taker: Fraction
    rate_maker: Fraction
    precision: Fraction
    accumulator: Fraction = Fraction(0)

    def fill(self, price: Fraction, count: Fraction, *, buys: bool, takes: bool) -> tuple[Fraction, ...]:
        rate = self.rate_taker if takes else self.rate_maker
        model_fee = rate * count * price * (1 - price)
        trade_fee = ceil(model_fee / MICRO) * MICRO
        revenue = price * count * (-1 if buys else 1)
        balance_change = revenue - trade_fee
        aligned = floor(balance_change / self.precision) * self.precision
        rounding_fee = balance_change - aligned
        self.accumulator += rounding_fee
        rebate = Fraction(0)
        while self.accumulator >= self.precision and trade_fee + rounding_fee - rebate >= self.precision:
            self.accumulator -= self.precision
            rebate += self.precision
        return trade_fee, rounding_fee, rebate, trade_fee + rounding_fee - rebate


def polymarket_fee(rate: Fraction, exponent: int, price: Fraction, shares: Fraction, rounding: str) -> Fraction:
    """One maker matched by a taker."""
    unit = Fraction(1, 100_000)
    units = shares * rate * (price * (1 - price)) ** exponent / unit
    if rounding == "ceil":
        return ceil(units) * unit
    if units < 1:
        return Fraction(0)
    return floor(units + Fraction(1, 2) if rounding == "half_up" else units) * unit


def cent_table(rate: Fraction, price: Fraction, count: Fraction) -> Fraction:
    """The older published table: the model fee of the order, up to the cent."""
    return ceil(rate * count * price * (1 - price) / CENT) * CENT
