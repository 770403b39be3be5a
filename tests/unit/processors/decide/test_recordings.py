"""The counts of decide on real recordings equal those computed independently of it."""

import pytest
from pyarrow import parquet

from schemas.records import EdgeStatistics, TradeIntent
from tests.builders import market_records as mr

#: file → evaluations, gross > 0, net > 0, episodes, at the threshold, best net (micros)
TRUTH = {
    "mexico_england_pre": (988, 429, 214, 9, 0, 10_031),
    "mexico_england": (12_257, 4_276, 2_089, 60, 0, 20_445),
    "paraguay_france": (9_575, 1_191, 249, 7, 0, 6_882),
}


def level(price_1e4, size_1e2):
    return () if price_1e4 is None or not size_1e2 else ((price_1e4 * 100, size_1e2 * 10_000),)


def recorded_market(rows):
    """The recording as a market partition: every row a polled one-level book, and heartbeats of both feeds each 500 ms."""
    rows = sorted(rows, key=lambda row: row["fetch_ms"])
    ts_ns = rows[0]["fetch_ms"] * mr.MS
    yield mr.opened(ts_ns)
    yield from mr.settings(ts_ns)
    yield mr.friction(ts_ns)
    grid = (mr.PriceRange(start_micros=100, end_micros=999_900, tick_micros=100),)
    seen = {}
    for row in rows:
        kalshi, polymarket = f"kalshi:{row['kalshi_ticker']}", f"polymarket:{row['polymarket_token']}"
        if kalshi not in seen:
            seen[kalshi] = seen[polymarket] = 0
            yield mr.instrument(kalshi, ts_ns, grid=grid)
            yield mr.instrument(polymarket, ts_ns, grid=grid)
            yield mr.pair(ts_ns, pair_id=row["kalshi_ticker"], a=kalshi, b=polymarket)
        while ts_ns < row["fetch_ms"] * mr.MS:
            yield mr.status("kalshi", ts_ns)
            yield mr.status("polymarket", ts_ns)
            ts_ns += 500 * mr.MS
        instrument_id = kalshi if row["venue"] == "kalshi" else polymarket
        seen[instrument_id] += 1
        yield mr.snapshot(
            instrument_id,
            row["fetch_ms"] * mr.MS,
            seen[instrument_id],
            bids=level(row["bid_1e4"], row["bid_size_1e2"]),
            asks=level(row["ask_1e4"], row["ask_size_1e2"]),
            delivery="polled",
        )
    yield mr.status("kalshi", ts_ns, state="ended")


def read_rows(recordings, name):
    path = recordings / "data" / "xv_worldcup_bbo" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"needs the recording {path.name}, which is not in ../shared/data/xv_worldcup_bbo")
    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("name", TRUTH)
def test_counts_equal_the_independent_ones(recordings, name):
    _, outputs = mr.fold(recorded_market(read_rows(recordings, name)))
    last = {(r.pair_id, r.package): r for r in mr.kinds(outputs, EdgeStatistics)}.values()
    found = (
        sum(r.evaluations for r in last),
        sum(r.gross_positive for r in last),
        sum(r.net_positive for r in last),
        sum(r.episodes for r in last),
        sum(r.at_threshold for r in last),
        max(r.net_best_micros for r in last if r.net_best_micros is not None),
    )
    assert found == TRUTH[name]
    assert mr.kinds(outputs, TradeIntent) == []
