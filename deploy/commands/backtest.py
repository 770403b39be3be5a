"""`crossbook backtest`: the command, its files and what it prints.

Decides where results go: a folder with `outcome.json` (the summary), `report.html` and `report.json` for one run, with `runs/` `sweep.json` and `report.html` for a sweep, and rows
in ClickHouse where one answers. Must never compute a figure of its own.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from crossbook.domain.money import format_rounded
from crossbook.log.reading import Log
from crossbook.runtime.clock import now_ns
from crossbook.runtime.settings import Settings, load_settings
from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.lab.analysis.summary import summarise
from deploy.lab.backtest.options import BacktestOptions, Range, parse_changes, parse_sweep
from deploy.lab.backtest.run import run_backtest
from deploy.lab.backtest.store import store
from deploy.lab.backtest.sweep import (
    ArchiveSource,
    Finished,
    KafkaSource,
    Source,
    identity,
    key_of,
    run_sweep,
    write_json,
)
from deploy.lab.log_range import Bound, parse_bound
from deploy.lab.outcome.outcome import Outcome, Positions
from deploy.stack.attach import attached
from deploy.stack.stacks import find_stacks, state_root
from executors.terms import NS_PER_S
from schemas.topics import MAIN

From = Annotated[
    str, typer.Option("--from", help="trade from this time (ISO or Unix), @POSITION or PARTITION@POSITION,… on")
]
To = Annotated[str, typer.Option("--to", help="end of the range, not a part of it; written like --from")]
#: Digits of a run's digest in the name of its folder.
ID_DIGITS = 12


def backtest(
    archive: Annotated[
        Path | None, typer.Option(help="archive to read; default: the stack that runs or was kept")
    ] = None,
    begin: From = "",
    end: To = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="setting that differs from the log's: decide.min_edge_micros=0")
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="several values of a setting: key=a,b,c; more than one: every combination")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of latencies and faults; default: that of the log")] = None,
    positions: Annotated[
        Literal["logged", "simulated"], typer.Option(help="the market as logged, or delayed by backtest.feed_latency")
    ] = "logged",
    guards: Annotated[
        Literal["raise", "warn"], typer.Option(help="what a look-ahead does: stop the run, or be counted")
    ] = "raise",
    portfolio: Annotated[
        str, typer.Option(help="the portfolio that is run, and whose journal it is compared with")
    ] = MAIN,
    jobs: Annotated[int, typer.Option(min=0, help="processes of a sweep; 0: one a core")] = 0,
    folder: Annotated[Path | None, typer.Option("--out", help="folder of the results; default backtest-ID")] = None,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Run decide and the executor over a log or an archive, under its settings or others, and report what came of it."""
    changes, runs, span = (
        parse_changes(set_ or []),
        parse_sweep(sweep or []),
        Range(begin=_bound(begin), end=_bound(end)),
    )

    def options_of(settings: Settings) -> BacktestOptions:
        return BacktestOptions(
            positions=positions,
            changes=changes,
            seed=seed,
            range=span,
            portfolio=portfolio,
            own=settings.portfolios.get(portfolio),
            execute=settings.execute,
            paper=settings.paper,
            backtest=settings.backtest,
            guards=guards,
        )

    with _source(archive, stack) as (source, settings, storing):
        options = options_of(settings)
        if runs:
            _sweep(source, options, runs, folder, jobs, storing, json_=json_)
        else:
            _single(source, options, folder, storing, json_=json_)


def _bound(text: str) -> Bound | None:
    return parse_bound(text) if text else None


class Storing(Protocol):
    """Stores summaries and says why it could not."""

    def __call__(
        self, summaries: Sequence[Mapping[str, Any]], sweep_id: str = "", detail: Outcome | None = None
    ) -> str: ...


@contextlib.contextmanager
def _source(archive: Path | None, stack: str) -> Iterator[tuple[Source, Settings, Storing]]:
    """The log, the settings in force beside it, and what stores summaries and says why it could not."""
    if archive is None:
        with attached("backtest", stack) as settings:
            yield KafkaSource(settings.kafka), settings, partial(store, settings)
        return
    settings = load_settings()

    def storing(summaries: Sequence[Mapping[str, Any]], sweep_id: str = "", detail: Outcome | None = None) -> str:
        named = bool(settings.clickhouse.model_fields_set)
        if not (stack or named or find_stacks(state_root(settings))):
            return "no row in ClickHouse: no stack was ever started here, and no clickhouse.host is set"
        with attached("backtest", stack, kafka=False) as found:
            return store(found, summaries, sweep_id, detail)

    yield ArchiveSource(archive), settings, storing


def _single(source: Source, options: BacktestOptions, folder: Path | None, storing: Storing, *, json_: bool) -> None:
    from deploy.lab.analysis.analysis import analyse
    from deploy.lab.report.page import write_json as write_document
    from deploy.lab.report.page import write_report

    started_ns = now_ns()
    log = source.open()
    key = key_of(identity(log), options)
    with _progress(log, quiet=json_) as progress:
        outcome = run_backtest(log, options, progress)
    target = folder or Path(f"backtest-{key[:ID_DIGITS]}")
    analysis = analyse(outcome)
    summary = summarise(outcome, analysis) | {"key": key, "ts_started_ns": started_ns}
    write_json(target / "outcome.json", summary)
    write_document(outcome, target / "report.json", analysis)
    write_report(outcome, target / "report.html", analysis)
    stored = storing([summary], detail=outcome)
    if json_:
        print_json(summary)
        return
    _show(summary, options.positions)
    out.print(f"{target}/report.html  {target}/outcome.json{'  ' + stored if stored else ''}")


def _sweep(
    source: Source,
    options: BacktestOptions,
    runs: Sequence[Mapping[str, Any]],
    folder: Path | None,
    jobs: int,
    storing: Storing,
    *,
    json_: bool,
) -> None:
    from deploy.lab.report.sweep import write_sweep_report

    sweep_id = _sweep_id(key_of(identity(source.open()), options), runs)
    target = folder or Path(f"backtest-{sweep_id}")
    count = [0]

    def told(one: Finished) -> None:
        count[0] += 1
        if not json_:
            what = " ".join(f"{name}={value}" for name, value in one.changes.items())
            how = "was there" if one.was_there else f"{one.summary['elapsed_s']:.1f} s"
            out.print(f"{count[0]}/{len(runs)}  {what}  locked in {_dollars(one.summary['locked_micros'])}  {how}")

    finished = run_sweep(source, options, runs, target, jobs=jobs, finished=told)
    summaries = [one.summary for one in finished]
    write_json(target / "sweep.json", {"sweep_id": sweep_id, "runs": summaries})
    write_sweep_report(summaries, target / "report.html")
    stored = storing(summaries, sweep_id)
    if json_:
        print_json({"sweep_id": sweep_id, "runs": summaries})
        return
    names = list(dict.fromkeys(name for one in finished for name in one.changes))
    figures = (
        "locked_micros",
        "marked_micros",
        "fee_micros",
        "drawdown_micros",
        "trades",
        "hedged",
        "unwound",
        "declined",
    )
    print_table(
        [*names, "locked in $", "at mark $", "fees $", "drawdown $", *figures[4:]],
        [
            [one.changes.get(name) for name in names]
            + [_dollars(one.summary[name]) for name in figures[:3]]
            + [one.summary[name] for name in figures[3:]]
            for one in finished
        ],
    )
    out.print(f"{target}/report.html  {target}/sweep.json{'  ' + stored if stored else ''}")


def _sweep_id(key: str, runs: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps([key, [dict(run) for run in runs]], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def _dollars(micros: int) -> str:
    return format_rounded(micros, 2)


@contextlib.contextmanager
def _progress(log: Log, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    total = sum(high - low for low, high in (log.extent("market", n) for n in range(log.partitions)))
    columns = (TextColumn("{task.completed:,.0f}/{task.total:,.0f} events"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("events", total=total)
        yield lambda events: bar.advance(task, events)


def _show(summary: Mapping[str, Any], positions: Positions) -> None:
    counts = ("hedged", "unwound", "unfilled", "declined", "stuck", "open")
    rate = summary["events"] / max(summary["elapsed_s"], 1e-3)
    seconds = (summary["ts_last_ns"] - summary["ts_first_ns"]) // NS_PER_S
    rows: list[list[Any]] = [
        ["log", f"{summary['source']}  {summary['log_id'][:ID_DIGITS]}  {positions} positions"],
        [
            "events",
            f"{summary['events']:,} in {summary['elapsed_s']:.1f} s ({rate:,.0f}/s), {seconds:,} s of stream time",
        ],
        [
            "locked in",
            (
                f"${_dollars(summary['locked_micros'])} after ${_dollars(summary['fee_micros'])} fees; "
                f"of it unwinding ${_dollars(summary['unwound_micros'])}"
            ),
        ],
        ["at mark", f"${_dollars(summary['marked_micros'])}"],
        [
            "contracts",
            ", ".join(
                f"{_dollars(summary[f'{name}_contracts_micros'])} {name}" for name in ("hedged", "unwound", "unmatched")
            ),
        ],
        ["drawdown", f"${_dollars(summary['drawdown_micros'])}"],
        ["intents", f"{summary['intents']:,}: " + ", ".join(f"{summary[name]:,} {name}" for name in counts)],
        ["seen too late", f"{summary['declined_late']:,} of {summary['declined']:,} declined"],
        *([["breakers", f"{summary['breaker_ns'] / NS_PER_S:.1f} s"]] if summary["breaker_ns"] else []),
        *([["changed", ", ".join(f"{k}={v}" for k, v in summary["changed"].items())]] if summary["changed"] else []),
    ]
    rows += [
        [
            f"live {one['topic']}",
            f"{one['equal']:,} equal, {one['different']:,} different, {one['missing']:,} missing, {one['extra']:,} extra"
            + (f"; first: {one['first_difference'][:160]}" if one["first_difference"] else ""),
        ]
        for one in summary["comparisons"]
    ]
    rows += [["note", warning] for warning in summary["warnings"]]
    print_table(["", ""], rows)
