"""Which fee schedule charges when, what a settled holding is paid, and that what no formula knows is refused by its name."""

import msgspec
import pytest

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.kalshi_quadratic import DIRECT_PRECISION_MICROS, FCM_PRECISION_MICROS
from crossbook.domain.fees import (
    FeeAccumulator,
    fee_bound,
    listed_in_force,
    make_schedule,
    payout_micros,
    payout_unit,
    taker_fee,
)
from tests.builders.executors.worlds import CONTRACT, KA, listed

NOW, LATER = 100, 200
FREE = make_schedule(model="free", ts_effective_ns=0, source="test")


def schedule(rate, ts_ns):
    return make_schedule(model="kalshi_quadratic", taker_rate_ppm=rate, ts_effective_ns=ts_ns, source="test")


OLD, NEW, NEWEST = schedule(70_000, 0), schedule(60_000, NOW), schedule(50_000, LATER)


@pytest.mark.parametrize(
    ("changes", "at", "in_force", "until"),
    [
        ((), NOW, OLD, None),
        ((NEW, NEWEST), NOW - 1, OLD, NOW),
        ((NEW, NEWEST), NOW, NEW, LATER),
        ((NEW, NEWEST), LATER - 1, NEW, LATER),
        ((NEW, NEWEST), LATER, NEWEST, None),
    ],
)
def test_the_schedule_of_the_moment_charges(changes, at, in_force, until):
    instrument = listed(KA, fee_schedule=OLD, fee_changes=changes)
    now, until_ns = listed_in_force(instrument, at)
    assert (now.fee_schedule, until_ns) == (in_force, until)
    assert msgspec.structs.replace(now, fee_schedule=OLD) == instrument


@pytest.mark.parametrize(
    ("payout_yes", "outcome", "contracts", "unit", "paid"),
    [
        (1_000_000, "yes", 3, 1, 3_000_000),
        (1_000_000, "no", 3, 1, 0),
        (0, "no", 3, 1, 3_000_000),
        (500_000, "yes", 3, 10_000, 1_500_000),
        (333_333, "yes", 3, 1, 999_999),
        (333_333, "yes", 3, 10_000, 990_000),
        (333_333, "no", 3, 10_000, 2_000_000),
        (333_333, "yes", -3, 10_000, -1_000_000),
    ],
)
def test_a_payout_is_floored_to_the_venues_unit_and_what_is_owed_rounded_up(payout_yes, outcome, contracts, unit, paid):
    assert payout_micros(payout_yes, outcome, contracts * CONTRACT, unit) == paid


def test_only_kalshi_pays_in_units_of_a_balance():
    assert payout_unit(OLD) == DIRECT_PRECISION_MICROS
    through_a_broker = msgspec.structs.replace(OLD, member_precision_micros=FCM_PRECISION_MICROS)
    assert payout_unit(through_a_broker) == FCM_PRECISION_MICROS
    assert payout_unit(FREE) == 1


def test_free_is_free():
    assert taker_fee(FREE, 500_000, CONTRACT) == fee_bound(FREE, 500_000, CONTRACT) == 0
    assert tuple(FeeAccumulator(FREE).fill(500_000, CONTRACT, "buy", "taker")) == (0, 0, 0, 0)


UNKNOWN = msgspec.structs.replace(OLD, model="flat")
CURVE = make_schedule(model="polymarket_curve", taker_rate_ppm=30_000, ts_effective_ns=0, source="test")
ODD = msgspec.structs.replace(CURVE, rounding="to_even")


@pytest.mark.parametrize(
    ("charge", "says"),
    [
        (lambda: taker_fee(UNKNOWN, 500_000, CONTRACT), "fee model was 'flat'; known are kalshi_quadratic"),
        (lambda: fee_bound(UNKNOWN, 500_000, CONTRACT), "fee model was 'flat'"),
        (lambda: FeeAccumulator(UNKNOWN).fill(500_000, CONTRACT, "buy", "taker"), "fee model was 'flat'"),
        (lambda: make_schedule(model="flat", ts_effective_ns=0, source="test"), "fee model was 'flat'"),
        (lambda: taker_fee(ODD, 500_000, CONTRACT), "rounding was 'to_even'"),
        (lambda: taker_fee(OLD, 1_000_001, CONTRACT), "cannot be charged"),
        (lambda: taker_fee(OLD, 500_000, -1), "cannot be charged"),
        (lambda: FeeAccumulator(OLD).fill(500_000, 1, "buy", "taker"), "is no whole micros of a dollar"),
    ],
)
def test_what_no_formula_knows_is_refused_by_its_name(charge, says):
    with pytest.raises(FeeError, match=says):
        charge()
