"""A sweep does each run once, whatever happened to it in between, and what it finds does not depend on where it ran."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from crossbook.log.archive.write import write_archive
from crossbook.runtime.code_digest import digest_of, import_closure
from crossbook.runtime.settings import PortfolioSettings
from deploy.lab.backtest import sweep
from deploy.lab.backtest.errors import BacktestError
from deploy.lab.backtest.options import BacktestOptions, Range, parse_sweep
from deploy.lab.backtest.sweep import ArchiveSource, identity, key_of, read_summary, run_sweep, write_json
from deploy.lab.log_range import parse_bound
from tests.builders.executors.backtests import WIDE
from tests.builders.logs.live import live_log, market, market_log
from tests.builders.places import REPOSITORY

OPTIONS = BacktestOptions(execute=WIDE)
RUNS = parse_sweep(["decide.cooldown_ms=100,1000,10000", "paper.wire_latency_ms=20,200"])


class Held:
    """A source in this process."""

    def __init__(self, log):
        self.log = log
        self.opened = 0

    def open(self):
        self.opened += 1
        return self.log


@pytest.fixture(scope="module")
def source():
    return Held(market_log(market(900)))


def figures(finished):
    return [
        {name: value for name, value in one.summary.items() if name not in {"elapsed_s", "rss_mb", "ts_started_ns"}}
        for one in finished
    ]


def test_a_sweep_is_done_once(source, tmp_path):
    first = run_sweep(source, OPTIONS, RUNS, tmp_path, jobs=1)
    opened = source.opened
    told = []
    again = run_sweep(source, OPTIONS, RUNS, tmp_path, jobs=1, finished=told.append)
    assert [one.changes for one in first] == RUNS
    assert not any(one.was_there for one in first) and all(one.was_there for one in again)
    assert source.opened == opened + 1, "only the identity of the log was read"
    assert figures(again) == figures(first) and len(told) == 6
    assert len({one.summary["net_micros"] for one in first}) > 1
    wider = run_sweep(
        source, OPTIONS, parse_sweep(["decide.cooldown_ms=100,500", "paper.wire_latency_ms=20"]), tmp_path, jobs=1
    )
    assert [one.was_there for one in wider] == [True, False]


def test_everything_that_a_result_depends_on_is_in_its_key():
    known = identity(market_log(market(300)))
    keys = {
        key_of(known, OPTIONS),
        key_of(identity(market_log(market(301))), OPTIONS),
        key_of(known, BacktestOptions()),
        key_of(known, BacktestOptions(execute=WIDE, seed=7)),
        key_of(known, BacktestOptions(execute=WIDE, positions="simulated")),
        key_of(known, BacktestOptions(execute=WIDE, guards="warn")),
        key_of(known, BacktestOptions(execute=WIDE, changes={"paper.seed": 7})),
        key_of(known, BacktestOptions(execute=WIDE, portfolio="twin")),
        key_of(known, BacktestOptions(execute=WIDE, own=PortfolioSettings(partition=0))),
        key_of(known, BacktestOptions(execute=WIDE, range=Range(end=parse_bound("@5")))),
    }
    assert len(keys) == 10
    assert key_of(known, OPTIONS) == key_of(identity(market_log(market(300))), BacktestOptions(execute=WIDE))


def test_the_key_names_the_code_that_makes_marks_and_sums_up():
    """A summary of other marking code is never taken for this one's; the code that only shows it does not count."""
    known = identity(market_log(market(300)))
    modules = import_closure(sweep.CODE)
    assert {"executors.portfolio.equity", "deploy.lab.outcome.outcome", "deploy.lab.analysis.latency", "executors.venues.paper",
            "processors.strategies.edges", "crossbook.domain.fees", "schemas.codec"} <= set(modules)  # fmt: skip
    assert not {"deploy.lab.backtest.sweep", "deploy.lab.report.page", "deploy.commands.backtest"} & set(modules)
    keys = {key_of(known, OPTIONS)}
    for touched in modules:
        keys.add(key_of(known, OPTIONS, digest_of(modules | {touched: modules[touched] + "\nTOUCHED = 1\n"})))
    assert len(keys) == len(modules) + 1


def test_half_a_file_counts_as_none(source, tmp_path):
    (done,) = run_sweep(source, OPTIONS, RUNS[:1], tmp_path, jobs=1)
    path = tmp_path / "runs" / f"{done.key}.json"
    path.write_text(path.read_text()[:100])
    assert read_summary(tmp_path, done.key) is None
    assert figures(run_sweep(source, OPTIONS, RUNS[:1], tmp_path, jobs=1)) == figures([done])
    write_json(path, {"key": "of another"})
    assert read_summary(tmp_path, done.key) is None
    assert not list((tmp_path / "runs").glob(".*")), "nothing unfinished is left"


def test_one_run_that_fails_is_named_and_the_others_are_done(source, tmp_path, monkeypatch):
    real = sweep.run_backtest

    def fails(log, options):
        if options.changes["decide.cooldown_ms"] == 1_000:
            raise BacktestError("no")
        return real(log, options)

    monkeypatch.setattr(sweep, "run_backtest", fails)
    with pytest.raises(BacktestError, match=r"2 of 6 runs failed; the first was decide\.cooldown_ms=1000"):
        run_sweep(source, OPTIONS, RUNS, tmp_path, jobs=1)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4


SCRIPT = """
import sys
from pathlib import Path
from deploy.lab.backtest.options import BacktestOptions, parse_sweep
from deploy.lab.backtest.sweep import ArchiveSource, run_sweep

if __name__ == "__main__":
    runs = parse_sweep(["decide.cooldown_ms=100,200,400,800,1600"])
    told = lambda one: print(one.key, one.was_there, flush=True)
    run_sweep(ArchiveSource(Path(sys.argv[1])), BacktestOptions(), runs, Path(sys.argv[2]), jobs=int(sys.argv[3]), finished=told)
"""


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path):
    archive, out = tmp_path / "archive", tmp_path / "out"
    write_archive(live_log(market(600)), archive)
    script = tmp_path / "sweeps.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(archive), str(out), "2"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for _ in range(2):
            assert process.stdout.readline().endswith("False\n")
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline and _workers_of(process.pid):
        time.sleep(0.05)
    assert not _workers_of(process.pid), "workers do not outlive their parent"
    stamps = {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}
    assert 2 <= len(stamps) < 5
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=500)
    flags = [line.split()[1] for line in done.stdout.splitlines()]
    assert (flags.count("True"), flags.count("False")) == (len(stamps), 5 - len(stamps))
    assert {name: (out / "runs" / name).stat().st_mtime_ns for name in stamps} == stamps, "nothing is computed twice"
    summaries = [json.loads(path.read_text()) for path in (out / "runs").glob("*.json")]
    assert len({one["key"] for one in summaries}) == 5
    plain = run_sweep(
        ArchiveSource(archive), BacktestOptions(), [{"decide.cooldown_ms": 400}], tmp_path / "plain", jobs=1
    )
    (same,) = [one for one in summaries if one["changed"]["decide.cooldown_ms"] == 400]
    assert same["net_micros"] == plain[0].summary["net_micros"] and same["key"] == plain[0].key


def _workers_of(parent):
    """Processes that the killed one had started: they bear its name, and nobody is their parent any more."""
    import psutil

    return [
        one.pid
        for one in psutil.process_iter(["cmdline", "status"])
        if any(f"parent_pid={parent}" in part for part in one.info["cmdline"] or ()) and one.info["status"] != "zombie"
    ]
