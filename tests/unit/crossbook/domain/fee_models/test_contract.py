"""What every fee model keeps, a plug-in's too: exact, never negative, bounded before the order is sent, refused by name where unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.table import FEE_MODELS, add_fee_model
from crossbook.domain.fees import (
    FeeAccumulator,
    check_schedule,
    fee_bound,
    make_schedule,
    payout_unit,
    schedule_hash,
    taker_fee,
)
from crossbook.domain.money import MICROS
from processors.strategies.legs import LegPricer
from tests.builders.plugin.fees import FLAT, FlatFee
from tests.builders.vocabularies import added_fee_model, added_words

TICK, LOT = 10_000, 10_000
PRICES = st.integers(1, 99).map(lambda cents: cents * TICK)
QUANTITIES = st.integers(1, 100_000).map(lambda lots: lots * LOT)
RATES = {"free": 0, FLAT: 20_000}


@pytest.fixture(autouse=True, scope="module")
def plug_in():
    with added_fee_model(FLAT, FlatFee()):
        yield


def schedule_of(model):
    return make_schedule(model=model, taker_rate_ppm=RATES.get(model, 70_000), ts_effective_ns=0, source="test")


MODELS = pytest.mark.parametrize("model", [*FEE_MODELS, FLAT])


@MODELS
@given(price=PRICES, quantity=QUANTITIES, side=st.sampled_from(["buy", "sell"]))
def test_an_order_that_fills_at_once_pays_what_was_quoted_within_its_bound(model, price, quantity, side):
    schedule = schedule_of(model)
    check_schedule(schedule)
    fee = FeeAccumulator(schedule).fill(price, quantity, side, "taker")
    assert fee.net_micros == taker_fee(schedule, price, quantity, side)
    assert 0 <= fee.net_micros == fee.trade_fee_micros + fee.rounding_micros - fee.rebate_micros
    assert fee.net_micros <= fee_bound(schedule, price, quantity, tick_micros=TICK)


@MODELS
@given(fills=st.lists(st.tuples(PRICES, QUANTITIES), min_size=1, max_size=6))
def test_no_row_of_fills_passes_the_bound_and_the_accumulator_goes_on_from_its_state(model, fills):
    schedule = schedule_of(model)
    fees, whole, total = FeeAccumulator(schedule), FeeAccumulator(schedule), 0
    for price, quantity in fills:
        fees = FeeAccumulator(schedule, fees.state)
        fee = fees.fill(price, quantity, "buy", "taker")
        assert fee == whole.fill(price, quantity, "buy", "taker") and fees.state == whole.state >= 0
        total += fee.net_micros
    prices = [price for price, _ in fills]
    quantity = sum(quantity for _, quantity in fills)
    bound = fee_bound(
        schedule, max(prices), quantity, price_best_micros=min(prices), fills_max=len(fills), tick_micros=TICK
    )
    assert total <= bound


@MODELS
@given(price=PRICES, quantity=QUANTITIES)
def test_the_unrounded_unit_less_the_favour_is_never_more_than_the_fee(model, price, quantity):
    schedule = schedule_of(model)
    pricer = LegPricer([(price, quantity)], schedule)
    cost, fee = pricer.at(0, quantity)
    assert pricer.unit_bound(0) * quantity <= (cost + fee + pricer.favour_micros()) * MICROS * MICROS
    assert MICROS % payout_unit(schedule) == 0


def test_a_word_without_rules_is_refused_by_its_name():
    known = schedule_of("free")
    with added_words("fee_model", "acme_cubic"):
        unknown = type(known)(
            **{name: getattr(known, name) for name in known.__struct_fields__} | {"model": "acme_cubic"}
        )
        unknown = type(known)(
            **{name: getattr(unknown, name) for name in known.__struct_fields__} | {"hash": schedule_hash(unknown)}
        )
        for ask in (
            lambda: check_schedule(unknown),
            lambda: taker_fee(unknown, 1, 1),
            lambda: fee_bound(unknown, 1, 1),
            lambda: payout_unit(unknown),
            lambda: FeeAccumulator(unknown),
            lambda: make_schedule(model="acme_cubic", ts_effective_ns=0, source="test"),
        ):
            with pytest.raises(FeeError, match="fee model was 'acme_cubic'; known are kalshi_quadratic"):
                ask()


def test_a_model_that_is_there_is_not_replaced():
    with pytest.raises(ValueError, match="is there already"):
        add_fee_model("kalshi_quadratic", FlatFee())
    with pytest.raises(ValueError, match="lower-case identifier"):
        add_fee_model("Flat Fee", FlatFee())
    assert "Flat Fee" not in FEE_MODELS
