"""The command line: `crossbook COMMAND`.

Each command is a few lines: read the settings, find the stack, call the module that does the work, print. `--json` prints one
JSON value on stdout wherever a command lists. Errors are one line on stderr that says how to mend them; the exit code is 1 for
an operating error, 2 for a wrong call, 78 for settings that cannot work.
"""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from crossbook.domain.errors import StageError
from crossbook.runtime.logging import configure_log
from deploy.commands.lazy import LazyCommands
from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.errors import DeployError, UsageError, one_line
from deploy.stack.errors import LocalStackError
from schemas.errors import SchemaError
from schemas.topics import TOPICS

app = typer.Typer(
    name="crossbook",
    cls=LazyCommands,
    help="Event-sourced cross-venue trading of binary prediction markets, on a real Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
pairs_app = typer.Typer(help="Which instruments are judged to resolve alike.", no_args_is_help=True)
app.add_typer(pairs_app, name="pairs")


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=5, help="how long to trade")] = 60,
    seed: Annotated[int, typer.Option(help="seed of the sandbox world and of the paper venue's faults")] = 7,
    rate: Annotated[float, typer.Option(min=1, help="book updates a second of the sandbox world")] = 300,
    preset: Annotated[
        Literal["eventful", "worldcup"],
        typer.Option(help="eventful: planted edges; worldcup: edges, none worth 2.5 cents"),
    ] = "eventful",
    recording: Annotated[list[Path] | None, typer.Option(help="replay this recording instead of the sandbox")] = None,
    fees: Annotated[Path | None, typer.Option(help="fee file of the recording")] = None,
    min_edge: Annotated[float | None, typer.Option(help="smallest net edge for an intent, cents a contract")] = None,
    speed: Annotated[float, typer.Option(min=0, help="times real time for a recording; 0 is as fast as possible")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="print one JSON object on stdout, nothing else")] = False,
) -> None:
    """Trade a two-venue market on paper, explain it, sum it up and verify it."""
    from deploy.demo.demo import DemoOptions, run_demo

    if bool(recording) != bool(fees):
        raise UsageError("--recording and --fees go together: an edge without an exact fee schedule is a guess")
    options = DemoOptions(
        seconds=seconds,
        seed=seed,
        rate=rate,
        preset=preset,
        recording=tuple(recording or ()),
        fees=fees,
        min_edge_cents=min_edge,
        speed=speed,
        json=json_,
    )
    raise typer.Exit(run_demo(options))


@app.command()
def up(
    feeds: Annotated[
        Literal["sandbox", "venues", "none"],
        typer.Option(help="sandbox venues, the venues that the settings name, or none (for `crossbook import`)"),
    ] = "sandbox",
    preset: Annotated[Literal["eventful", "worldcup"], typer.Option(help="the sandbox's market")] = "eventful",
    seed: Annotated[int, typer.Option(help="seed of the sandbox world")] = 7,
    rate: Annotated[float, typer.Option(min=1, help="book updates a second of the sandbox world")] = 300,
    detach: Annotated[bool, typer.Option("--detach", help="return once everything runs")] = False,
) -> None:
    """Start the local stack and keep it running: Kafka, ClickHouse, registry, venues, stages. Ctrl-C stops it."""
    from deploy.stack.stack import SandboxOptions, run_up

    raise typer.Exit(run_up(feeds, SandboxOptions(preset=preset, seed=seed, rate=rate), detach=detach))


@app.command()
def down(stack: StackName = "") -> None:
    """Stop the local stack, or the demo, that runs in this state folder; with several, the one that --stack names."""
    from deploy.stack.stack import stop_running

    out.print(stop_running(stack))


@app.command()
def status(json_: Json = False) -> None:
    """Show every stack: mode, whether it runs, what it may trade and what forbids it, positions, PnL, processes."""
    from deploy.operate.status import read_status, render_status

    entries = read_status()
    if json_:
        print_json(entries)
    else:
        out.print(render_status(entries), soft_wrap=True, markup=False)


@app.command()
def lag(
    json_: Json = False,
    stack: StackName = "",
    limit: Annotated[
        float | None, typer.Option(help="seconds above which the exit code is 1 (setting lag.limit_s)")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="repeat every two seconds")] = False,
) -> None:
    """Show consumer lag per group, topic and partition: messages, seconds, trend, time to catch up."""
    from deploy.operate.lag import lag_rows, render_lag
    from deploy.stack.attach import attached

    with attached("lag", stack, clickhouse=False) as settings:
        bound = settings.lag.limit_s if limit is None else limit
        while True:
            rows = lag_rows(settings.kafka)
            if json_:
                print_json([row._asdict() for row in rows])
            else:
                out.print(render_lag(rows, bound))
            if not watch:
                break
            time.sleep(2)
    raise typer.Exit(1 if any(row.lag_seconds > bound for row in rows) else 0)


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help=f"one of: {', '.join(TOPICS)}")] = "signals",
    last: Annotated[int, typer.Option("-n", "--last", help="how many of the last records of each partition")] = 10,
    all_: Annotated[bool, typer.Option("--all", help="from the beginning")] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on with new records")] = False,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Print a topic's committed records, decoded, one a line."""
    from deploy.operate.tail import read_topic
    from deploy.stack.attach import attached

    with attached("tail", stack, clickhouse=False) as settings:
        for line in read_topic(settings.kafka, topic, last=None if all_ else last, follow=follow):
            if json_:
                sys.stdout.write(line.as_json() + "\n")
            else:
                name = type(line.record).__name__ if line.record else f"undecodable: {line.error}"
                fields = line.as_dict().get("fields", {})
                text = " ".join(f"{key}={value}" for key, value in fields.items())
                sys.stdout.write(f"{line.partition}:{line.offset} {name} {text}\n")
            sys.stdout.flush()


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="one statement; without it the tables and views are listed")] = "",
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Query ClickHouse (read-only user); works on the kept state of the last run as well."""
    from deploy.stack.attach import attached, reader_client, sql_errors

    with attached("sql", stack, kafka=False) as settings:
        client, database = reader_client(settings)
        statement = query or (
            f"SELECT name, engine, total_rows AS rows, comment FROM system.tables WHERE database = '{database}' ORDER BY engine = 'View', name"
        )
        with sql_errors():
            result = client.query(statement)
        if json_:
            print_json([dict(zip(result.column_names, row, strict=True)) for row in result.result_rows])
        else:
            print_table(result.column_names, result.result_rows)


@app.command()
def rebuild(stack: StackName = "") -> None:
    """Drop the ClickHouse tables and build them again from the topics, with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from deploy.stack.attach import attached
    from deploy.stages.project import rebuild as rebuild_tables

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with attached("rebuild", stack) as settings, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("rebuilding", total=None)
        records = rebuild_tables(settings, lambda done, total: progress.update(task, completed=done, total=total))
    out.print(f"{records:,} records")


@app.command()
def topics(
    create: Annotated[bool, typer.Option("--create", help="create those that are missing")] = False,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """List the topics: writer, key, partitions, records, how long they are kept, and what is in them."""
    from crossbook.runtime.kafka import create_topics
    from deploy.operate.tail import describe_topics
    from deploy.stack.attach import attached

    with attached("topics --create" if create else "topics", stack, clickhouse=False) as settings:
        if create:
            create_topics(settings.kafka)
        rows = describe_topics(settings.kafka)
    if json_:
        print_json(rows)
        return
    shown = ("topic", "exists", "partitions", "offsets", "writer", "key", "kept")
    print_table(shown, [[row[column] for column in shown] for row in rows])


@app.command()
def schemas(
    record: Annotated[str, typer.Argument(help="print this record's schema")] = "",
    fill: Annotated[str, typer.Option(help="fill the Schema Registry at this address with the pinned ids")] = "",
    json_: Json = False,
) -> None:
    """List the pinned schemas: id, record, version, topic."""
    from crossbook.runtime.settings import load_settings
    from deploy.registry.server import fill_registry
    from schemas.registry import load_registry, read_avsc

    registry = load_registry()
    if fill:
        fill_registry(fill, load_settings())
        out.print(f"{len(registry.by_id)} schemas stand in {fill} under their pinned ids")
        return
    if record:
        if record not in registry.newest:
            raise UsageError(f"no record {record!r}; `crossbook schemas` lists them")
        print_json(read_avsc(record))
        return
    where = {name: topic.name for topic in TOPICS.values() for name in topic.records}
    rows = [
        {"id": s.id, "record": s.record, "version": s.version, "topic": where.get(s.record, ""), "doc": s.schema["doc"]}
        for s in registry.by_id.values()
    ]
    if json_:
        print_json(rows)
        return
    print_table(list(rows[0]), [list(row.values()) for row in rows])


Scope = Annotated[
    str, typer.Option("--scope", help="all, venue:NAME, category:NAME, pair:ID, strategy:NAME or portfolio:NAME")
]
Portfolio = Annotated[str, typer.Option("--portfolio", help="this portfolio alone, as --scope portfolio:NAME")]
Strategy = Annotated[str, typer.Option("--strategy", help="this strategy alone, as --scope strategy:NAME")]


@app.command()
def halt(
    scope: Scope = "all",
    portfolio: Portfolio = "",
    strategy: Strategy = "",
    reduce_only: Annotated[
        bool, typer.Option("--reduce-only", help="still allow orders that hedge or shrink a position")
    ] = False,
    reason: Annotated[str, typer.Option(help="why, for the log")] = "operator",
    kill: Annotated[
        bool, typer.Option("--kill", help="write the KILL file: works when Kafka does not; halts all")
    ] = False,
    stack: StackName = "",
) -> None:
    """Stop new orders, the hedges and unwinds of open trades included; returns when every executor has journaled it.

    The exit code is 1 when one did not answer, or when none runs.
    """
    from deploy.operate.control import kill_by_file, one_scope, set_trading_state

    scope = one_scope(scope, portfolio=portfolio, strategy=strategy)
    if kill:
        if scope != "all" or reduce_only:
            raise UsageError("--kill halts everything; it takes neither a scope nor --reduce-only")
        out.print(kill_by_file(stack), soft_wrap=True)
        return
    out.print(set_trading_state("reduce_only" if reduce_only else "halted", scope, reason, stack), soft_wrap=True)


@app.command()
def resume(
    scope: Scope = "all",
    portfolio: Portfolio = "",
    strategy: Strategy = "",
    reason: Annotated[str, typer.Option(help="why, for the log")] = "operator",
    stack: StackName = "",
) -> None:
    """Allow new orders again; a resume of all removes a KILL file. A halt of a pair, a strategy or a portfolio is lifted by its name."""
    from deploy.operate.control import one_scope, set_trading_state

    scope = one_scope(scope, portfolio=portfolio, strategy=strategy)
    out.print(set_trading_state("running", scope, reason, stack), soft_wrap=True)


@app.command()
def limit(
    name: Annotated[str, typer.Argument(help="a setting of the section execute, as in pairs_open_max")],
    value: Annotated[str, typer.Argument(help="its new value, a whole number in the unit of its name")],
    reason: Annotated[str, typer.Option(help="why, for the log")] = "operator",
    stack: StackName = "",
) -> None:
    """Change a limit of the risk gate or a time of the machine for the trades that open from here on; open trades keep theirs."""
    from deploy.operate.control import change_limit

    out.print(change_limit(name, value, reason, stack), soft_wrap=True)


@pairs_app.command("list")
def pairs_list(json_: Json = False, stack: StackName = "") -> None:
    """List the approved pairs."""
    from deploy.operate.control import approved_pairs
    from deploy.stack.attach import attached

    with attached("pairs list", stack, clickhouse=False) as settings:
        pairs = approved_pairs(settings)
    rows = [
        {
            "pair": p.pair_id,
            "relation": p.relation,
            "a": p.instrument_a,
            "b": p.instrument_b,
            "by": p.operator,
            "evidence": p.evidence,
        }
        for p in pairs.values()
    ]
    if json_:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        out.print("no pair is approved; approve some with: crossbook pairs approve FILE")


@pairs_app.command("approve")
def pairs_approve(
    file: Annotated[Path, typer.Argument(help="a pairs.yaml (docs/pairs.md)")], stack: StackName = ""
) -> None:
    """Approve every pair of a file."""
    from deploy.operate.control import approve_pairs
    from deploy.stack.attach import attached

    with attached("pairs approve", stack, clickhouse=False) as settings:
        names = approve_pairs(settings, file)
    out.print(f"approved: {', '.join(names)}")


@pairs_app.command("revoke")
def pairs_revoke(
    pair: Annotated[str, typer.Argument(help="name of the pair")],
    reason: Annotated[str, typer.Option(help="why, for the log")] = "operator",
    stack: StackName = "",
) -> None:
    """Revoke a pair; open trades go on by their plan. Returns when every executor has journaled it."""
    from deploy.operate.control import revoke_pair

    out.print(revoke_pair(pair, reason, stack), soft_wrap=True)


@app.command()
def doctor(json_: Json = False, stack: StackName = "") -> None:
    """Check this machine, the settings and every part that they name; say how to mend what is wrong."""
    from deploy.operate.doctor import examine

    findings = examine(stack)
    if json_:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(
            ("", "check", "finding", "mend"), [["ok" if f.good else "✗", f.check, f.finding, f.mend] for f in findings]
        )
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


def main() -> None:
    """Entry point of the `crossbook` script."""
    configure_log("cli", "warning")
    try:
        app()
    except (DeployError, StageError) as error:
        sys.stderr.write(f"crossbook: {one_line(error)}\n")
        sys.exit(error.exit_code)
    except (LocalStackError, SchemaError) as error:
        sys.stderr.write(f"crossbook: {one_line(error)}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("crossbook: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
