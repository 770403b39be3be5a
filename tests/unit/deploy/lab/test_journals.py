"""A log with the journals of two portfolios: each is found by its name, reported on, run again and compared."""

import msgspec
import pytest

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.runtime.settings import PortfolioSettings
from deploy.errors import UsageError
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from deploy.lab.backtest.sweep import identity
from deploy.lab.compare.runs import compare, load_run
from deploy.lab.journals import journal_of, journals
from deploy.lab.report.live import read_outcome
from deploy.lab.report.page import document_of
from executors.terms import Terms
from schemas.records import ExecutorConfigured, TradePlan
from schemas.topics import MAIN, PORTFOLIOS
from tests.builders.executors.backtests import WIDE as SETTINGS
from tests.builders.logs.live import CODEC, ROUGH, WIDE, decided, executed, journal, live_log, market, market_log

RECORDS = market(900)
STEPS = decided(RECORDS)
#: Half as much a leg as the main portfolio.
CAREFUL = Terms(
    execute=msgspec.structs.replace(WIDE, cost_per_leg_micros=5_000_000, pairs_open_max=2), paper=ROUGH.paper
)


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setitem(PORTFOLIOS, "careful", 1)
    found = live_log(RECORDS, ROUGH, steps=STEPS)
    found.lines |= journal(executed(STEPS, CAREFUL, portfolio="careful"), 1)
    return found


def test_portfolios_are_those_that_have_journaled(log):
    assert journals(log, CODEC) == {MAIN: 0, "careful": 1}
    assert journals(market_log(RECORDS), CODEC) == {}
    assert journal_of(market_log(RECORDS), CODEC, MAIN) == 0
    assert journal_of(log, CODEC, "other", settled=True) is None
    with pytest.raises(UsageError, match=r"no portfolio 'other' .* there are: main, careful"):
        journal_of(log, CODEC, "other")


def test_each_is_run_again_as_it_was(log):
    for portfolio in (MAIN, "careful"):
        outcome = run_backtest(log, BacktestOptions(portfolio=portfolio))
        assert [(c.topic, c.different, c.missing, c.extra) for c in outcome.comparisons] == [
            (topic, 0, 0, 0) for topic in ("intents", "orders", "fills")
        ]
        plans = [one for one in outcome.journal if isinstance(one, TradePlan)]
        assert plans and {one.trade_id.partition("-")[0] for one in plans} == {portfolio}
    with pytest.raises(UsageError, match="no portfolio 'other'"):
        run_backtest(log, BacktestOptions(portfolio="other"))


def test_one_of_the_settings_is_run_over_a_log_in_which_it_never_was():
    own = PortfolioSettings(partition=1, strategies=("cross_venue",), limits={"pairs_open_max": 2})
    outcome = run_backtest(market_log(RECORDS), BacktestOptions(portfolio="careful", own=own, execute=SETTINGS))
    (configured,) = [one for one in outcome.journal if isinstance(one, ExecutorConfigured)]
    assert (configured.portfolio, configured.strategies) == ("careful", ("cross_venue",))
    assert configured.execute.pairs_open_max == 2
    assert outcome.portfolio == "careful" and not outcome.comparisons


def test_an_archive_is_reported_on_by_portfolio(log, tmp_path, monkeypatch):
    write_archive(log, tmp_path / "archive")
    monkeypatch.delitem(PORTFOLIOS, "careful")  # whoever reads it need not know the stack's settings
    folder = str(tmp_path / "archive")
    main, careful = (load_run(folder, portfolio=name) for name in (MAIN, "careful"))
    backtest = document_of(run_backtest(ArchiveLog(tmp_path / "archive"), BacktestOptions(portfolio="careful")))
    same, other = compare(careful, backtest), compare(main, backtest)
    assert same.alike and same.same_portfolio and same.executed_live > 0
    assert not other.same_portfolio and not other.alike
    with pytest.raises(UsageError, match="no portfolio 'nobody'"):
        load_run(folder, portfolio="nobody")


def test_a_report_names_its_portfolio_and_a_sweep_tells_journals_apart(log):
    assert read_outcome(log, CODEC, portfolio="careful").portfolio == "careful"
    assert {"orders-0", "orders-1", "fills-1"} <= set(identity(log)["extents"])
