"""The command `crossbook verify`: which log, which range, how it is shown."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from crossbook.log.head import log_opened
from crossbook.log.reading import Log
from crossbook.runtime.kafka_log import KafkaLog
from deploy.commands.printing import Json, StackName, out, print_json
from deploy.errors import UsageError
from processors.verify.verify import FromCheckpoint, Positions

From = Annotated[str, typer.Option("--from", help="first time (ISO or Unix), @POSITION or PARTITION@POSITION,…")]
To = Annotated[str, typer.Option("--to", help="end of the range, not a part of it; written like --from")]


def verify(
    from_: From = "",
    to: To = "",
    from_checkpoint: Annotated[
        str, typer.Option("--from-checkpoint", help="go on from checkpoint N (1 is the oldest), or from `all` in turn")
    ] = "",
    archive: Annotated[Path | None, typer.Option(help="verify this archive instead of the stack's topics")] = None,
    prefix: Annotated[str, typer.Option(help="verify the topics of this prefix instead of the settings' one")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="processes; 0: one a partition, at most one a core")] = 0,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Fold the log again and compare every decision and every execution with what was written, byte for byte."""
    from deploy.lab.log_range import parse_bound, resolve
    from deploy.lab.verify.verify import render_verification, verify_log

    begin, end = (parse_bound(text) if text else None for text in (from_, to))
    checkpoint = checkpoint_of(from_checkpoint)
    with open_log(archive, prefix, stack) as log:
        ranges = resolve(log, begin, end) if begin or end else {}
        wanted = jobs or min(log.partitions, os.cpu_count() or 1)
        with events_progress(
            "folding", sum(_events(log, n, ranges.get(n, Positions())) for n in range(log.partitions))
        ) as told:
            result = verify_log(log, ranges=ranges, from_checkpoint=checkpoint, jobs=wanted, told=told)
    if json_:
        print_json(result.as_dict())
    else:
        out.print(render_verification(result))
    raise typer.Exit(1 if result.mismatches else 0)


@contextmanager
def open_log(archive: Path | None, prefix: str, stack: str = "") -> Iterator[Log]:
    """The log that a command names: an archive, a prefix of the stack's broker, or the stack's own prefix."""
    from deploy.stack.attach import attached, replaced

    if archive is not None and prefix:
        raise UsageError("an archive has no prefix: give one of both")
    with ExitStack() as opened:
        if archive is not None:
            from crossbook.log.archive.read import ArchiveLog

            yield ArchiveLog(archive)
            return
        settings = opened.enter_context(attached("verify", stack, clickhouse=False))
        if prefix:
            settings = replaced(settings, "kafka", prefix=prefix)
        yield KafkaLog(settings.kafka)


@contextmanager
def events_progress(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on stderr with rate and time left, where stderr is a terminal; yields what advances it."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,}"),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda events: progress.update(task, advance=events)


class _Rate(ProgressColumn):
    """Events a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


def checkpoint_of(text: str) -> FromCheckpoint | None:
    """What --from-checkpoint means; empty: nothing.

    Raises:
        UsageError: it is neither a number from 1 on nor `all`.
    """
    if not text:
        return None
    if text == "all":
        return "all"
    if text.isdigit() and int(text):
        return int(text)
    raise UsageError(f"--from-checkpoint {text!r} is neither a number from 1 on nor all")


def _events(log: Log, partition: int, positions: Positions) -> int:
    """Events to fold at most: a fold that begins at a checkpoint folds fewer."""
    low, decided = log.extent("market", partition)[0], log.decided_end(partition)
    if positions.end is None:
        return decided - low
    from schemas.codec import load_codec

    head = log_opened(log, load_codec(), partition)
    return min(decided, (low if head is None else head.base_offset) + positions.end) - low
