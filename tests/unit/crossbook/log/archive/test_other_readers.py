"""DuckDB, pandas and ClickHouse read the files as they are, and see what the codec sees."""

import json
import subprocess
import sys

import duckdb
import pandas as pd
import pytest

from crossbook.log.archive.write import ArchiveWriter
from schemas.records import BookDelta
from tests.builders.logs.archived import CODEC, market_lines
from tests.contract.record_strategies import sample

#: chdb keeps state in its process; ours is the tests'.
QUERY = "import sys, chdb; sys.stdout.write(str(chdb.query(sys.argv[1], 'JSONEachRow')))"
SUMS = "count(*) AS n, sum(sequence) AS sequences, min(ts_received_ns) AS first, max(ts_received_ns) AS last"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two chunks of a market, and the deltas in them as the codec decodes them."""
    folder = tmp_path_factory.mktemp("archive")
    lines = market_lines(800)
    with ArchiveWriter(folder, source="s", prefix="p.", partitions=1) as writer:
        for half in (lines[:400], lines[400:]):
            writer.extend("market", 0, half)
            writer.commit("market", 0)
    records = [CODEC.decode(line.value) for line in lines]
    return folder, [record for record in records if isinstance(record, BookDelta)]


def glob(folder, record="BookDelta"):
    return f"{folder}/market/0/*-{record}.*.parquet"


def truth(deltas):
    stamps = [delta.ts_received_ns for delta in deltas]
    return (len(deltas), sum(delta.sequence for delta in deltas), min(stamps), max(stamps))


def by_instrument(deltas):
    found = {}
    for delta in deltas:
        found[delta.instrument_id] = found.get(delta.instrument_id, 0) + sum(delta.bid_sizes) + sum(delta.ask_sizes)
    return found


def clickhouse(query):
    done = subprocess.run([sys.executable, "-c", QUERY, query], capture_output=True, text=True, check=True, timeout=100)
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_duckdb(archive):
    folder, deltas = archive
    with duckdb.connect() as database:
        assert database.execute(f"SELECT {SUMS} FROM '{glob(folder)}'").fetchone() == truth(deltas)
        sizes = database.execute(
            "SELECT instrument_id, sum(list_sum(list_concat(bid_sizes, ask_sizes)))::BIGINT "
            f"FROM '{glob(folder)}' GROUP BY instrument_id"
        ).fetchall()
        assert dict(sizes) == by_instrument(deltas)
        listed = database.execute(
            f"SELECT instrument_id, venue, fee_schedule.model, grid[1].tick_micros FROM '{glob(folder, 'InstrumentListed')}'"
        ).fetchone()
    one = sample("InstrumentListed")
    assert listed == (one.instrument_id, one.venue, one.fee_schedule.model, one.grid[0].tick_micros)


def test_pandas(archive):
    folder, deltas = archive
    frame = pd.concat([pd.read_parquet(path) for path in sorted((folder / "market" / "0").glob("*-BookDelta.*"))])
    stamps = frame["ts_received_ns"]
    assert (len(frame), frame["sequence"].sum(), stamps.min(), stamps.max()) == truth(deltas)
    assert frame["log_offset"].is_monotonic_increasing
    assert [tuple(prices) for prices in frame["bid_prices"]] == [delta.bid_prices for delta in deltas]
    assert frame["instrument_id"].tolist() == [delta.instrument_id for delta in deltas]


def test_clickhouse(archive):
    folder, deltas = archive
    (row,) = clickhouse(f"SELECT {SUMS} FROM file('{glob(folder)}', Parquet)")
    assert tuple(int(row[name]) for name in ("n", "sequences", "first", "last")) == truth(deltas)
    rows = clickhouse(
        "SELECT instrument_id, sum(arraySum(bid_sizes) + arraySum(ask_sizes)) AS size "
        f"FROM file('{glob(folder)}', Parquet) GROUP BY instrument_id"
    )
    assert {row["instrument_id"]: int(row["size"]) for row in rows} == by_instrument(deltas)
