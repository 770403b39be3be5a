"""The command: its files, its JSON, and what it refuses."""

import json

import pytest
import typer
from typer.testing import CliRunner

from crossbook.log.archive.write import write_archive
from deploy.commands.backtest import backtest
from deploy.lab.backtest.errors import ChangeError
from tests.builders.logs.live import ROUGH, live_log, market


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_archive(live_log(market(900), ROUGH), tmp_path / "archive")
    app = typer.Typer()
    app.command()(backtest)
    return lambda *arguments: CliRunner().invoke(app, ["--archive", "archive", *arguments])


def test_a_run_leaves_summary_and_report(run, tmp_path):
    shown = run("--out", "out")
    assert shown.exit_code == 0, shown.output
    summary = json.loads((tmp_path / "out" / "outcome.json").read_text())
    assert [(c["different"], c["missing"], c["extra"]) for c in summary["comparisons"]] == [(0, 0, 0)] * 3
    assert "<html" in (tmp_path / "out" / "report.html").read_text()[:200]
    assert "no row in ClickHouse" in shown.output
    told = json.loads(run("--json", "--set", "paper.seed=9", "--from", "@500").output)
    assert told["changed"] == {"paper.seed": 9} and told["events"] < summary["events"]
    assert (tmp_path / f"backtest-{told['key'][:12]}" / "report.json").is_file()


def test_a_sweep_leaves_every_run_and_is_found_done(run, tmp_path):
    arguments = ("--sweep", "decide.cooldown_ms=100,5000", "--jobs", "1")
    first, again = json.loads(run(*arguments, "--json").output), run(*arguments).output
    folder = tmp_path / f"backtest-{first['sweep_id']}"
    assert [one["changed"]["decide.cooldown_ms"] for one in first["runs"]] == [100, 5_000]
    assert len(list((folder / "runs").glob("*.json"))) == 2 and (folder / "report.html").is_file()
    assert again.count("was there") == 2


def test_a_misspelt_setting_is_refused(run):
    error = run("--set", "decide.min_edge=1").exception
    assert isinstance(error, ChangeError) and "decide.min_edge_micros" in str(error)
