"""PnL against the oracle that the live views are held against: the same definitions, an independent road."""

import pytest

from deploy.backtest.outcome import Mark
from deploy.report.pnl import cash_of, final_marks, mid_of, pnl_legs, standing_fills, truncated
from schemas.records import Fill, FillConfirmed, FillReversed, InstrumentSettled
from tests.unit.deploy.report.outcomes import T0, blank, fill_of
from tests.unit.projections import pnl_oracle
from tests.unit.projections.synthetic_log import SyntheticLog, fills_that_stand

MARKS = {"polymarket:0xA": 437_501, "kalshi:B": 512_249}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settle", [False, True])
def test_every_kind_of_trade_comes_to_what_the_oracle_says(seed, settle):
    log = SyntheticLog(trades=21, ticks=0, seed=seed, settle=settle)
    records = [placed.record for placed in log.records]
    settled = {
        r.instrument_id: (r.payout_yes_micros, r.ts_received_ns) for r in records if isinstance(r, InstrumentSettled)
    }
    fills = tuple(r for r in records if isinstance(r, (Fill, FillConfirmed, FillReversed)))
    outcome = blank(fills=fills)
    standing = standing_fills(outcome)
    assert standing == fills_that_stand(log.records)
    marks = MARKS | {name: payout for name, (payout, _) in settled.items()}
    legs = pnl_legs(standing, marks, settled)
    found = tuple(
        sum(getattr(leg, name) for leg in legs)
        for name in ("gross_micros", "fee_micros", "net_micros", "realised_micros", "unrealised_micros")
    )
    gross, fees, net, realised, unrealised = pnl_oracle.pnl(standing, marks, frozenset(settled))
    # the oracle floors a value where the views truncate: a micro a leg at most
    assert abs(found[0] - gross) <= len(legs)
    assert found[1] == fees
    assert abs(found[2] - net) <= len(legs)
    assert abs(found[3] - realised) <= 2 * len(legs)
    assert abs(found[4] - unrealised) <= 3 * len(legs)
    assert all(leg.net_micros == leg.realised_micros + leg.unrealised_micros for leg in legs)


def test_a_purchase_is_rounded_up_and_a_sale_down():
    bought = fill_of(1, "t", "kalshi:B", "yes", "buy", 333_333, 10, 0, T0)
    sold = fill_of(2, "t", "kalshi:B", "yes", "sell", 333_333, 10, 0, T0)
    assert (cash_of(bought), cash_of(sold)) == (-4, 3)


def test_what_was_never_priced_stands_at_cost():
    (leg,) = pnl_legs([fill_of(1, "t", "kalshi:B", "yes", "buy", 400_000, 10**6, 7, T0)], {}, {})
    assert (leg.priced, leg.gross_micros, leg.net_micros) == (False, 0, -7)


def test_marks_are_the_last_mid_of_two_sides_and_a_payout_beats_them():
    marks = [Mark(T0, "a", 1, 4), Mark(T0 + 2, "a", 10, None), Mark(T0 + 1, "b", 2, 2), Mark(T0 + 3, "b", 9, 9)]
    assert final_marks(marks, {"b": (0, T0)}) == {"a": 2, "b": 0}
    assert mid_of(Mark(T0, "a", None, 4)) is None


@pytest.mark.parametrize(("top", "bottom", "out"), [(7, 2, 3), (-7, 2, -3), (-1, 2, 0), (5, 0, 0)])
def test_division_is_clickhouse_s(top, bottom, out):
    assert truncated(top, bottom) == out
