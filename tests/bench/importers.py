"""Importers of whole books: level changes a second, as records and as encoded lines, and the memory that they take.

Decides nothing. Rates are of processor time (all threads of the process), because one importer is one core's work and a shared machine
gives it less than that; the wall clock stands in the note. Each recording is read in a process of its own, twice: records alone, and lines as an archive or a broker gets them.
Real recordings are measured where they lie beside the checkout; a made one of Kalshi's layout always.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossbook.log.archive.encode_many import ManyEncoder
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from deploy.lab.memory import peak_rss_mb
from processors.decide.settings import announcement
from producers.recordings.formats import open_recording
from producers.recordings.frame import ImportReport, Recording, recording_lines
from schemas.codec import load_codec
from tests.bench.report import Row
from tests.builders.places import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "data"
#: Folder of a real recording → its fee file; the name of the folder is that of the format.
REAL = {
    "polymarket_btc5m_l2": "fees_polymarket_btc5m.yaml",
    "kalshi_btc15m_l2_spot": "fees_kalshi_crypto15m.yaml",
    "kalshi_gold15m_l2": "fees_kalshi_gold15m.yaml",
}
MADE = "made"
MADE_CHANGES = 400_000
MADE_MARKETS = 8
GOAL_PER_S = 100_000.0
#: The most that the peak may grow after a quarter of the rows: freed memory is not given back at once.
GROWTH_MAX = 1.25
DAY_MS = 1_778_544_000_000


def run() -> list[Row]:
    """Every recording that is there."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        make_recording(made)
        rows += _rows(f"made, {MADE_CHANGES:,} changes", "kalshi_btc15m_l2_spot", made, made / "fees.yaml")
    for name, fees in REAL.items():
        if (SHARED / name).is_dir():
            rows += _rows(name, name, SHARED / name, REPOSITORY / "docs" / "examples" / fees)
    return rows


def _rows(what: str, name: str, folder: Path, fees: Path) -> Iterator[Row]:
    for mode in ("records", "lines"):
        command = [sys.executable, "-m", "tests.bench.importers", mode, name, str(folder), str(fees)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
        found = json.loads(done.stdout)
        growth = found["peak"] / found["quarter"]
        yield Row(
            what=f"import {what}: level changes as {mode}",
            figures={"rate": found["rows"] / found["cpu"]},
            unit="changes/CPU s",
            goals={"rate": ("≥", GOAL_PER_S)},
            n=found["rows"],
            against="the goal of the issue",
            note=(
                f"{found['records']:,} records, {found['records'] / found['cpu']:,.0f}/CPU s; by the wall clock {found['rows'] / found['seconds']:,.0f} "
                f"changes/s; opened in {found['opening']:.1f} s; "
                f"peak RSS {found['quarter'] / 2**20:.0f} MB after a quarter, {found['peak'] / 2**20:.0f} MB at the end"
            ),
            holds=growth <= GROWTH_MAX,
        )


def measure(mode: str, name: str, folder: Path, fees: Path) -> dict[str, Any]:
    """Read one recording to its end in this process."""
    settings = Settings()
    started = time.perf_counter()
    recording = open_recording(name, [folder], fees, 1)
    opening = time.perf_counter() - started
    report = ImportReport(log_id=recording.log_id(settings))
    entries = _entries(mode, recording, settings, report)
    total = _total_rows(folder)
    quarter = records = 0
    started, cpu = time.perf_counter(), time.process_time()
    for _ in entries:
        records += 1
        if not quarter and report.rows * 4 > total:
            quarter = peak_bytes()
    seconds = time.perf_counter() - started
    return {
        "rows": report.rows, "records": records, "seconds": seconds, "cpu": time.process_time() - cpu, "opening": opening,
        "quarter": quarter or peak_bytes(), "peak": peak_bytes(),
    }  # fmt: skip


def _entries(mode: str, recording: Recording, settings: Settings, report: ImportReport) -> Iterator[object]:
    announced = announcement(settings.decide, "0" * 64, ts_ns=recording.ts_first_ns, operator="bench")
    decide = Configuration.of(announced, ts_received_ns=recording.ts_first_ns, control_offset=-1)
    if mode == "records":
        return recording.log(report.log_id, decide, report)
    return recording_lines(recording, settings, ManyEncoder(load_codec()), decide, report)


def _total_rows(folder: Path) -> int:
    return sum(int(pq.read_metadata(file).num_rows) for file in folder.glob("*.parquet"))


def peak_bytes() -> int:
    """Most memory that this process has held so far."""
    return round(peak_rss_mb() * 2**20)


def make_recording(folder: Path) -> None:
    """A recording of Kalshi's layout: books of 40 levels a side, each level changed up and down in turn."""
    each = MADE_CHANGES // MADE_MARKETS
    tables = []
    lines = ["market,close_time,strike,result,expiration_value"]
    for index in range(MADE_MARKETS):
        ticker = f"KXMADE15M-{index:02}-00"
        minutes = 15 * (index + 1)
        lines.append(f"{ticker},2026-05-12T{minutes // 60:02}:{minutes % 60:02}:00Z,1,yes,")
        number = np.arange(each)
        level = number % 80
        start_ms = DAY_MS + 900_000 * index + 5_000
        levels = np.arange(80)
        first = {
            "evt": np.zeros(80), "recv_ms": np.full(80, start_ms), "seq": np.ones(80), "kind": np.zeros(80),
            "side": levels % 2, "price_1e4": 4_800 - 100 * (levels // 2), "size_1e2": np.full(80, 5_000),
        }  # fmt: skip
        rest = {
            "evt": 1 + number, "recv_ms": start_ms + number * 880_000 // each, "seq": 2 + number, "kind": np.ones(each),
            "side": level % 2, "price_1e4": 4_800 - 100 * (level // 2),
            "size_1e2": np.where(number // 80 % 2 == 0, 700, -700),
        }  # fmt: skip
        columns = {name: np.concatenate((first[name], rest[name])).astype(np.int64) for name in first}
        rows = each + 80
        columns |= {"ts_ms": columns["recv_ms"], "sid": np.full(rows, index), "taker": np.full(rows, -1)}
        tables.append(pa.table({"market": pa.array([ticker] * rows), **columns}))
    pq.write_table(pa.concat_tables(tables), folder / "events.parquet", row_group_size=100_000)
    (folder / "markets.csv").write_text("\n".join(lines) + "\n")
    (folder / "fees.yaml").write_text(
        "version: 1\nmarkets:\n"
        '  - {venue: kalshi, id: KXMADE15M-*, model: kalshi_quadratic, taker_rate: "0.07", effective: 2026-05-01, '
        'evidence: made, source: made, tick: "0.01"}\n'
    )


if __name__ == "__main__":
    mode_, name_, folder_, fees_ = sys.argv[1:]
    sys.stdout.write(json.dumps(measure(mode_, name_, Path(folder_), Path(fees_))))
