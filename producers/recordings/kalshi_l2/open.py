"""Recordings `kalshi_btc15m_l2_spot` and `kalshi_gold15m_l2`: Kalshi's whole books, change by change, become a `market` log.

Decides whether such a recording can be imported, and in which order its rows are read; what a row is worth is decided in
`kalshi_replay`. It must never guess a fee: every market needs an entry that holds on its days.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from crossbook.domain.grid import PriceGrid
from crossbook.domain.names import KALSHI
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings import frame
from producers.recordings.bbo.rows import digest_file
from producers.recordings.clocks import HOUR_MS
from producers.recordings.columns import NULL, Names, find_files, in_time, in_windows, survey_blocks
from producers.recordings.fees import FeeFile, MarketFees, load_fee_file
from producers.recordings.frame import MS_NS, ImportReport, Placed
from producers.recordings.kalshi_l2.markets import Known, read_markets
from producers.recordings.kalshi_l2.replay import Replay, Source
from producers.recordings.kalshi_l2.rows import LAYOUT, Style
from producers.recordings.kalshi_l2.spot import US_NS, survey_spot

BTC15M: Final = Style("kalshi_btc15m_l2_spot", "recv_ms", by_session=True, spot=True)
GOLD15M: Final = Style("kalshi_gold15m_l2", "ts_ms", by_session=False, spot=False)


class KalshiL2:
    """A recording with its fees: the pure part of the import."""

    def __init__(self, style: Style, files: Sequence[Path], fees_file: Path | None, partitions: int) -> None:
        """Check everything that can be refused before a byte is written; `files` are a folder or its files.

        Raises:
            RecordingError: files are missing or of another layout, or the fee file does not cover a market or a day.
        """
        wanted = {"events": "events*.parquet", "markets": "markets*.csv"} | (
            {"spot": "spot_*.parquet"} if style.spot else {}
        )
        self._fees: FeeFile = load_fee_file(fees_file)
        found = find_files(files, wanted, frozenset({"spot"}))
        facts = read_markets(found["markets"])
        names = Names()
        keys = ("market", "sid") if style.by_session else ("market",)
        other = "ts_ms" if style.clock == "recv_ms" else "recv_ms"
        blocks = [
            block
            for path in found["events"]
            for block in survey_blocks(path, LAYOUT, keys, style.clock, other, names, reach_ms=HOUR_MS)
        ]
        where = ", ".join(str(path) for path in found["events"])
        if not blocks:
            raise RecordingError(f"{where}: there is no row with a time")
        windows = {name: (one.ts_open_ns // MS_NS, one.ts_close_ns // MS_NS) for name, one in facts.items()}
        blocks = in_windows(blocks, lambda key: windows.get(names.texts[key[0]]) if key[0] != NULL else None, where)
        spans, self._moved = in_time(blocks)
        days: dict[str, tuple[int, int]] = {}
        for block in blocks:
            name = names.texts[block.key[0]] if block.key[0] != NULL else ""
            first, last = days.get(name, (block.first_ms, block.last_ms))
            days[name] = min(first, block.first_ms), max(last, block.last_ms)
        known = self._covered({name: span for name, span in days.items() if name in facts})
        first_ms, last_ms = min(block.first_ms for block in blocks), max(block.last_ms for block in blocks)
        spot = survey_spot(found.get("spot", []), names)
        self._ts_first_ns = min([first_ms * MS_NS, *(block.first_ms * US_NS for block in spot)])
        self._source = Source(
            style, partitions, names, {name: Known(facts[name], *terms) for name, terms in known.items()}, spans, spot,
            (first_ms, last_ms), self._ts_first_ns,
        )  # fmt: skip
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
        said: dict[str, object] = {
            "format": self._source.style.name,
            "files": self._digests,
            "partitions": self._source.partitions,
        }
        return frame.log_id_of(said, settings)

    def log(self, log_id: str, decide: Configuration, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        report.ignored = list(self._ignored)
        if self._moved:
            report.counted["blocks of rows out of order, sorted"] = self._moved
        yield from frame.log_head(log_id, decide, self._fees, self._source.partitions, self._ts_first_ns)
        yield from Replay(self._source, report).log()

    def _covered(self, days: dict[str, tuple[int, int]]) -> dict[str, tuple[MarketFees, PriceGrid]]:
        """Fees and grid of each market. Raises RecordingError for one that the fee file does not cover."""
        found: dict[str, tuple[MarketFees, PriceGrid]] = {}
        missing = []
        for ticker, (first_ms, last_ms) in days.items():
            fees = self._fees.market(KALSHI, ticker)
            if fees is None:
                missing.append(ticker)
                continue
            if not fees.holds(first_ms * MS_NS, last_ms * MS_NS):
                raise RecordingError(
                    f"fee file: the schedule of kalshi {fees.id} holds from {fees.effective} until {fees.until}, "
                    f"{ticker} has rows outside; give the schedule of its days"
                )
            found[ticker] = fees, fees.price_grid()
        if missing:
            raise RecordingError(
                f"fee file: no schedule for kalshi {', '.join(missing[:3])} ({len(missing)} markets); one entry with an id "
                f"that ends in * covers a series, as in {missing[0].partition('-')[0]}-*"
            )
        return found
