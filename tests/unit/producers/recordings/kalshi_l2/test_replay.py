"""The real recordings of Kalshi's books, replayed, against a book of plain dicts that knows nothing of the importer."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossbook.market.market_state import MarketState
from producers.recordings.frame import ImportReport
from producers.recordings.kalshi_l2.open import BTC15M, GOLD15M, KalshiL2
from schemas.records import BookDelta, BookSnapshot
from tests.builders.places import REPOSITORY
from tests.builders.recordings.bbo import configured
from tests.builders.recordings.l2_files import MS


def rows_in_order(file, count, style):
    """The first rows in the order of time, read in another way than the importer's."""
    names = ["market", "evt", "recv_ms", "ts_ms", "sid", "seq", "kind", "side", "price_1e4", "size_1e2"]
    rows = pq.read_table(file, columns=names).slice(0, count + 200_000)
    if style is BTC15M:
        rows = rows.append_column("at", pa.array(range(rows.num_rows)))
        starts = rows.group_by("sid").aggregate([("recv_ms", "min")])
        order = dict(zip(starts["sid"].to_pylist(), starts["recv_ms_min"].to_pylist(), strict=True))
        rows = rows.append_column("from", pa.array([order[s] for s in rows["sid"].to_pylist()]))
        rows = rows.sort_by([("from", "ascending"), ("at", "ascending")])
    return rows.slice(0, count).to_pylist()


def expected_books(rows, closes):
    """(instrument, whether a snapshot of the venue, dict book) after every row that leaves an uncrossed book; then each crossing."""
    yes, no, before = {}, {}, None
    for index, row in enumerate(rows):
        at = row["recv_ms"] if row["ts_ms"] is None or closes[1] == "recv_ms" else row["ts_ms"]
        if at >= closes[0][row["market"]] or row["kind"] == 2:
            continue
        message = row["market"], row["evt"]
        if row["kind"] == 0:
            if message != before:
                yes, no = {}, {}
            (no if row["side"] else yes)[row["price_1e4"]] = row["size_1e2"]
            before = message
            following = rows[index + 1] if index + 1 < len(rows) else None
            if following and (following["market"], following["evt"]) == message:
                continue
        elif row["kind"] == 3:
            yes, no = {}, {}
        else:
            side = no if row["side"] else yes
            side[row["price_1e4"]] = side.get(row["price_1e4"], 0) + row["size_1e2"]
            if not side[row["price_1e4"]]:
                del side[row["price_1e4"]]
        if not (yes and no) or max(yes) + max(no) < 10_000:
            yield f"kalshi:{row['market']}", row["kind"] == 0, yes, no


@pytest.mark.parametrize(
    ("folder", "style", "fees", "count"),
    [
        ("kalshi_btc15m_l2_spot", BTC15M, "fees_kalshi_crypto15m.yaml", 60_000),
        ("kalshi_gold15m_l2", GOLD15M, "fees_kalshi_gold15m.yaml", 70_000),
    ],
)
def test_the_real_recording_equals_a_book_of_plain_dicts(recordings, folder, style, fees, count):
    """After every row the best levels, at every recorded snapshot and every thousandth row the whole book."""
    where = recordings / "data" / folder
    if not where.is_dir():
        pytest.skip(f"the recording {folder} is not in ../shared/data")
    recording = KalshiL2(style, [where], REPOSITORY / "docs" / "examples" / fees, 1)
    report = ImportReport(log_id="")
    closes = {name: known.facts.ts_close_ns // MS for name, known in recording._source.markets.items()}
    expected = expected_books(rows_in_order(where / "events.parquet", count, style), (closes, style.clock))
    state = MarketState()
    compared = snapshots = 0
    decide = configured(recording.ts_first_ns)
    for position, placed in enumerate(recording.log("", decide, report)):
        state.apply(position, placed.record)
        if not isinstance(placed.record, BookDelta | BookSnapshot):
            continue
        truth = next(expected, None)
        if truth is None:
            break
        name, is_snapshot, yes, no = truth
        shown = state.books[placed.record.instrument_id]
        assert (placed.record.instrument_id, shown.valid, state.suspect) == (name, True, False)
        book_ = shown.book
        assert book_.best_bid == ((max(yes) * 100, yes[max(yes)] * 10_000) if yes else None)
        assert book_.best_ask == (((10_000 - max(no)) * 100, no[max(no)] * 10_000) if no else None)
        compared += 1
        if is_snapshot or compared % 1_000 == 0:
            snapshots += is_snapshot
            whole = book_.levels()
            bids = dict(zip(whole.bid_prices, whole.bid_sizes, strict=True))
            asks = dict(zip(whole.ask_prices, whole.ask_sizes, strict=True))
            assert bids == {p * 100: s * 10_000 for p, s in yes.items()}
            assert asks == {(10_000 - p) * 100: s * 10_000 for p, s in no.items()}
    assert compared > 0.9 * count
    assert snapshots >= 3
