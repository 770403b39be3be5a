"""The fees against a second reading of the rules in fractions, over far more cells than anyone would write down."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.fees import FeeAccumulator, fee_bound, make_schedule, taker_fee
from crossbook.domain.money import MICROS
from tests.builders.oracles.fees import CENT, CENTICENT, KalshiOrder, cent_table, polymarket_fee

CELLS = 24_000  # three thousand of each variant of Kalshi's, two of each of Polymarket's


def kalshi(precision, taker=70_000, maker=17_500):
    return make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=taker,
        maker_rate_ppm=maker,
        member_precision_micros=precision,
        ts_effective_ns=0,
        source="test",
    )


def cells(seed):
    """Prices in 0.0001 and counts in 0.01, small counts as likely as large ones."""
    draw = random.Random(seed)
    for _ in range(CELLS):
        yield draw.randrange(1, 10_000), draw.randrange(1, 10 ** draw.randrange(1, 7))


def test_kalshi_fills_equal_the_fractions_in_every_sampled_cell():
    variants = [
        (schedule, precision, side, liquidity)
        for schedule, precision in ((kalshi(100), CENTICENT), (kalshi(10_000), CENT))
        for side in ("buy", "sell")
        for liquidity in ("taker", "maker")
    ]
    wrong = []
    for index, (price, count) in enumerate(cells(seed=1)):
        schedule, precision, side, liquidity = variants[index % len(variants)]
        mine = FeeAccumulator(schedule).fill(price * 100, count * 10_000, side, liquidity)
        order = KalshiOrder(Fraction(7, 100), Fraction(7, 400), precision)
        exact = order.fill(
            Fraction(price, 10_000), Fraction(count, 100), buys=side == "buy", takes=liquidity == "taker"
        )
        same = [part * MICROS for part in exact] == list(mine)
        if liquidity == "taker":
            same = same and taker_fee(schedule, price * 100, count * 10_000, side) == mine.net_micros
        if not same:
            wrong.append((price, count, side, liquidity, mine, exact))
    assert wrong == []


def test_polymarket_fills_equal_the_fractions_in_every_sampled_cell():
    variants = [
        (
            make_schedule(
                model="polymarket_curve",
                taker_rate_ppm=rate,
                exponent=exponent,
                rounding=rounding,
                ts_effective_ns=0,
                source="test",
            ),
            Fraction(rate, MICROS),
        )
        for rate, exponent in ((70_000, 1), (50_000, 1), (40_000, 1), (250_000, 2))
        for rounding in ("half_up", "floor", "ceil")
    ]
    wrong = []
    for index, (price, count) in enumerate(cells(seed=2)):
        schedule, rate = variants[index % len(variants)]
        exact = polymarket_fee(
            rate, schedule.exponent, Fraction(price, 10_000), Fraction(count, 100), schedule.rounding
        )
        if taker_fee(schedule, price * 100, count * 10_000) != exact * MICROS:
            wrong.append((price, count, schedule.rounding, exact))
    assert wrong == []


def test_float_ceilings_are_wrong_in_189_whole_cent_cells_and_ours_in_none():
    schedule = kalshi(100)
    fcm = kalshi(10_000)
    float_wrong = bound_wrong = member_wrong = 0
    for count in range(1, 501):
        for cents in range(1, 100):
            exact = -(-7 * count * cents * (100 - cents) // 10_000)  # in cents, by hand
            price = cents / 100
            float_wrong += math.ceil(0.07 * count * price * (1 - price) * 100) != exact
            bound_wrong += fee_bound(schedule, cents * 10_000, count * MICROS) != exact * 10_000
            member_wrong += taker_fee(fcm, cents * 10_000, count * MICROS) != exact * 10_000
    assert (float_wrong, bound_wrong, member_wrong) == (189, 0, 0)


def test_the_table_in_fractions_is_the_table_by_hand():
    for count, cents, fee in ((4, 50, 7), (100, 50, 175), (100, 5, 34), (1, 1, 1), (500, 99, 35)):
        assert cent_table(Fraction(7, 100), Fraction(cents, 100), Fraction(count)) == Fraction(fee, 100)


fills = st.tuples(st.integers(0, 10_000), st.integers(1, 10) | st.integers(1, 1_000_000), st.booleans())


@pytest.mark.parametrize(("precision_micros", "precision"), [(100, CENTICENT), (10_000, CENT)], ids=["direct", "fcm"])
@given(
    order_fills=st.lists(fills, max_size=12), buys=st.booleans(), rates=st.sampled_from([(70_000, 17_500), (35_000, 0)])
)
def test_whole_orders_equal_the_fractions(precision_micros, precision, order_fills, buys, rates):
    mine = FeeAccumulator(kalshi(precision_micros, *rates))
    exact = KalshiOrder(Fraction(rates[0], MICROS), Fraction(rates[1], MICROS), precision)
    for price, count, takes in order_fills:
        fee = mine.fill(price * 100, count * 10_000, "buy" if buys else "sell", "taker" if takes else "maker")
        parts = exact.fill(Fraction(price, 10_000), Fraction(count, 100), buys=buys, takes=takes)
        assert list(fee) == [part * MICROS for part in parts]
        assert mine.state == exact.accumulator * MICROS
