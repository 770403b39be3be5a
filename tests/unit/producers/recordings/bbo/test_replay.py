"""The importer: equal bytes at any speed and after any interruption, statuses in gaps, refusals by name."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings.bbo.replay import Recording
from producers.recordings.frame import ImportReport
from schemas.records import BookSnapshot, FeedStatus, InstrumentListed, LogOpened, PairListed
from tests.builders.places import REPOSITORY
from tests.builders.recordings.bbo import (
    FEES,
    FIRST_MS,
    ROWS,
    TICKER,
    TOKEN,
    configured,
    fees,
    imported,
    row,
    write,
)


def test_the_log(tmp_path: Path) -> None:
    sender, report = imported(Recording([write(tmp_path, ROWS)], fees(tmp_path), 1))
    records = sender.records()
    assert isinstance(records[0], LogOpened)
    assert records[0].log_id == report.log_id
    kinds = Counter(type(r).__name__ for r in records)
    assert kinds["InstrumentListed"] == 2
    assert kinds["PairListed"] == 1
    assert (report.rows, report.books, report.complete) == (4, 4, True)
    books = [r for r in records if isinstance(r, BookSnapshot)]
    assert [b.bid_prices for b in books] == [(54_000,), (54_000,), (), (55_000,)]
    assert books[0].bid_sizes == (10_000_000,)
    assert {(b.feed, b.delivery, b.cadence_ms) for b in books} == {
        ("kalshi", "polled", 3_700),
        ("polymarket", "polled", 3_700),
    }
    assert [b.sequence for b in books] == [1, 1, 2, 2]
    assert books[1].ts_venue_ns == FIRST_MS * 1_000_000
    stamps = [r.ts_received_ns for r in records]
    assert stamps == sorted(stamps)
    pair = next(r for r in records if isinstance(r, PairListed))
    assert (pair.instrument_a, pair.instrument_b) == (f"polymarket:{TOKEN}", f"kalshi:{TICKER}")
    assert [c.outcome for c in pair.payouts if c.admissible] == ["yes", "no"]
    listed = {r.venue: r for r in records if isinstance(r, InstrumentListed)}
    assert listed["polymarket"].fee_schedule.taker_rate_ppm == 30_000
    assert listed["kalshi"].grid[0].tick_micros == 1_000


def test_feeds_say_that_they_live_in_gaps_and_that_it_is_over(tmp_path: Path) -> None:
    sender, _ = imported(Recording([write(tmp_path, ROWS)], fees(tmp_path), 1))
    for feed in ("kalshi", "polymarket"):
        said = [r for r in sender.records() if isinstance(r, FeedStatus) and r.feed == feed]
        assert [s.state for s in said[:-1]] == ["live"] * (len(said) - 1)
        assert said[-1].state == "ended"
        gaps = {b.ts_received_ns - a.ts_received_ns for a, b in pairwise(said[:-1])}
        assert gaps == {500_000_000}


def test_the_fold_finds_every_row_usable(tmp_path: Path) -> None:
    sender, _ = imported(Recording([write(tmp_path, ROWS)], fees(tmp_path), 1))
    state = MarketState()
    for position, record in enumerate(sender.records()):
        state.apply(position, record)
        if isinstance(record, BookSnapshot):
            assert state.usable(record.instrument_id)
            assert not state.suspect
    assert not state.usable(f"kalshi:{TICKER}")


def test_a_long_hole_is_said_as_one(tmp_path: Path) -> None:
    rows = [*ROWS, row(90_000_000, "kalshi"), row(90_000_200, "polymarket")]
    sender, _ = imported(Recording([write(tmp_path, rows)], fees(tmp_path), 1))
    states = Counter(r.state for r in sender.records() if isinstance(r, FeedStatus))
    assert states["down"] == 2
    assert states["live"] < 100


def test_any_speed_gives_the_same_bytes(tmp_path: Path) -> None:
    recording = Recording([write(tmp_path, ROWS)], fees(tmp_path), 1)
    digests = {imported(recording, speed=speed)[0].digest() for speed in (0, 0.5, 50, 2_000)}
    assert len(digests) == 1


def test_an_interrupted_import_goes_on_where_the_log_ends(tmp_path: Path) -> None:
    recording = Recording([write(tmp_path, ROWS)], fees(tmp_path), 2)
    whole, _ = imported(recording)
    ends = [Counter(partition for _, partition, _, _ in whole.sent[:n]) for n in (0, 1, 9, 20, len(whole.sent))]
    for at in ends:
        rest, report = imported(recording, already=dict(at))
        assert rest.sent == whole.sent[sum(at.values()) :]
        assert report.resumed_at == sum(at.values())


def test_order_is_fetch_ms_across_and_within_files(tmp_path: Path) -> None:
    straight, _ = imported(Recording([write(tmp_path, ROWS)], fees(tmp_path), 1))
    shuffled = Recording([write(tmp_path, [ROWS[i] for i in (3, 0, 2, 1)], "b.parquet")], fees(tmp_path), 1)
    split = Recording(
        [write(tmp_path, ROWS[::2], "c.parquet"), write(tmp_path, ROWS[1::2], "d.parquet")], fees(tmp_path), 1
    )
    expected = [r for r in straight.records() if isinstance(r, BookSnapshot)]
    for other in (shuffled, split):
        found = [r for r in imported(other)[0].records() if isinstance(r, BookSnapshot)]
        assert [msgspec.structs.replace(b, cadence_ms=0) for b in found] == [
            msgspec.structs.replace(b, cadence_ms=0) for b in expected
        ]


def test_the_log_id_follows_files_fees_and_settings_not_speed(tmp_path: Path) -> None:
    file, fee_file = write(tmp_path, ROWS), fees(tmp_path)
    recording = Recording([file], fee_file, 1)
    base = recording.log_id(Settings())
    assert base == Recording([file], fee_file, 1).log_id(Settings())
    assert base != recording.log_id(Settings(decide={"min_edge_micros": 0}))
    assert base != Recording([write(tmp_path, ROWS[:3], "e.parquet")], fee_file, 1).log_id(Settings())
    assert len(base) == 32


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(100, "kalshi", 590, 540), "crossed book"),
        (row(100, "kalshi", 545), "price off the grid"),
        (row(100, "kalshi", 0), "price off the grid"),
        (row(100, "kalshi", 10_000), "price off the grid"),
        (row(100, "kalshi", bid_size_1e2=None), "size missing or not positive"),
        (row(100, "kalshi", bid_size_1e2=-5), "size missing or not positive"),
        (row(100, "kalshi", ask_size_1e2=0), "size missing or not positive"),
        (row(100, "binance"), "no market or time"),
        (row(100, "kalshi", fetch_ms=None), "no market or time"),
        (row(100, "kalshi", fetch_ms=-1), "no market or time"),
        (row(100, "kalshi", kalshi_ticker=None), "no market or time"),
    ],
)
def test_rows_that_are_no_book_are_dropped_and_counted(tmp_path: Path, bad: dict, why: str) -> None:
    _, report = imported(Recording([write(tmp_path, [ROWS[0], bad, *ROWS[1:]])], fees(tmp_path), 1))
    assert report.dropped == {why: 1}
    assert (report.rows, report.books) == (5, 4)


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"fetch_ms": ["1"], "venue": ["kalshi"], "bid_1e4": [1]}), file)
    with pytest.raises(RecordingError, match=r"missing: cycle_ms, ask_1e4.*fetch_ms \(string\)"):
        Recording([file], fees(tmp_path), 1)


def test_what_is_no_parquet_or_not_there_is_said(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_text("a,b")
    with pytest.raises(RecordingError, match="no Parquet"):
        Recording([file], fees(tmp_path), 1)
    with pytest.raises(RecordingError, match="cannot be read"):
        Recording([tmp_path / "absent.parquet"], fees(tmp_path), 1)
    with pytest.raises(RecordingError, match="no row names"):
        Recording([write(tmp_path, [], "empty.parquet")], fees(tmp_path), 1)
    with pytest.raises(RecordingError, match="at least one"):
        Recording([], fees(tmp_path), 1)


def test_no_fee_file_no_import(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="--fees FILE"):
        Recording([write(tmp_path, ROWS)], None, 1)
    with pytest.raises(RecordingError, match="cannot be read"):
        Recording([write(tmp_path, ROWS)], tmp_path / "absent.yaml", 1)


def test_a_market_without_a_schedule_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=f"no schedule for polymarket {TOKEN}"):
        Recording([write(tmp_path, ROWS)], fees(tmp_path, FEES | {"markets": FEES["markets"][:1]}), 1)


def test_a_schedule_of_other_days_is_refused(tmp_path: Path) -> None:
    late = [row(10 * 86_400_000, "kalshi"), *ROWS]
    with pytest.raises(RecordingError, match="rows outside"):
        Recording([write(tmp_path, late)], fees(tmp_path), 1)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("taker_rate", 0.07, "quoted text"), ("model", "polymarket_curve", "not one of kalshi"), ("evidence", "", "evidence"),
     ("effective", None, "effective"), ("rate", "1", "rate"), ("taker_rate", "7", "taker_rate_ppm")],
)  # fmt: skip
def test_mistakes_in_the_fee_file_are_named(tmp_path: Path, field: str, value: Any, says: str) -> None:
    first = FEES["markets"][0] | {field: value}
    with pytest.raises(RecordingError, match=says):
        Recording([write(tmp_path, ROWS)], fees(tmp_path, FEES | {"markets": [first, FEES["markets"][1]]}), 1)


# -- pairs: what the rows agree on, or what the fee file declares

RIVAL = {"kalshi_ticker": "KXCUP-26-Y", "polymarket_token": "67890"}
TWO_TEAMS: dict[str, Any] = FEES | {
    "markets": [
        *FEES["markets"],
        *(market | {"id": RIVAL[column]} for market, column in zip(FEES["markets"], RIVAL, strict=True)),
    ]
}


def teams(count: int = 40) -> list[dict[str, Any]]:
    """Polls of two teams at both venues."""
    return [
        row(1_000 * (n // 4) + 200 * (n % 4), ("kalshi", "polymarket")[n % 2], **(RIVAL if n % 4 > 1 else {}))
        for n in range(count)
    ]


@pytest.mark.parametrize("at", [0, 1, 17, 39])
@pytest.mark.parametrize("bad", [{"polymarket_token": RIVAL["polymarket_token"]}, {"kalshi_ticker": RIVAL["kalshi_ticker"]},
                                 {"polymarket_token": "never seen"}])  # fmt: skip
def test_one_row_that_names_another_pair_is_dropped_and_lists_nothing(
    tmp_path: Path, at: int, bad: dict[str, str]
) -> None:
    rows = teams()
    rows.insert(at, {**rows[at], **row(0, "kalshi"), "fetch_ms": rows[at]["fetch_ms"] + 7, "cycle_ms": None, **bad})
    sender, report = imported(Recording([write(tmp_path, rows)], fees(tmp_path, TWO_TEAMS), 1))
    assert report.dropped == {"names another pair than the recording's": 1}
    pairs = [(r.pair_id, r.instrument_a, r.instrument_b) for r in sender.records() if isinstance(r, PairListed)]
    assert sorted(pairs) == [
        (TICKER, f"polymarket:{TOKEN}", f"kalshi:{TICKER}"),
        ("KXCUP-26-Y", "polymarket:67890", "kalshi:KXCUP-26-Y"),
    ]


def test_rows_that_do_not_agree_are_refused_and_the_fee_file_settles_them(tmp_path: Path) -> None:
    rows = [*teams(8), *(one | {"polymarket_token": RIVAL["polymarket_token"]} for one in teams(8)[:2])]
    file = write(tmp_path, rows)
    more = write(tmp_path, [*rows, rows[-1]], "more.parquet")
    said = r"rows pair KXCUP-26-X with 12345 \(4 rows\) and .* \(3 rows\);.* \(pairing\.pairs\)"
    with pytest.raises(RecordingError, match=said):
        Recording([more], fees(tmp_path, TWO_TEAMS), 1)
    declared = [{"kalshi": TICKER, "polymarket": TOKEN}, {"kalshi": "KXCUP-26-Y", "polymarket": "67890"}]
    pairing = {"evidence": "same contract", "pairs": declared}
    _, report = imported(Recording([file], fees(tmp_path, TWO_TEAMS | {"pairing": pairing}), 1))
    assert report.dropped == {"names another pair than the recording's": 2}
    twice = {"pairing": {"evidence": "e", "pairs": [declared[0], declared[0] | {"kalshi": "KXCUP-26-Y"}]}}
    with pytest.raises(RecordingError, match="polymarket 12345 stands in more than one pair"):
        Recording([file], fees(tmp_path, TWO_TEAMS | twice), 1)


def test_a_few_rows_hours_from_all_others_are_dropped(tmp_path: Path) -> None:
    rows = [row(1_000 * n, ("kalshi", "polymarket")[n % 2], cycle_ms=None) for n in range(300)]
    clean, _ = imported(Recording([write(tmp_path, rows)], fees(tmp_path), 1))
    astray = [row(hours * 3_600_000, "kalshi", cycle_ms=None) for hours in (-9, 5, 30)]
    sender, report = imported(
        Recording([write(tmp_path, [astray[0], *rows[:99], astray[1], *rows[99:], astray[2]])], fees(tmp_path), 1)
    )
    assert report.dropped == {"hours from every other row": 3}
    books = [one for one in sender.records() if isinstance(one, BookSnapshot)]
    assert [(b.ts_received_ns, b.bid_prices) for b in books] == [
        (b.ts_received_ns, b.bid_prices) for b in clean.records() if isinstance(b, BookSnapshot)
    ]


def test_holes_and_silences_are_told(tmp_path: Path) -> None:
    rows = [row(1_000 * n + (30_000 if n > 20 else 0) + (700_000 if n > 40 else 0), "kalshi") for n in range(60)]
    _, report = imported(Recording([write(tmp_path, rows)], fees(tmp_path), 1))
    assert report.counted == {"silences of a market, ten polls or more": 2, "holes in the recording": 1}


@pytest.mark.recordings
def test_one_false_row_in_a_real_match_changes_no_decision(recordings: Path, tmp_path: Path) -> None:
    file = recordings / "data" / "xv_worldcup_bbo" / "mexico_england_pre.parquet"
    if not file.is_file():
        pytest.skip(f"{file.name} is not beside the checkout")
    fee_file = REPOSITORY / "docs" / "examples" / "fees_worldcup.yaml"
    table = pq.read_table(file)
    rows = table.to_pylist()
    tokens = list(dict.fromkeys(one["polymarket_token"] for one in rows))
    false = rows[400] | {"polymarket_token": next(token for token in tokens if token != rows[400]["polymarket_token"])}
    pq.write_table(
        pa.Table.from_pylist([*rows[:401], false, *rows[401:]], schema=table.schema), tmp_path / "bad.parquet"
    )
    found = []
    for path in (file, tmp_path / "bad.parquet"):
        recording = Recording([path], fee_file, 1)
        report = ImportReport(log_id="")
        decide = configured(recording.survey.ts_first_ns)
        found.append(([placed.record for placed in recording.log("", decide, report)], report))
    (clean, _), (bad, report) = found
    assert report.dropped == {"names another pair than the recording's": 1}
    assert bad == clean


@pytest.mark.parametrize(
    ("name", "rows"), [("mexico_england_pre", 988), ("mexico_england", 13_444), ("paraguay_france", 10_672)]
)
def test_the_real_recording(recordings: Path, name: str, rows: int) -> None:
    file = recordings / "data" / "xv_worldcup_bbo" / f"{name}.parquet"
    recording = Recording([file], REPOSITORY / "docs" / "examples" / "fees_worldcup.yaml", 1)
    report = ImportReport(log_id=recording.log_id(Settings()))
    decide = configured(recording.survey.ts_first_ns)
    books = sum(isinstance(placed.record, BookSnapshot) for placed in recording.log(report.log_id, decide, report))
    assert (report.rows, books, report.dropped) == (rows, rows, Counter())
