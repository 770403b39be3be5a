"""The command `crossbook replay`: from which log, into which prefix, at what pace."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.commands.verify import From, To, events_progress
from deploy.errors import UsageError


def replay(
    to_prefix: Annotated[
        str, typer.Option("--to-prefix", help="prefix to write into: empty, or this replay broken off")
    ],
    from_prefix: Annotated[str, typer.Option("--from-prefix", help="prefix to read; by default the stack's own")] = "",
    from_archive: Annotated[Path | None, typer.Option("--from-archive", help="archive to read instead")] = None,
    from_: From = "",
    to: To = "",
    speed: Annotated[float, typer.Option(min=0, help="times real time; 0 is as fast as possible")] = 0,
    project: Annotated[bool, typer.Option(help="also write it to ClickHouse")] = True,
    verify: Annotated[bool, typer.Option(help="fold the replayed log again at the end")] = True,
    compare: Annotated[
        bool,
        typer.Option(
            help="compare signals and intents with the source (a range from zero); an imported recording has none"
        ),
    ] = True,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Feed a range of a log into another prefix, decide it and trade it on paper; started again it goes on."""
    from crossbook.log.reading import Log
    from crossbook.runtime.kafka_log import KafkaLog
    from deploy.lab.log_range import parse_bound, resolve
    from deploy.lab.replay.replay import ReplayOptions, check_comparable, full_prefix, run_replay
    from deploy.lab.replay.source import ReplaySource
    from deploy.lab.verify.verify import render_verification
    from deploy.stack.attach import attached, replaced

    if from_archive is not None and from_prefix:
        raise UsageError("give --from-prefix or --from-archive, not both")
    begin, end = (parse_bound(text) if text else None for text in (from_, to))
    options = ReplayOptions(full_prefix(to_prefix), speed, project, verify, compare)
    console = Console(stderr=True, highlight=False)
    log: Log | None = None
    if from_archive is not None:
        from crossbook.log.archive.read import ArchiveLog

        log = ArchiveLog(from_archive)
        if compare and from_ in {"", "@0"}:
            check_comparable(log)
    with ExitStack() as opened:
        settings = opened.enter_context(attached("replay", stack, clickhouse=project))
        if log is None:
            prefix = full_prefix(from_prefix) if from_prefix else settings.kafka.prefix
            log = KafkaLog(replaced(settings, "kafka", prefix=prefix).kafka)
        source = ReplaySource(log, resolve(log, begin, end) if begin or end else None)
        told = opened.enter_context(events_progress("replaying", sum(source.records(n) for n in source.ranges)))
        say = (lambda _: None) if json_ or not sys.stderr.isatty() else console.print
        report = run_replay(source, settings, options, say=say, told=told)
    if json_:
        print_json(report.as_dict())
    else:
        out.print(
            f"{report.records:,} records written, {report.resumed_at:,} were there; {report.seconds:.1f} s; log {report.log_id}"
        )
        if report.verification is not None:
            out.print(render_verification(report.verification))
        if report.comparison:
            rows = [
                (f"{one.topic}/{one.partition}", one.compared, one.mismatches, one.first_difference)
                for one in report.comparison
            ]
            print_table(("against the source", "compared", "different", "first difference"), rows)
        if not report.complete:
            out.print("interrupted; the same command goes on where it stands")
    raise typer.Exit(1 if report.mismatches or not report.complete else 0)
