"""Worked examples of the venues, tagged by the era of the rule they belong to, and the laws of the schedule and the order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.kalshi_quadratic import DIRECT_PRECISION_MICROS, FCM_PRECISION_MICROS
from crossbook.domain.fee_models.port import FillFee
from crossbook.domain.fees import (
    EXPONENT_MAX,
    FeeAccumulator,
    check_schedule,
    fee_bound,
    make_schedule,
    schedule_hash,
    taker_fee,
)
from crossbook.domain.money import MICROS, parse_micros, parse_price, parse_size
from schemas.records import FeeSchedule

CENTICENT_ERA = (
    "era before August 2026: trade fee up to $0.0001, rebates of $0.01; the rule in force gives another figure"
)


def kalshi(precision=DIRECT_PRECISION_MICROS, taker=70_000, maker=17_500):
    return make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=taker,
        maker_rate_ppm=maker,
        member_precision_micros=precision,
        ts_effective_ns=1_780_000_000_000_000_000,
        source="fee schedule of 2026-07-07",
    )


def polymarket(rate, exponent=1, rounding="half_up"):
    return make_schedule(
        model="polymarket_curve",
        taker_rate_ppm=rate,
        exponent=exponent,
        rounding=rounding,
        ts_effective_ns=1_780_000_000_000_000_000,
        source="feeSchedule of the market",
    )


DIRECT = kalshi()
FCM = kalshi(FCM_PRECISION_MICROS)
FREE = make_schedule(model="free", ts_effective_ns=0, source="no fee field on the market")


def fill_once(schedule, price, count, side="buy", liquidity="taker"):
    return FeeAccumulator(schedule).fill(parse_price(price), parse_size(count), side, liquidity)


# Kalshi, the rule in force -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "price", "direct", "fcm", "maker_direct", "maker_fcm"),
    [
        ("1", "0.01", "0.0007", "0.01", "0.0002", "0.01"),
        ("1", "0.50", "0.0175", "0.02", "0.0044", "0.01"),
        ("10", "0.50", "0.175", "0.18", "0.0438", "0.05"),
        ("100", "0.50", "1.75", "1.75", "0.4375", "0.44"),
        ("100", "0.05", "0.3325", "0.34", "0.0832", "0.09"),
        ("33", "0.47", "0.5755", "0.58", "0.1439", "0.15"),
        ("100", "0.90", "0.63", "0.63", "0.1575", "0.16"),
        ("0.5", "0.005", "0.0002", "0.0075", "0.0001", "0.0075"),
    ],
)
def test_kalshi_single_fills_of_a_buyer(count, price, direct, fcm, maker_direct, maker_fcm):
    assert taker_fee(DIRECT, parse_price(price), parse_size(count)) == parse_micros(direct)
    assert taker_fee(FCM, parse_price(price), parse_size(count)) == parse_micros(fcm)
    assert fill_once(DIRECT, price, count).net_micros == parse_micros(direct)
    assert fill_once(FCM, price, count).net_micros == parse_micros(fcm)
    assert fill_once(DIRECT, price, count, liquidity="maker").net_micros == parse_micros(maker_direct)
    assert fill_once(FCM, price, count, liquidity="maker").net_micros == parse_micros(maker_fcm)


def test_kalshi_documented_broker_fill():
    assert fill_once(FCM, "0.055", "1") == FillFee(
        trade_fee_micros=3_639, rounding_micros=1_361, rebate_micros=0, net_micros=5_000
    )


@pytest.mark.parametrize(("price", "fee"), [("0.5200", "0.017500"), ("0.9900", "0.000700"), ("0.0100", "0.000700")])
def test_kalshi_fills_that_the_demo_exchange_charged(price, fee):
    assert fill_once(DIRECT, price, "1.00").net_micros == parse_micros(fee)


def test_the_third_rounding_of_four_tenths_of_a_cent_gives_a_cent_back():
    # 20 contracts at 0.40: fee 0.336, balance -8.336 floored to -8.34, so each fill adds 0.004.
    order = FeeAccumulator(FCM)
    fees = [order.fill(400_000, 20 * MICROS, "buy", "taker") for _ in range(3)]
    assert [fee.rounding_micros for fee in fees] == [4_000, 4_000, 4_000]
    assert [fee.rebate_micros for fee in fees] == [0, 0, 10_000]
    assert [fee.net_micros for fee in fees] == [340_000, 340_000, 330_000]
    assert order.state == 2_000


def test_kalshi_three_hundredths_thrice():
    """Documented in the centicent era, and the same under the rule in force."""
    order = FeeAccumulator(FCM)
    fees = [order.fill(330_100, 30_000, "buy", "taker") for _ in range(3)]
    assert [fee.net_micros for fee in fees] == [10_097, 97, 97]


@pytest.mark.parametrize(
    ("price", "count", "nets"),
    [
        pytest.param("0.055", "1", ("0.0150", "0.0050", "0.0150"), marks=pytest.mark.skip(CENTICENT_ERA)),
        pytest.param("0.50", "0.30", ("0.0100", "0.0000", "0.0100"), marks=pytest.mark.skip(CENTICENT_ERA)),
    ],
)
def test_kalshi_three_fills_of_the_centicent_era(price, count, nets):
    order = FeeAccumulator(FCM)
    fees = [order.fill(parse_price(price), parse_size(count), "buy", "taker") for _ in nets]
    assert [fee.net_micros for fee in fees] == [parse_micros(net) for net in nets]


def test_the_side_decides_which_way_the_balance_rounds():
    # 0.5 contracts at 0.005 move 0.0025: a seller's +0.0025 - 0.000175 is floored to 0.00.
    assert fill_once(FCM, "0.005", "0.5", "sell") == FillFee(175, 2_325, 0, 2_500)
    assert fill_once(FCM, "0.005", "0.5", "buy") == FillFee(175, 7_325, 0, 7_500)
    assert taker_fee(FCM, 5_000, 500_000, "sell") == 2_500


def test_a_maker_without_a_fee_still_pays_the_rounding_of_his_balance():
    free_maker = kalshi(FCM_PRECISION_MICROS, maker=0)
    assert fill_once(free_maker, "0.005", "0.5", liquidity="maker") == FillFee(0, 7_500, 0, 7_500)
    assert fill_once(free_maker, "0.50", "1", liquidity="maker") == FillFee(0, 0, 0, 0)


def test_a_rebate_never_makes_a_fee_negative():
    order = FeeAccumulator(FCM)
    for _ in range(3):
        fee = order.fill(10_000, 10_000, "buy", "taker")  # costs 0.0001: nets 0.0099, less than one cent to give back
        assert fee == FillFee(7, 9_893, 0, 9_900)
    assert order.state == 3 * 9_893
    assert order.fill(500_000, MICROS, "buy", "taker") == FillFee(17_500, 2_500, 20_000, 0)
    assert order.state == 3 * 9_893 + 2_500 - 20_000


def test_the_accumulator_spans_taker_and_maker_fills_and_can_be_moved():
    order = FeeAccumulator(FCM)
    order.fill(400_000, 20 * MICROS, "buy", "taker")
    twin = order.copy()
    resumed = FeeAccumulator(order.schedule, order.state)
    last = [one.fill(330_100, 30_000, "buy", "maker") for one in (order, twin, resumed)]
    assert last[0] == last[1] == last[2]
    assert order.state == twin.state == resumed.state == 4_000 + last[0].rounding_micros - last[0].rebate_micros
    assert last[0].rebate_micros == 10_000


lots = st.integers(1, 100_000).map(lambda lot: lot * 10_000)
centicents = st.integers(0, 10_000).map(lambda price: price * 100)
sides = st.sampled_from(["buy", "sell"])
liquidities = st.sampled_from(["taker", "maker"])
fills = st.tuples(centicents, lots, liquidities)
members = st.sampled_from([DIRECT, FCM, kalshi(maker=0), kalshi(FCM_PRECISION_MICROS, taker=35_000, maker=8_750)])


@given(members, sides, st.lists(fills, max_size=8), st.data())
def test_each_kalshi_fill_leaves_an_aligned_balance_and_the_order_can_stop_anywhere(schedule, side, order_fills, data):
    cut = data.draw(st.integers(0, len(order_fills)))
    order = FeeAccumulator(schedule)
    stopped = FeeAccumulator(schedule)
    for index, (price, quantity, liquidity) in enumerate(order_fills):
        if index == cut:
            stopped = FeeAccumulator(schedule, stopped.state)
        before = order.state
        fee = order.fill(price, quantity, side, liquidity)
        assert stopped.fill(price, quantity, side, liquidity) == fee
        revenue = price * quantity // MICROS * (-1 if side == "buy" else 1)
        assert (revenue - fee.net_micros) % schedule.member_precision_micros == 0
        assert fee.net_micros == fee.trade_fee_micros + fee.rounding_micros - fee.rebate_micros >= 0
        assert 0 <= fee.rounding_micros < schedule.member_precision_micros
        assert order.state == before + fee.rounding_micros - fee.rebate_micros >= 0


@given(members, sides, centicents, lots)
def test_the_quick_fee_is_a_fresh_orders_first_fill(schedule, side, price, quantity):
    assert taker_fee(schedule, price, quantity, side) == (
        FeeAccumulator(schedule).fill(price, quantity, side, "taker").net_micros
    )


def test_a_kalshi_quantity_off_the_step_is_quoted_up_but_never_filled():
    assert taker_fee(DIRECT, 333_300, 1_234_567) == 19_219  # 0.4114811811 + 0.019204 up to 0.4307, less the cost, up
    order = FeeAccumulator(DIRECT)
    with pytest.raises(FeeError, match="no whole micros"):
        order.fill(333_300, 1_234_567, "buy", "taker")
    assert order.state == 0


# Polymarket ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "price", "rate", "half_up", "floored"),
    [
        pytest.param("100", "0.50", 70_000, "1.75", "1.75", id="crypto"),
        pytest.param("100", "0.30", 50_000, "1.05", "1.05", id="sports-since-2026-07-10"),
        pytest.param("100", "0.30", 30_000, "0.63", "0.63", id="sports-before-2026-07-10"),
        pytest.param("250", "0.93", 40_000, "0.651", "0.651", id="politics"),
        pytest.param("52", "0.56", 70_000, "0.89690", "0.89689", id="crypto-roundings-differ"),
        pytest.param("5", "0.001", 50_000, "0.00025", "0.00024", id="weather-roundings-differ"),
        pytest.param("100", "0.30", 50_000, "1.05", "1.05", id="weather"),
        pytest.param("100", "0.50", 50_000, "1.25", "1.25", id="weather-half"),
        pytest.param("1", "0.50", 40_000, "0.01", "0.01", id="politics-half"),
        pytest.param("100", "0.50", 72_000, "1.8", "1.8", id="crypto-of-may-2026"),
        pytest.param("100", "0.50", 0, "0", "0", id="geopolitics"),
        pytest.param("0.01", "0.02", 50_000, "0", "0", id="below-one-unit-is-nothing"),
    ],
)
def test_polymarket_worked_examples(shares, price, rate, half_up, floored):
    for rounding, fee in (("half_up", half_up), ("floor", floored)):
        schedule = polymarket(rate, rounding=rounding)
        assert taker_fee(schedule, parse_price(price), parse_size(shares)) == parse_micros(fee)
        net = parse_micros(fee)
        assert fill_once(schedule, price, shares) == FillFee(net, 0, 0, net)
        assert fill_once(schedule, price, shares, "sell").net_micros == net
        assert fill_once(schedule, price, shares, liquidity="maker") == FillFee(0, 0, 0, 0)


def test_polymarket_exponents():
    """Crypto before 2026 charged 0.25 with exponent 2; exponent 0 is a flat fee a share."""
    assert taker_fee(polymarket(250_000, exponent=2), 500_000, 100 * MICROS) == parse_micros("1.5625")
    assert taker_fee(polymarket(250_000, exponent=2), 100_000, 100 * MICROS) == parse_micros("0.2025")
    assert taker_fee(polymarket(10_000, exponent=0), 123_400, 100 * MICROS) == MICROS
    assert taker_fee(polymarket(1_000_000, exponent=EXPONENT_MAX), 500_000, 10**12 * MICROS) > 0


def test_polymarket_charges_each_maker_matched_on_its_own():
    order = FeeAccumulator(polymarket(50_000))
    nets = [order.fill(1_000, 5 * MICROS, "buy", "taker").net_micros for _ in range(4)]
    assert nets == [250, 250, 250, 250]  # 0.00024975 each; 0.00099900 together
    assert taker_fee(order.schedule, 1_000, 20 * MICROS) == 1_000
    assert order.state == 0


def test_a_free_market_charges_nothing():
    assert taker_fee(FREE, 500_000, 100 * MICROS) == fee_bound(FREE, 500_000, 100 * MICROS) == 0
    assert fill_once(FREE, "0.5", "100") == FillFee(0, 0, 0, 0)


# Schedules -----------------------------------------------------------------------------------------------------------


def test_a_schedule_is_named_by_all_of_its_fields():
    changed = {
        "model": "polymarket_curve",
        "taker_rate_ppm": 1,
        "maker_rate_ppm": 1,
        "exponent": 2,
        "rounding": "floor",
        "member_precision_micros": 10_000,
        "ts_effective_ns": 1,
        "source": 'a"\n',
    }
    assert set(changed) == set(FeeSchedule.__struct_fields__) - {"hash"}
    hashes = {schedule_hash(msgspec.structs.replace(DIRECT, **{name: value})) for name, value in changed.items()}
    assert len(hashes | {DIRECT.hash}) == len(changed) + 1
    assert schedule_hash(msgspec.structs.replace(DIRECT, hash="other")) == DIRECT.hash


def test_a_hash_never_changes():
    """Fills of years ago name it."""
    schedule = make_schedule(
        model="kalshi_quadratic", taker_rate_ppm=70_000, maker_rate_ppm=17_500, ts_effective_ns=5, source="é"
    )
    assert schedule.hash == "9ad7f27729872486a274dcaf70e57809ee3cd026ca7b5ef8696dfa96363ad24a"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "quadratic"},
        {"taker_rate_ppm": -1},
        {"maker_rate_ppm": MICROS + 1},
        {"exponent": 2},
        {"exponent": -1},
        {"rounding": "half_up"},
        {"rounding": "up"},
        {"member_precision_micros": 0},
        {"member_precision_micros": 300},
        {"model": "free"},
    ],
    ids=str,
)
def test_a_schedule_that_cannot_be_priced_is_refused(changes):
    fields = {name: getattr(DIRECT, name) for name in FeeSchedule.__struct_fields__ if name != "hash"} | changes
    with pytest.raises(FeeError):
        make_schedule(**fields)
    broken = msgspec.structs.replace(DIRECT, **changes)
    with pytest.raises(FeeError):
        check_schedule(msgspec.structs.replace(broken, hash=schedule_hash(broken)))


def test_a_forged_hash_and_a_huge_exponent_are_refused():
    with pytest.raises(FeeError, match="hash"):
        check_schedule(msgspec.structs.replace(DIRECT, taker_rate_ppm=1))
    with pytest.raises(FeeError, match="exponent"):
        polymarket(1, exponent=EXPONENT_MAX + 1)


@pytest.mark.parametrize("schedule", [DIRECT, polymarket(50_000), FREE], ids=lambda one: one.model)
def test_an_impossible_fill_is_refused(schedule):
    for price, quantity in ((-1, 1), (MICROS + 1, 1), (500_000, -1)):
        with pytest.raises(FeeError):
            taker_fee(schedule, price, quantity)
        with pytest.raises(FeeError):
            fee_bound(schedule, price, quantity)
        with pytest.raises(FeeError):
            FeeAccumulator(schedule).fill(price, quantity, "buy", "taker")
    with pytest.raises(FeeError):
        FeeAccumulator(schedule).fill(500_000, 0, "buy", "taker")
    with pytest.raises(FeeError):
        fee_bound(schedule, 500_000, 1, fills_max=0)
    with pytest.raises(FeeError):
        fee_bound(schedule, 500_000, 1, tick_micros=0)
    with pytest.raises(FeeError):
        fee_bound(schedule, 500_000, 1, price_best_micros=MICROS + 1)
    with pytest.raises(FeeError):
        FeeAccumulator(schedule, -1)
    assert taker_fee(schedule, 500_000, 0) == fee_bound(schedule, 500_000, 0, fills_max=9) == 0
    assert taker_fee(schedule, 0, MICROS) == taker_fee(schedule, MICROS, MICROS) == 0


# The bound before the order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "cents"), [("0.50", 175), ("0.25", 132), ("0.15", 90), ("0.10", 63), ("0.05", 34), ("0.95", 34)]
)
def test_the_kalshi_bound_is_the_published_table_of_a_hundred(price, cents):
    """The era of fees up to the cent an order, which stays the bound: it never under-charges a whole-cent order."""
    assert fee_bound(DIRECT, parse_price(price), 100 * MICROS) == cents * 10_000


@st.composite
def orders(draw):
    """A schedule, a price range on a tick, and fills in it."""
    schedule = draw(
        st.one_of(
            members,
            st.builds(
                polymarket,
                st.sampled_from([0, 30_000, 50_000, 70_000, 250_000]),
                st.sampled_from([0, 1, 1, 1, 2]),
                st.sampled_from(["half_up", "floor", "ceil"]),
            ),
        )
    )
    tick = draw(st.sampled_from([100, 1_000, 10_000]))
    prices = st.integers(0, MICROS // tick).map(lambda steps: steps * tick)
    low, high = sorted((draw(prices), draw(prices)))
    if draw(st.booleans()):
        high = low
    inside = st.integers(low // tick, high // tick).map(lambda steps: steps * tick)
    quantities = st.integers(1, 3).map(lambda lot: lot * 10_000) | lots
    if schedule.model == "polymarket_curve":
        quantities = st.integers(1, 10**9)
    fills_drawn = draw(st.lists(st.tuples(inside, quantities, liquidities), min_size=1, max_size=7))
    return schedule, tick, low, high, draw(sides), fills_drawn


@given(orders(), st.integers(0, 3), st.integers(0, 5) | lots, st.booleans())
def test_no_split_of_an_order_costs_more_than_its_bound(order, fills_spare, unfilled, told_tick):
    schedule, tick, low, high, side, order_fills = order
    accumulator = FeeAccumulator(schedule)
    charged = sum(
        accumulator.fill(price, quantity, side, liquidity).net_micros for price, quantity, liquidity in order_fills
    )
    bound = fee_bound(
        schedule,
        high if side == "buy" else low,
        sum(quantity for _, quantity, _ in order_fills) + unfilled,
        price_best_micros=low if side == "buy" else high,
        fills_max=len(order_fills) + fills_spare,
        tick_micros=tick if told_tick else None,
    )
    assert charged <= bound


def test_the_bound_looks_for_the_dearest_price_in_the_range():
    """A buyer at 0.80 may be filled at 0.50, which costs more in fees."""
    schedule = polymarket(50_000)
    assert fee_bound(schedule, 800_000, 100 * MICROS) == 800_000
    assert fee_bound(schedule, 800_000, 100 * MICROS, price_best_micros=600_000) == 1_200_000
    assert fee_bound(schedule, 800_000, 100 * MICROS, price_best_micros=200_000) == 1_250_000
    assert fee_bound(schedule, 300_000, 100 * MICROS, price_best_micros=200_000) == 1_050_000
    assert fee_bound(schedule, 200_000, 100 * MICROS, price_best_micros=300_000) == 1_050_000  # a seller's range


def test_the_polymarket_bound_grows_a_unit_a_split():
    schedule = polymarket(50_000)
    assert [fee_bound(schedule, 1_000, 20 * MICROS, fills_max=fills_max) for fills_max in (1, 2, 4)] == [
        1_000,
        1_010,
        1_030,
    ]
    split = FeeAccumulator(schedule)
    quantities = (6_006_007, 6_006_007, 7_987_986)
    assert sum(split.fill(1_000, quantity, "buy", "taker").net_micros for quantity in quantities) <= 1_020


def test_a_cent_an_order_alone_is_no_bound_for_a_broker_account():
    """Half a contract at 0.115 moves the balance by 0.0575 + 0.003563, floored to 0.07: 0.0125, above the table's 0.01."""
    assert fill_once(FCM, "0.115", "0.5").net_micros == 12_500
    assert fee_bound(FCM, 115_000, 500_000) == 20_000


def test_a_known_tick_keeps_a_direct_members_bound_at_the_table():
    loose = fee_bound(DIRECT, 500_000, 100 * MICROS, price_best_micros=400_000, fills_max=3)
    assert loose == 1_760_000
    assert fee_bound(kalshi(taker=69_000), 500_000, 100 * MICROS, price_best_micros=400_000, fills_max=3) == 1_730_000
    exact = fee_bound(DIRECT, 500_000, 100 * MICROS, price_best_micros=400_000, tick_micros=10_000)
    assert exact == 1_750_000
    assert fee_bound(DIRECT, 500_000, 100 * MICROS, price_best_micros=403_300, tick_micros=10_000) == 1_760_000
