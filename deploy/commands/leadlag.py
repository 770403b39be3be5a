"""`crossbook leadlag`: the command line of the lead-lag report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.errors import UsageError

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def leadlag(
    report: Annotated[Path, typer.Argument(help="file of the report (HTML; the same as JSON beside it)")],
    archive: Annotated[
        Path | None, typer.Option(help="folder of an archive; the running or kept stack by default")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="folder of a recording of Kalshi's books beside spot trades")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="REFERENCE=BEGINNING: also compare a reference with instruments (beside leadlag.references)"),
    ] = None,
    window_s: Annotated[int, typer.Option(min=10, help="length of a window, seconds")] = 300,
    block_s: Annotated[int, typer.Option(min=10, help="length of a block of a log that is drawn as a whole")] = 1_800,
    bar_ms: Annotated[int | None, typer.Option(min=10, help="length of a bar (setting leadlag.bar_ms)")] = None,
    step_ms: Annotated[int, typer.Option(min=1, help="smallest lag told tick by tick")] = 20,
    lag_max_ms: Annotated[int, typer.Option(min=10, help="largest lag looked at tick by tick")] = 5_000,
    sessions: Annotated[int | None, typer.Option(min=1, help="use so many sessions of the recording only")] = None,
    seed: Annotated[int, typer.Option(help="seed of placebo and bootstrap")] = 7,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Report who moves first: bars and Hayashi-Yoshida side by side, with placebo, intervals and plots."""
    from crossbook.log.archive.read import ArchiveLog
    from crossbook.runtime.kafka_log import KafkaLog
    from crossbook.runtime.settings import load_settings
    from deploy.lab.leadlag.report import COLUMNS, Lengths, as_dict, compare, rows, write_report
    from deploy.lab.leadlag.sources import Comparison, from_kalshi_spot, from_log
    from deploy.stack.attach import attached

    if archive is not None and recording is not None:
        raise UsageError("--archive and --recording exclude each other: name one source")
    settings = load_settings().leadlag
    bar_ns = (settings.bar_ms if bar_ms is None else bar_ms) * NS_PER_MS
    lengths = Lengths(
        bar_ns=bar_ns,
        bar_lag_max_ns=max(1, min(12, window_s * NS_PER_S // bar_ns // 4)) * bar_ns,
        lag_max_ns=lag_max_ms * NS_PER_MS,
        step_ns=step_ms * NS_PER_MS,
    )
    references = settings.references | _references(reference or [])
    window_ns, block_ns = window_s * NS_PER_S, max(block_s, window_s) * NS_PER_S

    def told(name: str) -> None:
        if not json_:
            typer.echo(f"comparing {name}", err=True)

    def study(comparisons: Iterable[Comparison]) -> None:
        found = compare(comparisons, lengths, seed, told)
        size = write_report(found, source, lengths, report)
        if json_:
            print_json(as_dict(found, source, lengths))
            return
        print_table(COLUMNS, rows(found))
        out.print(f"{report} ({size / 1_000:,.0f} kB)")

    if recording is not None:
        source = f"the recording {recording.name}"
        study([from_kalshi_spot(recording, window_ns, sessions=sessions)])
    elif archive is not None:
        source = f"the archive {archive.name}"
        study(from_log(ArchiveLog(archive), references, window_ns, block_ns))
    else:
        with attached("leadlag", stack, clickhouse=False) as read:
            log = KafkaLog(read.kafka)
            source = log.name
            study(from_log(log, references, window_ns, block_ns))


def _references(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, sign, beginning = one.partition("=")
        if not (name and sign and beginning):
            raise UsageError(f"--reference {one!r}: write it as binance:BTCUSDT=kalshi:KXBTC")
        found[name] = beginning
    return found
