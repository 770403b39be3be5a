"""`crossbook import`: a command for each format of a recording.

Decides nothing but how a report is printed; see docs/recordings.md.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.printing import Json, StackName, out, print_json, print_table
from producers.recordings.frame import ImportReport, run_import

import_app = typer.Typer(
    help="Write a recording into `market`, in place of the live feeds.", no_args_is_help=True, add_completion=False
)

Paths = Annotated[list[Path], typer.Argument(help="folder of the recording, or its files")]
Fees = Annotated[Path, typer.Option(help="fee file that covers every market in them")]
Speed = Annotated[float, typer.Option(min=0, help="times real time; 0 is as fast as possible")]
Archive = Annotated[Path | None, typer.Option(help="write an archive there, and no topic: no stack is needed")]


@import_app.command("bbo-pairs")
def import_bbo_pairs(
    files: Annotated[list[Path], typer.Argument(help="Parquet files; rows are read by fetch_ms across all of them")],
    fees: Fees,
    speed: Speed = 0,
    archive: Archive = None,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Import polled best bids and asks of matched contracts; decide must run (see `crossbook demo --recording`)."""
    run_format("bbo-pairs", files, fees, speed, archive, json_=json_, stack=stack)


@import_app.command("xv-fed-dec2025")
def import_xv_fed_dec2025(
    files: Annotated[list[Path], typer.Argument(help="the CSV, gzipped or not")],
    fees: Fees,
    speed: Speed = 0,
    archive: Archive = None,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Import half-hourly best prices of one contract on both venues (Fed, December 2025); decide must run."""
    run_format("xv-fed-dec2025", files, fees, speed, archive, json_=json_, stack=stack)


@import_app.command("polymarket-btc5m-l2")
def import_polymarket_btc5m_l2(
    paths: Paths, fees: Fees, speed: Speed = 0, archive: Archive = None, json_: Json = False, stack: StackName = ""
) -> None:
    """Import whole books of Polymarket's five-minute bitcoin markets; decide must run."""
    run_format("polymarket-btc5m-l2", paths, fees, speed, archive, json_=json_, stack=stack)


@import_app.command("kalshi-btc15m-l2-spot")
def import_kalshi_btc15m_l2_spot(
    paths: Paths, fees: Fees, speed: Speed = 0, archive: Archive = None, json_: Json = False, stack: StackName = ""
) -> None:
    """Import whole books of Kalshi's 15-minute bitcoin markets with Coinbase's spot trades on one clock; decide must run."""
    run_format("kalshi-btc15m-l2-spot", paths, fees, speed, archive, json_=json_, stack=stack)


@import_app.command("kalshi-gold15m-l2")
def import_kalshi_gold15m_l2(
    paths: Paths, fees: Fees, speed: Speed = 0, archive: Archive = None, json_: Json = False, stack: StackName = ""
) -> None:
    """Import whole books and trades of Kalshi's 15-minute gold markets with their settlement; decide must run."""
    run_format("kalshi-gold15m-l2", paths, fees, speed, archive, json_=json_, stack=stack)


@import_app.command("binance-wire-2024-08")
def import_binance_wire_2024_08(
    files: Annotated[list[Path], typer.Argument(help="files of socket lines, .ndjson or .ndjson.zst")],
    fees: Annotated[
        Path | None, typer.Option(help="fee file, for its frictions; nothing in them can be traded")
    ] = None,
    speed: Speed = 0,
    archive: Archive = None,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Import Binance's socket frames as reference prices; decide must run."""
    run_format("binance-wire-2024-08", files, fees, speed, archive, json_=json_, stack=stack)


def run_format(
    name: str, files: list[Path], fees: Path | None, speed: float, archive: Path | None, *, json_: bool, stack: str = ""
) -> None:
    """Open a recording of a format, import it into the stack or into an archive, and print what was done."""
    from crossbook.runtime.settings import load_settings
    from deploy.lab.archive.from_recording import archive_recording
    from deploy.stack.attach import attached
    from producers.recordings.formats import open_recording

    if archive is not None:
        settings = load_settings()
        report = archive_recording(open_recording(name, files, fees, settings.kafka.partitions), settings, archive)
    else:
        with attached(f"import {name}", stack, clickhouse=False) as settings:
            recording = open_recording(name, files, fees, settings.kafka.partitions)
            report = run_import(settings, recording, speed)
    print_report(report, json_=json_)


def print_report(report: ImportReport, *, json_: bool) -> None:
    """What an import read, wrote, dropped and noticed."""
    if json_:
        print_json(
            {
                "log_id": report.log_id,
                "rows": report.rows,
                "books": report.books,
                "records": report.records,
                "resumed_at": report.resumed_at,
                "complete": report.complete,
                "used": dict(report.used),
                "dropped": dict(report.dropped),
                "counted": dict(report.counted),
                "ignored": report.ignored,
            }
        )
        return
    out.print(f"{report.rows:,} rows, {report.books:,} books, {report.records:,} records; log {report.log_id}")
    _print_counts("used", report.used)
    _print_counts("dropped", report.dropped)
    _print_counts("noticed", report.counted)
    if report.ignored:
        out.print(f"not read: {', '.join(report.ignored)}")
    if not report.complete:
        out.print("stopped before the end; the same command goes on where the log ends")


def _print_counts(title: str, counts: Counter[str]) -> None:
    found = {reason: count for reason, count in counts.items() if count}
    if not found:
        out.print(f"{title}: nothing")
        return
    print_table((title, "count"), [(reason, f"{count:,}") for reason, count in sorted(found.items())])
