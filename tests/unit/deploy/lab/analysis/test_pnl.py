"""PnL of a report: what the fold's loss stops saw, trade by trade, and what the tests' own arithmetic says of synthetic fills."""

import msgspec
import pytest

from deploy.lab.analysis.analysis import analyse
from deploy.lab.analysis.pnl import cash_of, fold_equity, standing_fills, truncated
from schemas.records import Fill, FillConfirmed, FillReversed, TradeIntent
from tests.builders.executors.histories import History
from tests.builders.executors.worlds import T0 as HISTORY_T0
from tests.builders.logs.projected import SyntheticLog, fills_that_stand
from tests.builders.oracles import pnl as pnl_oracle
from tests.builders.outcomes import DAY, T0, blank, fill_of


@pytest.mark.parametrize("seed", range(24))
def test_a_report_says_of_every_trade_what_the_fold_knew(seed):
    history = History(seed)
    equity = history.state.standing.equity
    outcome = blank(
        journal=tuple(history.journal), fills=tuple(history.fills), intents=tuple(history.intents), ts_first_ns=HISTORY_T0,
        ts_last_ns=HISTORY_T0 + 30 * DAY,
    )  # fmt: skip
    found = fold_equity(outcome)
    for one in found.trades:
        worth = equity.worth(one.trade_id)
        said = (one.net_micros, one.locked_micros, one.marked_micros, one.unwound_micros, one.fee_micros)
        contracts = (one.matched_micros, one.unmatched_micros, one.unwound_contracts_micros)
        assert (*said, *contracts) == tuple(worth)
    total = sum(sum(sums.values()) for sums in [history.state.standing.changes.get("day", {})])
    assert sum(move.change_micros for move in found.moves) == total
    figures = analyse(outcome)
    assert figures.totals.net_micros == figures.equity[-1].equity_micros == total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settle", [False, True])
def test_every_kind_of_trade_comes_to_what_the_oracle_says(seed, settle):
    log = SyntheticLog(trades=21, ticks=0, seed=seed, settle=settle)
    kinds = (Fill, FillConfirmed, FillReversed)
    records = [placed.record for placed in log.records]
    outcome = blank(
        fills=tuple(r for r in records if isinstance(r, kinds)),
        journal=tuple(placed.record for placed in log.records if placed.topic == "orders"),
        intents=tuple(
            msgspec.structs.replace(record, partition=0) for record in records if isinstance(record, TradeIntent)
        ),
    )
    assert standing_fills(outcome) == fills_that_stand(log.records)
    totals = analyse(outcome).totals
    found = (
        totals.gross_micros, totals.fee_micros, totals.net_micros, totals.locked_micros, totals.marked_micros, totals.unwound_micros,
    )  # fmt: skip
    assert found == pnl_oracle.pnl(log.records)


def test_a_purchase_is_rounded_up_and_a_sale_down():
    bought = fill_of(1, "t", "kalshi:B", "yes", "buy", 333_333, 10, 0, T0)
    sold = fill_of(2, "t", "kalshi:B", "yes", "sell", 333_333, 10, 0, T0)
    assert (cash_of(bought), cash_of(sold)) == (-4, 3)


def test_what_no_top_was_seen_of_is_worth_nothing():
    (one,) = fold_equity(blank(fills=(fill_of(1, "t", "kalshi:B", "yes", "buy", 400_000, 10**6, 7, T0),))).trades
    assert (one.net_micros, one.marked_micros, one.locked_micros) == (-400_007, -400_007, 0)


@pytest.mark.parametrize(("top", "bottom", "out"), [(7, 2, 3), (-7, 2, -3), (-1, 2, 0), (5, 0, 0)])
def test_division_is_clickhouse_s(top, bottom, out):
    assert truncated(top, bottom) == out
