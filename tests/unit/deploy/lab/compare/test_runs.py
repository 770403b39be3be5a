"""Live against backtest: what is equal is called equal to the micro, and every difference has a name."""

import json

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from crossbook.log.archive.write import ArchiveWriter
from deploy.commands.compare import compare_runs
from deploy.lab.compare.runs import as_dict, compare, difference_rows, load_run, verdict_rows
from deploy.lab.report.errors import ReportError
from deploy.lab.report.live import read_outcome
from deploy.lab.report.page import document_of, write_json
from schemas.records import Fill, LatencyObserved
from tests.builders.logs.projected import like
from tests.builders.logs.reported import CODEC, log_of
from tests.builders.outcomes import MICROS, MS, A, golden, paid_out, simulated


def changed_fill(outcome, fill_id, **changes):
    return tuple(
        msgspec.structs.replace(f, **changes) if f.fill_id == fill_id and isinstance(f, Fill) else f
        for f in outcome.fills
    )


@pytest.fixture(scope="module")
def backtest():
    return document_of(golden(log_id="0123456789abcdef" * 2, code_digest="d" * 64 + "/" + "e" * 64))


def test_a_run_and_its_repetition_are_alike():
    outcome = simulated(seed=3, seconds=300)
    live = document_of(read_outcome(log_of(outcome), CODEC))
    found = compare(live, document_of(outcome))
    assert found.alike
    assert found.same_log and found.same_code and found.same_portfolio
    assert found.matched == found.intents_live == found.intents_backtest == len(outcome.intents) > 5
    assert (found.net_difference_micros, found.execution_difference_micros, found.largest_difference_micros) == (
        0,
        0,
        0,
    )
    assert found.trades == ()
    assert all(pace.difference("p50") == 0 for pace in found.latencies)


def test_another_price_is_a_difference_of_fills_and_money(backtest):
    live = document_of(golden(fills=changed_fill(golden(), "f2", price_micros=500_000)))
    found = compare(live, backtest)
    assert not found.alike
    assert (found.fills_differing, found.states_differing) == (1, 0)
    # ten contracts a cent worse
    assert found.execution_difference_micros == found.net_difference_micros == -100_000
    assert found.largest_difference_micros == 100_000
    assert [(one.intent_id, one.what) for one in found.trades] == [("i1", ("fills", "PnL"))]


def test_other_payouts_move_pnl_but_not_execution(backtest):
    both = (
        *golden().journal,
        paid_out(A, MICROS, golden().ts_last_ns),
    )  # YES at A and NO at B: better than the worst payout
    live = document_of(golden(journal=both))
    found = compare(live, backtest)
    assert found.alike
    assert found.net_difference_micros == -10_000_000
    assert found.execution_difference_micros == 0
    assert [one.what for one in found.trades] == [("PnL",)]


def test_another_state_and_a_trade_that_only_one_has(backtest):
    base = golden()
    journal = (*base.journal[:-1], msgspec.structs.replace(base.journal[-1], reason="cash"))
    found = compare(document_of(golden(journal=journal, intents=base.intents)), backtest)
    assert [(one.state_live, one.state_backtest) for one in found.trades] == [
        ("declined: cash", "declined: pairs_open")
    ]
    found = compare(document_of(golden(intents=base.intents[:2])), backtest)
    assert (found.matched, found.only_live, found.only_backtest) == (2, 0, 1)
    assert [(one.what, one.state_live) for one in found.trades] == [(("only backtest",), "")]


def test_the_wall_clock_is_shown_where_it_was_read(backtest):
    observed = like(LatencyObserved, kind="hedge", latency_ns=9 * MS, trade_id="i1")
    found = compare(document_of(golden(journal=(*golden().journal, observed))), backtest)
    wall = {pace.name: pace for pace in found.latencies if pace.clock == "wall"}
    (hedge,) = wall.values()
    assert (hedge.live.p50, hedge.backtest, hedge.difference("p50")) == (9 * MS, None, None)
    assert ["hedge, venue time taken out, wall time, p50 / p95", "9 ms / 9 ms", "not measured", ""] in verdict_rows(
        found
    )


def test_tables_and_json_say_the_same(backtest):
    live = document_of(golden(fills=changed_fill(golden(), "f1", fee_micros=0)))
    found = compare(live, backtest)
    rows = {row[0]: row[1:] for row in verdict_rows(found)}
    assert rows["locked in"] == ["+$0.7460", "+$0.6860", "-60,000 micros"]
    assert rows["at mark"] == ["$0.00", "$0.00", "0 micros"]
    assert rows["contracts sold again"] == ["5", "5", ""]
    assert rows["fills differing"] == ["", "", "1"]
    assert difference_rows(found) == [["pair", "fills, PnL", "hedged", "hedged", "-60,000", "i1"]]
    plain = json.loads(json.dumps(as_dict(found)))
    assert (plain["alike"], plain["net_difference_micros"], len(plain["trades"])) == (False, -60_000, 1)


def test_runs_are_found_by_file_and_by_folder(tmp_path):
    outcome = golden()
    write_json(outcome, tmp_path / "report.json")
    assert load_run(str(tmp_path)) == load_run(str(tmp_path / "report.json")) == document_of(outcome)
    with pytest.raises(ReportError, match="a folder with"):
        load_run(str(tmp_path / "nowhere"))


def test_an_archive_of_a_live_run_is_a_run(tmp_path):
    outcome = simulated(seed=3, seconds=120)
    log = log_of(outcome)
    with ArchiveWriter(tmp_path / "archive", source="s", prefix="p.", partitions=1) as writer:
        for (topic, partition), lines in log.lines.items():
            writer.extend(topic, partition, lines)
    found = compare(load_run(str(tmp_path / "archive")), document_of(outcome))
    assert found.alike
    assert found.same_log
    assert found.net_difference_micros == 0
    assert found.matched == len(outcome.intents) > 0


def test_the_command_prints_and_exits_by_the_verdict(tmp_path):
    write_json(golden(), tmp_path / "a.json")
    write_json(golden(fills=changed_fill(golden(), "f1", fee_micros=0)), tmp_path / "b.json")
    app = typer.Typer()
    app.command()(compare_runs)
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    same = CliRunner().invoke(app, [a, a, "--json"])
    assert (same.exit_code, json.loads(same.stdout)["alike"]) == (0, True)
    other = CliRunner().invoke(app, [a, b])
    assert other.exit_code == 1
