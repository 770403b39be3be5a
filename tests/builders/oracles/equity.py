"""What trades are worth, by an independent road: contracts one by one in a list, exact fractions, no shared code.

`worth_of` takes the executions of one trade that stand, its terms, marks and payouts, and answers equity, locked and marked in micros.
"""

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

MICROS = 1_000_000


class Bought(NamedTuple):
    """An execution; `leg` 0 or 1, money in micros of a dollar a contract, `fee` a total."""

    leg: int
    side: str
    price: int
    quantity: int
    fee: int


class Terms(NamedTuple):
    """Outcomes and payout units of both legs, worst payout of `quantity`."""

    outcomes: tuple[str, str]
    units: tuple[int, int]
    payout: int
    quantity: int


def worth_of(terms, executions, marks, payouts):
    """(equity, locked, marked, unwound), micros. `marks`: (bid, ask) in YES terms a leg, None for none; `payouts` of YES a leg, or None."""
    money = [0, 0]
    held = [0, 0]
    basis = [(0, 0), (0, 0)]  # bought, paid
    sales = [(0, 0), (0, 0)]
    for one in executions:
        exact = Fraction(one.price * one.quantity, MICROS)
        if one.side == "buy":
            cost = ceil(exact) + one.fee
            money[one.leg] -= cost
            held[one.leg] += one.quantity
            basis[one.leg] = (basis[one.leg][0] + one.quantity, basis[one.leg][1] + cost)
        else:
            got = floor(exact) - one.fee
            money[one.leg] += got
            held[one.leg] -= one.quantity
            sales[one.leg] = (sales[one.leg][0] + one.quantity, sales[one.leg][1] + got)
    unwound = sum(got - share(basis[leg], sold) for leg, (sold, got) in enumerate(sales))
    if None not in payouts:
        equity = sum(money) + sum(paid(terms, leg, payouts[leg], held[leg]) for leg in (0, 1))
        return equity, equity, 0, unwound
    pairs = max(0, min(held))
    known = sum(money) + floor(Fraction(terms.payout * pairs, terms.quantity))
    marked = 0
    for leg in (0, 1):
        alone = held[leg] - pairs
        if not alone:
            continue
        if payouts[leg] is not None:
            known += paid(terms, leg, payouts[leg], alone)
            continue
        cost = share(basis[leg], max(alone, 0))
        known += cost
        marked += floor(Fraction(each(terms.outcomes[leg], marks[leg], selling=alone > 0) * alone, MICROS)) - cost
    return known + marked, known, marked, unwound


def share(basis, quantity):
    bought, cost = basis
    return ceil(Fraction(cost * quantity, bought)) if bought else 0


def paid(terms, leg, payout, quantity):
    price = payout if terms.outcomes[leg] == "yes" else MICROS - payout
    return floor(Fraction(price * quantity, MICROS * terms.units[leg])) * terms.units[leg]


def each(outcome, mark, *, selling):
    """Price at which a contract could be got rid of, or bought back, now; the worst one where there is none."""
    bid, ask = mark if outcome == "yes" else tuple(None if side is None else MICROS - side for side in reversed(mark))
    if selling:
        return 0 if bid is None else bid
    return MICROS if ask is None else ask
