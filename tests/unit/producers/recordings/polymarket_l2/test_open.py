"""Polymarket's recorded books: each named defect in a small file, and the real recording against what the venue sent."""

import json
from collections import Counter
from itertools import pairwise

import cramjam
import pyarrow.parquet as pq
import pytest

from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings import columns
from producers.recordings.frame import ImportReport
from producers.recordings.polymarket_l2.open import PolymarketL2
from producers.recordings.timeline import WITNESS
from schemas.records import BookDelta, BookSnapshot, FeedStatus, InstrumentListed, InstrumentSettled
from tests.builders.places import REPOSITORY
from tests.builders.recordings.bbo import configured
from tests.builders.recordings.l2_files import MS, folded, of_kind, run
from tests.builders.recordings.polymarket import CHANGED, SAME, START, WHOLE, message, write, write_fees

AT = START * 1_000
ID = "polymarket:0xc0"


FIRST = message(0, 100, WHOLE, (0, 400, 1_000), (0, 390, 500), (1, 450, 700))


def opened(tmp_path, rows, partitions=1, settled=("1", ""), **fees):
    return PolymarketL2([write(tmp_path / "recording", rows, settled)], write_fees(tmp_path, **fees), partitions)


def imported(tmp_path, rows, **more):
    placed, report = run(opened(tmp_path, rows, **more))
    return placed, report, folded(placed)


def valid_after_books(placed):
    state = MarketState()
    found = []
    for position, one in enumerate(placed):
        state.apply(position, one.record)
        if isinstance(one.record, BookSnapshot | BookDelta):
            found.append(state.usable(one.record.instrument_id))
    return found


def test_one_record_a_message_with_new_sizes(tmp_path):
    rows = [
        *FIRST,
        *message(1, 130, CHANGED, (1, 450, 0), (0, 410, 30), (1, 440, 5), (0, 400, 900)),
        *message(2, 160, SAME),
        *message(3, 190, CHANGED, (0, 390, 0)),
    ]
    placed, report, state = imported(tmp_path, rows)
    (whole,) = of_kind(placed, BookSnapshot)
    assert (whole.bid_prices, whole.ask_prices) == ((400_000, 390_000), (450_000,))
    assert (whole.ts_received_ns, whole.ts_venue_ns) == ((AT + 100) * MS, (AT + 100) * MS)
    first, second = of_kind(placed, BookDelta)
    assert (first.bid_prices, first.bid_sizes) == ((410_000, 400_000), (300_000, 9_000_000))
    assert (first.ask_prices, first.ask_sizes) == ((450_000, 440_000), (0, 50_000))
    assert (second.previous_sequence, second.sequence) == (2, 3)
    assert state.books[ID].book.levels().bid_prices == (410_000, 400_000)
    assert report.used["messages that changed nothing"] == 1
    assert (report.rows, report.books, report.dropped) == (9, 3, Counter())
    assert valid_after_books(placed) == [True, True, True]


def test_the_instrument_is_token_0_and_its_payout_an_inference_after_the_end(tmp_path):
    placed, report, state = imported(tmp_path, FIRST)
    active, closed = of_kind(placed, InstrumentListed)
    assert (active.symbol, active.yes_token, active.no_token) == ("0xc0", "110", "220")
    assert "inferred: Down" in active.title
    assert (active.status, closed.status) == ("active", "closed")
    assert active.ts_close_ns == closed.ts_received_ns == (AT + 300_000) * MS
    (settled,) = of_kind(placed, InstrumentSettled)
    assert settled.source.startswith("inferred")
    assert settled.ts_received_ns == (AT + 360_000) * MS
    assert state.settled == {ID: 1_000_000}
    assert not state.usable(ID)
    assert report.counted["markets settled, inferred"] == 1


def test_an_unclear_result_settles_nothing(tmp_path):
    placed, report, _ = imported(tmp_path, FIRST, settled=("", ""))
    assert of_kind(placed, InstrumentSettled) == []
    assert report.counted["markets without a result"] == 1


def test_token_1_is_dropped_for_it_is_the_mirror(tmp_path):
    rows = [
        *FIRST,
        *message(1, 110, WHOLE, (0, 550, 700), (1, 600, 1_000), (1, 610, 500), token=1),
        *message(2, 120, CHANGED, (0, 400, 5)),
        *message(3, 121, CHANGED, (1, 600, 5), token=1),
        *message(4, 130, CHANGED, (0, 400, 6)),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert report.dropped == {"token 1: the mirror of token 0": 4}
    assert len(of_kind(placed, BookDelta)) == 2
    assert state.books[ID].valid is False  # the end of the recording
    assert valid_after_books(placed) == [True, True, True]


def test_rows_after_the_end_of_the_window_are_dropped(tmp_path):
    rows = [
        *FIRST,
        *message(1, 299_999, CHANGED, (0, 400, 5)),
        *message(2, 300_000, CHANGED, (0, 400, 6), (1, 450, 1)),
        *message(3, 304_000, SAME),
    ]
    placed, report, _ = imported(tmp_path, rows)
    assert report.dropped == {"after the end of the window": 3}
    assert len(of_kind(placed, BookDelta)) + len(of_kind(placed, BookSnapshot)) == 2


def test_a_market_of_which_only_rows_after_its_end_are_there_is_not_listed(tmp_path):
    rows = [*FIRST, *message(0, 300_500, WHOLE, (0, 400, 5), market=1)]
    placed, *_ = imported(tmp_path, rows)
    assert {listed.instrument_id for listed in of_kind(placed, InstrumentListed)} == {ID}


def test_steps_of_time_back_are_clamped_and_counted(tmp_path):
    rows = [*FIRST, *message(1, 70, CHANGED, (0, 400, 5)), *message(2, 200, CHANGED, (0, 400, 6))]
    placed, report, _ = imported(tmp_path, rows)
    assert [(d.ts_received_ns // MS - AT, (d.ts_venue_ns or 0) // MS - AT) for d in of_kind(placed, BookDelta)] == [
        (100, 70),
        (200, 200),
    ]
    assert report.counted["steps of time back, clamped"] == 1


def test_a_silence_inside_a_market_is_a_hole_after_which_the_book_is_whole(tmp_path):
    rows = [*FIRST, *message(1, 200, CHANGED, (0, 410, 5)), *message(2, 20_000, CHANGED, (0, 410, 0), (1, 449, 1))]
    placed, report, _ = imported(tmp_path, rows)
    assert report.counted["holes inside a market"] == 1
    first, second = of_kind(placed, BookSnapshot)
    assert second.session > first.session
    assert (second.bid_prices, second.ask_prices) == ((400_000, 390_000), (449_000, 450_000))
    assert valid_after_books(placed) == [True, True, True]
    between = [s for s in of_kind(placed, FeedStatus) if (AT + 200) * MS < s.ts_received_ns < (AT + 20_000) * MS]
    assert [s.state for s in between[1:]] == ["down"] * (len(between) - 1)


def test_a_long_hole_between_markets_has_a_witness(tmp_path):
    rows = [*FIRST, *message(0, 100, WHOLE, (0, 400, 5), market=3)]
    placed, report, state = imported(tmp_path, rows, settled=("0", "", "", "1"))
    assert report.counted["holes between markets"] == 1
    assert [s.feed for s in of_kind(placed, FeedStatus) if s.ts_received_ns == (AT + 900_100) * MS] == [
        WITNESS,
        "polymarket",
    ]
    assert state.settled == {ID: 0, "polymarket:0xc3": 1_000_000}
    assert valid_after_books(placed) == [True, True]


def test_a_missing_message_breaks_the_book(tmp_path):
    rows = [
        *FIRST,
        *message(1, 110, CHANGED, (0, 400, 5)),
        *message(3, 120, CHANGED, (0, 400, 6)),
        *message(4, 130, SAME),
    ]
    placed, report, _ = imported(tmp_path, rows)
    assert report.dropped["gap in the numbers of a market"] == 1
    assert report.counted["books declared invalid"] == 1
    assert [s.instruments for s in of_kind(placed, FeedStatus) if s.state == "resync"] == [(ID,)]
    assert len(of_kind(placed, BookDelta)) == 1


@pytest.mark.parametrize(
    ("level", "why"), [((0, 1_000, 5), "price off the grid"), ((0, 0, 5), "price off the grid"), ((1, 460, -1), "size below zero")]
)  # fmt: skip
def test_levels_that_cannot_be_are_refused(tmp_path, level, why):
    rows = [*FIRST, *message(1, 110, CHANGED, level), *message(2, 120, CHANGED, (0, 400, 6))]
    placed, report, _ = imported(tmp_path, rows)
    assert report.dropped == {why: 1, "change of a book that is not trusted": 1}
    assert of_kind(placed, BookDelta) == []


def test_heartbeats_stand_every_half_second(tmp_path):
    placed, *_ = imported(tmp_path, [*FIRST, *message(1, 5_000, CHANGED, (0, 400, 5))])
    live = [s.ts_received_ns for s in of_kind(placed, FeedStatus) if s.state == "live"]
    assert {b - a for a, b in pairwise(live)} == {500 * MS}


def test_batches_and_partitions_do_not_show(tmp_path, monkeypatch):
    rows = [
        *FIRST,
        *message(1, 110, CHANGED, (0, 400, 5), (1, 460, 1), (1, 470, 2)),
        *message(2, 120, WHOLE, (0, 540, 5), token=1),
        *message(3, 130, CHANGED, (0, 401, 5), (1, 461, 1)),
        *message(0, 100, WHOLE, (0, 400, 5), market=1),
        *message(1, 110, CHANGED, (0, 400, 0), market=1),
    ]
    whole, _, _ = imported(tmp_path, rows)
    for size in (1, 2, 3, 5):
        monkeypatch.setattr(columns, "BATCH_ROWS", size)
        assert imported(tmp_path, rows)[0] == whole
    spread, _ = run(opened(tmp_path, rows, partitions=3))
    states = [folded(spread, partition) for partition in range(3)]
    assert sorted(name for state in states for name in state.books) == [ID, "polymarket:0xc1"]


def test_what_cannot_be_imported_is_refused_by_name(tmp_path):
    with pytest.raises(
        RecordingError, match=r"no schedule for polymarket btc-updown-5m-1776081600; .*btc-updown-5m-\*"
    ):
        opened(tmp_path, FIRST, id="eth-*")
    with pytest.raises(RecordingError, match="rows outside"):
        opened(tmp_path, FIRST, effective="2026-04-14")
    with pytest.raises(RecordingError, match="line 2"):
        opened(tmp_path, FIRST, settled=("maybe",))
    with pytest.raises(RecordingError, match="there is no row"):
        opened(tmp_path, [])
    (tmp_path / "recording" / "note.txt").write_text("")
    with pytest.raises(RecordingError, match="is none of"):
        PolymarketL2([tmp_path / "recording" / "note.txt"], write_fees(tmp_path), 1)


def test_what_was_not_read_is_said(tmp_path):
    recording = opened(tmp_path, FIRST)
    (tmp_path / "recording" / "ticker.parquet").write_text("")
    again = PolymarketL2([tmp_path / "recording"], tmp_path / "fees.yaml", 1)
    assert run(again)[1].ignored == ["ticker.parquet"]
    assert recording.log_id(Settings()) == again.log_id(Settings())


# -- the real recording


def test_the_real_recording_equals_a_book_of_plain_dicts(recordings):
    """After every message of token 0 the best levels, at the end of each market and every hundredth message the whole book."""
    where = recordings / "data" / "polymarket_btc5m_l2"
    if not where.is_dir():
        pytest.skip("the recording polymarket_btc5m_l2 is not in ../shared/data")
    count = 250_000
    table = pq.read_table(where / "l2_2026-04-13.parquet").slice(0, count)
    recording = PolymarketL2([where], REPOSITORY / "docs" / "examples" / "fees_polymarket_btc5m.yaml", 1)
    truth = books_of(table.to_pylist())
    state = MarketState()
    report = ImportReport(log_id="")
    compared = 0
    for position, placed in enumerate(recording.log("", configured(recording.ts_first_ns), report)):
        state.apply(position, placed.record)
        if not isinstance(placed.record, BookDelta | BookSnapshot):
            continue
        expected = next(truth, None)
        if expected is None:
            break
        bids, asks, is_last = expected
        shown = state.books[placed.record.instrument_id]
        assert state.usable(placed.record.instrument_id)
        assert not state.suspect
        assert shown.book.best_bid == (max(bids.items()) if bids else None)
        assert shown.book.best_ask == (min(asks.items()) if asks else None)
        compared += 1
        if is_last or compared % 100 == 0:
            whole = shown.book.levels()
            assert dict(zip(whole.bid_prices, whole.bid_sizes, strict=True)) == bids
            assert dict(zip(whole.ask_prices, whole.ask_sizes, strict=True)) == asks
    assert compared > 15_000


def books_of(rows):
    """(bids, asks, whether the market's last) in micros after each message of token 0 that changed something before the end."""
    kept = [
        r for r in rows if r["token_ix"] == 0 and r["ts_ms"] < (r["market_start"] + 300) * 1_000 and r["kind"] < SAME
    ]
    bids, asks = {}, {}
    for index, row in enumerate(kept):
        if row["kind"] == WHOLE and (index == 0 or kept[index - 1]["market_start"] != row["market_start"]):
            bids, asks = {}, {}
        side = asks if row["side"] else bids
        side[row["price_1e3"] * 1_000] = row["size_1e2"] * 10_000
        if not row["size_1e2"]:
            del side[row["price_1e3"] * 1_000]
        following = kept[index + 1] if index + 1 < len(kept) else None
        if following is None:
            return
        if (following["market_start"], following["seq"]) != (row["market_start"], row["seq"]):
            yield bids, asks, following["market_start"] != row["market_start"]


def test_the_book_equals_the_messages_that_the_venue_sent(recordings):
    """Against `raw_wire`: unmodified whole books, from before the recording was coded as changes."""
    where = recordings / "data" / "polymarket_btc5m_l2"
    if not where.is_dir():
        pytest.skip("the recording polymarket_btc5m_l2 is not in ../shared/data")
    lines = bytes(cramjam.zstd.decompress((where / "raw_wire" / "book_messages.ndjson.zst").read_bytes())).splitlines()
    sent: dict[tuple[str, int], set[tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int]]]]] = {}
    for line in lines:
        raw = json.loads(line)["raw"]
        sides = (
            frozenset((micros(level["price"]), micros(level["size"])) for level in raw[side])
            for side in ("bids", "asks")
        )
        sent.setdefault((raw["asset_id"], int(raw["timestamp"])), set()).add(tuple(sides))
    assets = {asset for asset, _ in sent}
    first, last = (pick(ts for _, ts in sent) for pick in (min, max))
    files = [where / "l2_2026-04-15.parquet", where / "markets.csv"]
    recording = PolymarketL2(files, REPOSITORY / "docs" / "examples" / "fees_polymarket_btc5m.yaml", 1)
    tokens = {f"polymarket:{known.facts.condition}": known.facts.tokens[0] for known in recording.markets.values()}
    state, equal, seen = MarketState(), 0, 0
    report = ImportReport(log_id="")
    for position, placed in enumerate(recording.log("", configured(recording.ts_first_ns), report)):
        record = placed.record
        if placed.ts_ns > (last + 1_000) * MS:
            break
        if not isinstance(record, BookDelta | BookSnapshot) or tokens[record.instrument_id] not in assets:
            continue
        state.apply(position, record)
        stamp = (record.ts_venue_ns or 0) // MS
        if first <= stamp <= last and (tokens[record.instrument_id], stamp) in sent:
            levels = state.books[record.instrument_id].book.levels()
            bids = frozenset(zip(levels.bid_prices, levels.bid_sizes, strict=True))
            asks = frozenset(zip(levels.ask_prices, levels.ask_sizes, strict=True))
            seen += 1
            equal += (bids, asks) in sent[tokens[record.instrument_id], stamp]
    assert seen > 100
    assert equal == seen


def micros(text):
    whole, _, part = text.partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))
