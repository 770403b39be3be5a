"""A small recording of Polymarket books and its fee file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from producers.recordings.polymarket_l2.replay import LAYOUT

START = 1_776_081_600  # 2026-04-13 12:00:00 UTC
WHOLE, CHANGED, SAME = range(3)


def message(seq, offset_ms, kind, *levels, token=0, market=0, **more):
    """Rows of one message: levels are (side, price, size)."""
    start = START + 300 * market
    row = {
        "market_start": start, "token_ix": token, "seq": seq, "ts_ms": start * 1_000 + offset_ms,
        "recv_ms": start * 1_000 + offset_ms - 40, "kind": kind, "side": 0, "price_1e3": 0, "size_1e2": 0,
    } | more  # fmt: skip
    return [{**row, "side": s, "price_1e3": p, "size_1e2": q} for s, p, q in levels] or [row]


def write(folder: Path, rows: list[dict[str, Any]], settled: tuple[str, ...] = ("1", "")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, pa.int64()) for name in LAYOUT.integers])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "l2_2026-04-13.parquet", row_group_size=4)
    lines = ["slug,start_utc,end_utc,condition_id,token0_id,token1_id,token0_settle_inferred"]
    for index, paid in enumerate(settled):
        minute = 5 * index
        lines.append(
            f"btc-updown-5m-{START + 300 * index},2026-04-13T12:{minute:02}:00Z,2026-04-13T12:{minute + 5:02}:00Z,"
            f"0xc{index},11{index},22{index},{paid}"
        )
    (folder / "markets.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_fees(folder: Path, **more: Any) -> Path:
    entry = {
        "venue": "polymarket", "id": "btc-updown-5m-*", "model": "polymarket_curve", "taker_rate": "0.07",
        "effective": "2026-04-13", "evidence": "e", "source": "s",
    } | more  # fmt: skip
    text = yaml.safe_dump({"version": 1, "markets": [entry]})
    (folder / "fees.yaml").write_text(text.replace("'2026-04-13'", "2026-04-13").replace("'2026-04-14'", "2026-04-14"))
    return folder / "fees.yaml"
