"""`crossbook archive …`: write, check, restore, drop, export.

Each command is a few lines: find the stack where one is needed, call the module that does the work, print.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from crossbook.log.archive.manifest import Manifest
from crossbook.log.archive.write import Progress as Report
from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.errors import UsageError
from schemas.topics import TOPICS

archive_app = typer.Typer(
    help="Topic ranges as Parquet files, and back, without loss.", no_args_is_help=True, add_completion=False
)

Folder = Annotated[Path, typer.Argument(help="folder of the archive")]


@archive_app.command()
def write(
    folder: Folder,
    topic: Annotated[list[str] | None, typer.Option(help="only this topic; may be repeated (default: all)")] = None,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Archive topics up to their present ends; an archive that exists is continued."""
    from crossbook.log.archive.write import write_archive
    from crossbook.runtime.kafka_log import KafkaLog
    from deploy.stack.attach import attached

    with attached("archive write", stack, clickhouse=False) as settings, _bar("offsets") as report:
        log = KafkaLog(settings.kafka)
        manifest = write_archive(log, folder, prefix=settings.kafka.prefix, topics=topic, progress=report)
    _print_manifest(manifest, folder, json_=json_)


@archive_app.command()
def check(folder: Folder, json_: Json = False) -> None:
    """Hash every file of an archive and describe it; a changed byte is named."""
    from crossbook.log.archive.read import ArchiveLog

    log = ArchiveLog(folder)
    log.check()
    _print_manifest(log.manifest, folder, json_=json_)


@archive_app.command()
def restore(
    folder: Folder,
    topic: Annotated[list[str] | None, typer.Option(help="only this topic; may be repeated (default: all)")] = None,
    new: Annotated[
        str, typer.Option("--new", help="into a new local stack of this name, under the archive's own prefix")
    ] = "",
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Write an archive into the fresh topics of the prefix (setting kafka.prefix); topics that hold anything are refused."""
    from crossbook.log.archive.manifest import load_manifest
    from deploy.lab.archive.restore import restore_archive
    from deploy.stack.attach import attached
    from deploy.stack.stack import fresh_servers

    if new:
        manifest = load_manifest(folder)
        target = fresh_servers(new, prefix=manifest.prefix, partitions=manifest.partitions)
    else:
        target = attached("archive restore", stack, clickhouse=False)
    with target as settings, _bar("records") as report:
        done = restore_archive(folder, settings.kafka, topics=topic, progress=report)
        prefix = settings.kafka.prefix
    if json_:
        print_json({"prefix": prefix, **done._asdict()})
    else:
        out.print(f"{done.records:,} records of {', '.join(done.topics)} stand under {prefix}")


@archive_app.command()
def drop(
    folder: Folder,
    topic: Annotated[str, typer.Argument(help="market, tape or signals")],
    before: Annotated[int | None, typer.Option(min=0, help="keep offsets at and behind this one")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be dropped, and drop nothing")] = False,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Delete records on the broker that this archive holds, verified; anything else is refused."""
    from crossbook.runtime.kafka_log import KafkaLog
    from deploy.lab.archive.retention import describe, droppable
    from deploy.lab.archive.retention import drop as drop_records
    from deploy.stack.attach import attached

    if topic not in TOPICS:
        raise UsageError(f"there is no topic {topic!r}; topics are: {', '.join(TOPICS)}")
    with attached("archive drop", stack, clickhouse=False) as settings:
        if dry_run:
            dropped = droppable(KafkaLog(settings.kafka), folder, topic, before=before)
        else:
            dropped = drop_records(settings.kafka, folder, topic, before=before)
    rows = describe(dropped)
    if json_:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows], "would be dropped" if dry_run else "dropped")
    else:
        out.print("nothing to drop")


@archive_app.command()
def export(
    folder: Folder,
    format_: Annotated[Literal["hftbacktest", "nautilus"], typer.Argument(metavar="FORMAT", help="of whom")],
    instrument: Annotated[str, typer.Argument(help="instrument id, as in kalshi:TICKER")],
    file: Annotated[Path, typer.Argument(help="npz file (hftbacktest) or folder of the catalogue (nautilus)")],
) -> None:
    """Write one instrument's book events for another backtester."""
    from crossbook.log.archive.read import ArchiveLog
    from deploy.lab.archive.export import export_hftbacktest, export_nautilus

    action = export_hftbacktest if format_ == "hftbacktest" else export_nautilus
    out.print(f"{action(ArchiveLog(folder), instrument, file):,} events of {instrument} stand in {file}")


def _print_manifest(manifest: Manifest, folder: Path, *, json_: bool) -> None:
    rows = [
        {
            "topic": topic,
            "partition": partition,
            "first": entry.first,
            "end": entry.end,
            "rows": entry.rows,
            "files": sum(len(chunk.files) for chunk in entry.chunks),
            "bytes": sum(file.bytes for chunk in entry.chunks for file in chunk.files),
        }
        for topic, entries in manifest.topics.items()
        for partition, entry in entries.items()
    ]
    if json_:
        print_json(
            {
                "folder": str(folder),
                "source": manifest.source,
                "prefix": manifest.prefix,
                "log_id": manifest.log_id,
                "partitions": manifest.partitions,
                "base_offsets": manifest.base_offsets,
                "decided_ends": manifest.decided_ends,
                "rows": manifest.rows,
                "bytes": manifest.bytes,
                "topics": rows,
            }
        )
        return
    print_table(list(rows[0]) if rows else ["topic"], [list(row.values()) for row in rows])
    size = f"{manifest.bytes / manifest.rows:.1f} bytes a record" if manifest.rows else "empty"
    out.print(
        f"log {manifest.log_id or 'unknown'} of {manifest.source}: {manifest.rows:,} records, {manifest.bytes:,} bytes, {size}"
    )


@contextlib.contextmanager
def _bar(unit: str) -> Iterator[Report]:
    """A bar on stderr, one task a topic partition."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[tuple[str, int], TaskID] = {}

        def report(topic: str, partition: int, done: int, total: int) -> None:
            if (topic, partition) not in tasks:
                tasks[topic, partition] = progress.add_task(f"{topic}/{partition}", total=total)
            progress.update(tasks[topic, partition], completed=done, total=total)

        yield report
