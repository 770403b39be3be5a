"""The recording `polymarket_btc5m_l2`: Polymarket's whole books of five-minute markets become a `market` log.

Decides whether such a recording can be imported, and in which order its rows are read; what a message is worth is decided in
`polymarket_replay`. It must never guess a fee: every market needs an entry that holds on its days.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from crossbook.domain.names import POLYMARKET
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings import frame
from producers.recordings.bbo.rows import digest_file
from producers.recordings.clocks import HOUR_MS
from producers.recordings.columns import Names, Span, find_files, in_time, in_windows, survey_blocks
from producers.recordings.fees import FeeFile, MarketFees, load_fee_file
from producers.recordings.frame import MS_NS, ImportReport, Placed
from producers.recordings.polymarket_l2.markets import Known, read_markets
from producers.recordings.polymarket_l2.replay import LAYOUT, Replay, Source

NAME: Final = "polymarket_btc5m_l2"
SLUG: Final = "btc-updown-5m-"


class PolymarketL2:
    """A recording with its fees: the pure part of the import."""

    def __init__(self, files: Sequence[Path], fees_file: Path | None, partitions: int) -> None:
        """Check everything that can be refused before a byte is written; `files` are a folder or its files.

        Raises:
            RecordingError: files are missing or of another layout, or the fee file does not cover a market or a day.
        """
        self._fees: FeeFile = load_fee_file(fees_file)
        self.partitions = partitions
        found = find_files(files, {"books": "l2_*.parquet", "markets": "markets*.csv"}, frozenset())
        where = ", ".join(str(path) for path in found["books"])
        blocks = [
            block
            for path in found["books"]
            for block in survey_blocks(path, LAYOUT, ("market_start",), "ts_ms", "recv_ms", Names(), reach_ms=HOUR_MS)
        ]
        if not blocks:
            raise RecordingError(f"{where}: there is no row with a time")
        markets = read_markets(found["markets"])
        windows = {start: (one.start_ns // MS_NS, one.end_ns // MS_NS) for start, one in markets.items()}
        blocks = in_windows(blocks, lambda key: windows.get(key[0]), where)
        self.spans: list[Span]
        self.spans, self._moved = in_time(blocks)
        self._ts_first_ns = min(block.first_ms for block in blocks) * MS_NS
        days: dict[int, tuple[int, int]] = {}
        for block in blocks:
            first, last = days.get(block.key[0], (block.first_ms, block.last_ms))
            days[block.key[0]] = min(first, block.first_ms), max(last, block.last_ms)
        self.markets: dict[int, Known] = {}
        for start, span_ms in days.items():
            if start in markets:
                fees = self._covering(markets[start].slug, span_ms)
                self.markets[start] = Known(markets[start], fees, fees.price_grid())
        assert fees_file is not None, "load_fee_file refused it"
        read = [path for paths in found.values() for path in paths]
        self._digests = [digest_file(path) for path in (*read, fees_file)]
        given = {path for folder in files if folder.is_dir() for path in folder.iterdir() if path.is_file()}
        self._ignored = sorted(path.name for path in given - set(read))

    @property
    def ts_first_ns(self) -> int:
        """Stamp of the first record, Unix ns."""
        return self._ts_first_ns

    def log_id(self, settings: Settings) -> str:
        """Id of the log: format, files, fees, and the settings that reach the log."""
        said: dict[str, object] = {"format": NAME, "files": self._digests, "partitions": self.partitions}
        return frame.log_id_of(said, settings)

    def log(self, log_id: str, decide: Configuration, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        report.ignored = list(self._ignored)
        if self._moved:
            report.counted["blocks of rows out of order, sorted"] = self._moved
        yield from frame.log_head(log_id, decide, self._fees, self.partitions, self._ts_first_ns)
        yield from Replay(Source(self.partitions, self.markets, self.spans, self._ts_first_ns), report).log()

    def _covering(self, slug: str, span_ms: tuple[int, int]) -> MarketFees:
        fees = self._fees.market(POLYMARKET, slug)
        if fees is None:
            raise RecordingError(
                f"fee file: no schedule for polymarket {slug}; one entry with the id {SLUG}* covers the series"
            )
        if not fees.holds(span_ms[0] * MS_NS, span_ms[1] * MS_NS):
            raise RecordingError(
                f"fee file: the schedule of polymarket {fees.id} holds from {fees.effective} until {fees.until}, {slug} has "
                "rows outside; give the schedule of its days"
            )
        return fees
