"""The wire importer: lines to reference prices on the recording's own clock, the same every time, and its checks of the depth."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings.binance.wire import Recording
from producers.recordings.frame import ImportReport, recording_lines
from schemas.codec import load_codec
from schemas.records import LogOpened, ReferencePrice, ReferenceStatus
from tests.builders.producers.announced import configured
from tests.builders.recordings.binance import MS, OFFSET_MS, SPOT, START_NS, depth, quote


def write(folder: Path, rows: list[tuple[int, Any]], name: str = "spot.ndjson.zst", *, extra: bytes = b"") -> Path:
    lines = [
        f"{START_NS + after_ms * MS} ".encode()
        + (row if isinstance(row, bytes) else json.dumps(row, separators=(",", ":")).encode())
        for after_ms, row in rows
    ]
    text = b"\n".join(lines) + b"\n" + extra
    file = folder / name
    with pa.output_stream(str(file), compression="detect") as stream:
        stream.write(text)
    return file


class Import:
    """A recording, imported in memory and folded."""

    def __init__(self, files: list[Path], fees: Path | None = None, partitions: int = 1, **options: Any) -> None:
        self.recording = Recording(files, fees, partitions, **options)
        self.settings = Settings()
        self.report = ImportReport(log_id=self.recording.log_id(self.settings))
        decide = configured(self.recording.ts_first_ns)
        codec = load_codec()
        self.state = MarketState()
        self.raw: list[tuple[int, bytes]] = []
        self.records: list[Any] = []
        for partition, line in recording_lines(
            self.recording, self.settings, lambda records: [codec.encode(r) for r in records], decide, self.report
        ):
            self.raw.append((partition, line.value))
            record = codec.decode(line.value)
            if partition == 0:
                self.state.apply(line.offset, record)
                self.records.append(record)

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


@pytest.fixture
def spot(tmp_path: Path) -> Path:
    return write(tmp_path, SPOT)


def test_quotes_and_trades_stand_at_their_receive_stamps(spot: Path) -> None:
    done = Import([spot])
    quotes = [p for p in done.of(ReferencePrice) if p.trade_price_micros is None]
    assert [((p.ts_received_ns - START_NS) // MS, p.sequence, p.bid_price_micros) for p in quotes] == [
        (1, 9, 100_000_000),
        (21, 12, 99_000_000),  # conflated, and let go when its interval was over
        (300, 15, 99_500_000),
        (710, 16, 99_750_000),
    ]
    trades = [p for p in done.of(ReferencePrice) if p.trade_price_micros is not None]
    assert [(p.sequence, p.ts_venue_ns - p.ts_received_ns) for p in trades] == [
        (1, OFFSET_MS * MS),
        (4, OFFSET_MS * MS),
    ]
    assert {p.reference_id for p in done.of(ReferencePrice)} == {"binance:BTCUSDT"}
    stamps = [r.ts_received_ns for r in done.records]
    assert stamps == sorted(stamps)
    assert isinstance(done.records[0], LogOpened)
    assert done.report.complete
    assert done.state.references.prices["binance:BTCUSDT"].bid_price == 99_750_000


def test_statuses_tell_the_offset_of_the_clock_and_the_end(spot: Path) -> None:
    statuses = Import([spot]).of(ReferenceStatus)
    assert {s.feed for s in statuses} == {"binance-spot-btcusdt"}
    assert [s.state for s in statuses] == ["down", "down", "live", "live", "ended"]
    assert statuses[-1].clock_offset_ns == OFFSET_MS * MS


def test_the_depth_is_whole_and_agrees_with_the_quotes(spot: Path) -> None:
    counted = Import([spot]).report.counted
    assert counted["depth.frames"] == 2
    assert counted["depth.covered"] == 1
    assert counted["depth.holes"] == 0
    assert (counted["tops.equal"], counted["tops.differ"]) == (2, 0)
    assert counted["binance-spot-btcusdt.trade_gaps"] == 1


def test_a_hole_in_the_depth_is_counted(tmp_path: Path) -> None:
    counted = Import([write(tmp_path, [*SPOT, (720, depth(20, 22, [], []))])]).report.counted
    assert counted["depth.holes"] == 1


def test_a_silence_ends_the_session_and_the_next_line_starts_one(tmp_path: Path) -> None:
    done = Import([write(tmp_path, [*SPOT, (9_000, quote(17)), (9_100, quote(18))])])
    said = [(s.state, s.reason) for s in done.of(ReferenceStatus)]
    assert ("down", "silent") in said
    down = next(s for s in done.of(ReferenceStatus) if s.reason == "silent")
    assert 2_000 <= (down.ts_received_ns - START_NS) / MS - 710 <= 2_500
    first, last = {s.session for s in done.of(ReferenceStatus) if s.session}
    assert abs(last - first) == 9_000 * MS
    assert done.report.counted["reconnects"] == 1
    assert done.state.references.prices["binance:BTCUSDT"].sequence_quote == 18


def test_files_are_merged_by_their_stamps_and_each_is_a_feed(tmp_path: Path) -> None:
    futures = [
        (3, quote(70, e="bookTicker", E=START_NS // MS, T=START_NS // MS - 1)),
        (8, {"lastUpdateId": 80, "E": 1, "T": 1, "bids": [["100.0", "1"]], "asks": [["101.0", "1"]]}),
        (15, quote(90, e="bookTicker", E=START_NS // MS, T=START_NS // MS - 1)),
    ]
    files = [write(tmp_path, SPOT), write(tmp_path, futures, "usdm.ndjson")]
    done = Import(files, partitions=2, quote_interval_ms=0)
    assert {p.reference_id for p in done.of(ReferencePrice)} == {"binance:BTCUSDT", "binance-usdm:BTCUSDT"}
    assert {s.feed for s in done.of(ReferenceStatus)} == {"binance-spot-btcusdt", "binance-usdm-btcusdt"}
    assert [value for partition, value in done.raw if partition == 0][1:] == [v for p, v in done.raw if p == 1][1:]
    assert done.raw == Import(files, partitions=2, quote_interval_ms=0).raw


def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [*SPOT, (720, b"{"), (730, quote(20, bid="x")), (740, depth(16, 16, [["1"]], [])), (735, quote(21))]
    done = Import([write(tmp_path, rows, extra=b"no stamp\n12 {}\n\n")])
    assert done.report.dropped["line without a stamp in ns"] == 2
    assert done.report.dropped["depth frame that cannot be read"] == 1
    assert sum(n for why, n in done.report.dropped.items() if why.startswith("drift")) == 2
    assert done.report.counted["stamps raised"] == 1
    assert done.report.rows == len(rows) + 2 == done.report.used.total() + done.report.dropped.total()
    assert done.state.references.prices["binance:BTCUSDT"].sequence_quote == 21


def test_a_folder_stands_for_its_files(tmp_path: Path, spot: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    done = Import([tmp_path])
    assert done.raw == Import([spot]).raw
    assert done.report.ignored == ["README.md"]


def test_the_id_of_the_log_follows_what_makes_it(tmp_path: Path, spot: Path) -> None:
    def log_id(*files: Path, **options: Any) -> str:
        return Recording(files, options.pop("fees", None), options.pop("partitions", 1), **options).log_id(Settings())

    fees = tmp_path / "fees.yaml"
    market = {
        "venue": "kalshi",
        "id": "K",
        "model": "free",
        "effective": dt.date(2024, 1, 1),
        "evidence": "e",
        "source": "s",
    }
    fees.write_text(yaml.safe_dump({"version": 1, "friction": {"gas_micros": 7}, "markets": [market]}))
    other = write(tmp_path, SPOT[:-1], "other.ndjson")
    ids = [
        log_id(spot),
        log_id(other),
        log_id(spot, partitions=2),
        log_id(spot, quote_interval_ms=5),
        log_id(spot, fees=fees),
    ]
    assert len(set(ids)) == 5
    assert log_id(spot) == ids[0]
    assert Import([spot], fees).state.friction.gas_micros == 7
    assert Import([spot]).state.friction.gas_micros == 0


def test_what_is_no_wire_recording_is_refused(tmp_path: Path, spot: Path) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_bytes(b"hello\n")
    for files, word in (
        ([], "no file"),
        ([empty], "wire recording"),
        ([tmp_path / "x"], "cannot be read"),
        ([spot, spot], "two files"),
    ):
        with pytest.raises(RecordingError, match=word):
            Recording(files, None, 1)


def test_the_real_recording_is_whole(recordings: Path) -> None:
    """One spot file: the local clock is 1.27 s behind, nothing is missing, every top equals its quote."""
    file = recordings / "data" / "binance_wire_2024_08" / "spot_ethusdt_20240808.ndjson.zst"
    if not file.is_file():
        pytest.skip(f"{file.name} is not beside the checkout")
    done = Import([file])
    assert done.report.rows == 33_618
    assert done.report.dropped == {}
    assert done.report.counted["depth.holes"] == 0
    assert (done.report.counted["tops.equal"], done.report.counted["tops.differ"]) == (3_432, 0)
    assert 1.26e9 < done.of(ReferenceStatus)[-1].clock_offset_ns < 1.28e9
