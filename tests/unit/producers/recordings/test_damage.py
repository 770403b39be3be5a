"""Whatever is wrong with a recording ends in one line or in counts that add up: duplicates, clocks, cut files, rows of nonsense."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest

from producers.errors import RecordingError
from producers.recordings.formats import open_recording
from schemas.codec import load_codec
from schemas.records import ReferencePrice
from tests.builders.recordings.l2_files import adds_up, folded, run
from tests.builders.recordings.made import FORMATS, Format, imported

BY_NAME = {made.name: made for made in FORMATS}
every_format = pytest.mark.parametrize("made", FORMATS, ids=lambda made: made.name)


def records(placed):
    """Everything but the heads, whose id follows the bytes of the files."""
    return [
        (one.partition, one.key, one.ts_ns, one.record) for one in placed if type(one.record).__name__ != "LogOpened"
    ]


def is_repeat(reason: str) -> bool:
    return reason.startswith("repeated")


@every_format
@pytest.mark.parametrize("how", ["each row twice", "joined with itself", "the middle again"])
def test_rows_that_come_twice_count_once(made: Format, how, tmp_path):
    rows = made.rows()
    third, two_thirds = (_message_before(rows, len(rows) * part // 3) for part in (1, 2))
    again = {
        "each row twice": [one for row in rows for one in (row, row)],
        "joined with itself": rows + rows,
        "the middle again": rows[:two_thirds] + rows[third:two_thirds] + rows[two_thirds:],
    }[how]
    clean, before = imported(made, tmp_path / "clean", rows)
    placed, report = imported(made, tmp_path / "again", again)
    assert records(placed) == records(clean)
    more = report.dropped - before.dropped
    assert more.total() == report.rows - before.rows > 0
    assert adds_up(report) and all(is_repeat(reason) for reason in more), more


def _message_before(rows, at):
    """Where the message of a row begins: rows of one message share their number."""
    number = next((name for name in ("evt", "seq") if name in rows[at]), None)
    while number and at and rows[at].get(number) == rows[at - 1].get(number):
        at -= 1
    return at


@pytest.mark.parametrize("name", ["bbo-pairs", "polymarket-btc5m-l2", "kalshi-btc15m-l2-spot", "kalshi-gold15m-l2"])
def test_the_same_file_under_two_names_counts_once(name, tmp_path):
    made = BY_NAME[name]
    clean, _ = imported(made, tmp_path / "one", made.rows())
    files = [file for file in (tmp_path / "one").iterdir() if file.suffix == ".parquet"]
    for file in files:
        (tmp_path / "one" / f"{file.stem}_2.parquet").write_bytes(file.read_bytes())
    given = sorted((tmp_path / "one").glob("*.parquet")) if name == "bbo-pairs" else [tmp_path / "one"]
    placed, report = run(open_recording(name, given, made.fees(tmp_path / "one"), 2))
    assert records(placed) == records(clean)
    assert adds_up(report) and any(is_repeat(reason) for reason in report.dropped)


@pytest.mark.parametrize(
    ("name", "column", "at", "other"),
    [
        ("bbo-pairs", "bid_1e4", 10, 490),
        ("xv-fed-dec2025", "kalshi_depth_best_yes", 10, "7"),
        ("polymarket-btc5m-l2", "size_1e2", 5, 77),
        ("kalshi-btc15m-l2-spot", "size_1e2", 12, 77),
        ("kalshi-btc15m-l2-spot", "price_1e2", -9, 77),
        ("kalshi-gold15m-l2", "size_1e2", 12, 77),
    ],
)
def test_a_row_that_contradicts_an_earlier_one_is_dropped_and_said(name, column, at, other, tmp_path):
    made = BY_NAME[name]
    rows = made.rows()
    clean, _ = imported(made, tmp_path / "clean", rows)
    at %= len(rows)
    placed, report = imported(made, tmp_path / "bad", [*rows[: at + 1], rows[at] | {column: other}, *rows[at + 1 :]])
    said = {reason: n for reason, n in report.dropped.items() if "contradict" in reason or "twice" in reason}
    assert said and adds_up(report)
    if column == "size_1e2":
        assert report.counted["books declared invalid"] >= 1, "nobody can tell which of the two is right"
    else:
        assert records(placed) == records(clean)


def test_a_market_that_markets_csv_contradicts_is_refused_in_one_line(tmp_path):
    for name in ("polymarket-btc5m-l2", "kalshi-gold15m-l2"):
        made = BY_NAME[name]
        folder = tmp_path / name
        imported(made, folder, made.rows())
        head, first, *rest = (folder / "markets.csv").read_text().splitlines()
        (folder / "markets.csv").write_text("\n".join([head, first, first, *rest]) + "\n")
        run(open_recording(name, [folder], made.fees(folder), 1))
        changed = first.replace("12:05", "12:04").replace(",yes,", ",no,")
        assert changed != first
        (folder / "markets.csv").write_text("\n".join([head, first, *rest, changed]) + "\n")
        with pytest.raises(RecordingError, match=r"markets\.csv line \d+ says of .* what contradicts an earlier line"):
            open_recording(name, [folder], made.fees(folder), 1)


@pytest.mark.parametrize(
    ("made", "column"),
    [(made, column) for made in FORMATS for column in made.stamps],
    ids=lambda one: getattr(one, "name", one),
)
@pytest.mark.parametrize("shift", [1_000, -1_000])
def test_stamps_in_another_unit_are_refused_by_the_likely_unit(made: Format, column, shift, tmp_path):
    def moved(value):
        if value is None:
            return None
        changed = int(value) * shift if shift > 0 else int(value) // -shift
        return str(changed) if isinstance(value, str) else changed

    rows = [row | {column: moved(row[column])} if column in row else row for row in made.rows()]
    with pytest.raises(RecordingError) as caught:
        imported(made, tmp_path, rows)
    beyond = (made.name, shift) == ("binance-wire-2024-08", 1_000) or (column, shift) == ("market_start", -1_000)
    assert ("looks like" in str(caught.value)) is not beyond, "there is no unit beyond ns and s"
    assert "\n" not in str(caught.value)


@every_format
@pytest.mark.parametrize("hours", [3, -3, 700])
def test_a_row_hours_off_moves_no_other_row(made: Format, hours, tmp_path):
    """One row with both its clocks wrong: what is before it is as it was, and no stamp of another row moves by more than a moment."""
    rows = made.rows()
    at = len(rows) // 3
    per_hour = {
        "recv_ms": 3_600_000,
        "ts_ms": 3_600_000,
        "ts": 3_600 * 10**9,
        "fetch_ms": 3_600_000,
        "timestamp_ms": 3_600_000,
    }
    row = dict(rows[at])
    for column, step in per_hour.items():
        if row.get(column) is not None:
            row[column] = type(row[column])(int(row[column]) + hours * step)
    clean, _ = imported(made, tmp_path / "clean", rows)
    try:
        placed, report = imported(made, tmp_path / "bad", [*rows[:at], row, *rows[at + 1 :]])
    except RecordingError as refused:
        _is_one_line(refused)
        return
    assert adds_up(report)
    if made.name == "xv-fed-dec2025":  # no second clock, and half an hour between two lines: an hour is nothing
        return
    assert report.dropped or report.counted
    first, last = (edge(one.ts_ns for one in clean) for edge in (min, max))
    assert first - 3_600 * 10**9 <= min(one.ts_ns for one in placed)
    assert max(one.ts_ns for one in placed) <= last + 1_000 * 10**9


@pytest.mark.parametrize("hours", [5, -5, 1, -1, 300])
@pytest.mark.parametrize("column", ["recv_ms", "ts_ms"])
@pytest.mark.parametrize("name", ["polymarket-btc5m-l2", "kalshi-btc15m-l2-spot", "kalshi-gold15m-l2"])
def test_one_wrong_clock_of_a_row_costs_no_book(name, column, hours, tmp_path):
    made = BY_NAME[name]
    rows = made.rows()
    clean, before = imported(made, tmp_path / "clean", rows)
    at = next(n for n, row in enumerate(rows) if n > 20 and row.get("kind") == 1 and row.get("token_ix", 0) == 0)
    number = rows[at].get("evt", rows[at]["seq"])
    for row in rows[at : at + 4]:
        if row.get("evt", row["seq"]) == number:
            row[column] += hours * 3_600_000
    placed, report = imported(made, tmp_path / "bad", rows)
    assert (report.dropped, report.books) == (before.dropped, before.books)
    moved = [(a.ts_ns, b.ts_ns) for a, b in zip(clean, placed, strict=True) if a.ts_ns != b.ts_ns]
    assert all(abs(a - b) < 10**9 for a, b in moved), moved


@pytest.mark.parametrize("hours", [5, -5, 300])
def test_spot_of_another_time_is_said_and_one_such_price_is_dropped(hours, tmp_path):
    made = BY_NAME["kalshi-btc15m-l2-spot"]
    rows = made.rows()

    def moved(row):
        return (
            row | {name: row[name] + hours * 3_600_000_000 for name in ("recv_us", "ts_us")}
            if "recv_us" in row
            else row
        )

    said = "no reference price is of the time of the books"
    clean, report = imported(made, tmp_path / "clean", rows)
    assert said not in report.counted
    _, report = imported(made, tmp_path / "all", [moved(row) for row in rows])
    assert report.counted[said] == 1 and adds_up(report)
    for at in (-1, -30, -60):
        rows = made.rows()
        one = rows[at]
        rows[at] = moved(one)
        placed, report = imported(made, tmp_path / f"one{at}", rows)
        assert report.dropped["reference price hours from the others"] == 1
        assert prices(placed) == [price for price in prices(clean) if price[1] != one["trade_id"]]


def prices(placed):
    """When each reference price of the first partition was received, its number, and the price."""
    return [
        (p.record.ts_received_ns, p.record.sequence, p.record.trade_price_micros)
        for p in placed
        if isinstance(p.record, ReferencePrice) and not p.partition
    ]


@every_format
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_or_is_no_file_is_one_line_or_counts(made: Format, share, tmp_path):
    folder = tmp_path / "recording"
    folder.mkdir()
    files, fees = made.write(folder, made.rows()), made.fees(folder)
    for file in sorted(one for one in folder.iterdir() if one.suffix in {".parquet", ".csv", ".ndjson"}):
        whole = file.read_bytes()
        for content in (whole[: int(len(whole) * share)], b"", whole[::-1], b"\xff\xfe" + whole, bytes(len(whole))):
            file.write_bytes(content)
            _ends_well(made, files, fees)
        file.unlink()
        file.mkdir()
        _ends_well(made, files, fees)
        file.rmdir()
        _ends_well(made, files, fees)
        file.write_bytes(whole)
    assert adds_up(run(open_recording(made.name, files, fees, 1))[1])


def test_a_compressed_file_that_was_cut(tmp_path):
    fed = BY_NAME["xv-fed-dec2025"]
    (plain,) = fed.write(tmp_path, fed.rows())
    packed = gzip.compress(plain.read_bytes())
    for content in (
        packed[:-9],
        packed[: len(packed) // 2],
        packed[:30] + bytes([packed[30] ^ 255]) + packed[31:],
        b"plain",
    ):
        (tmp_path / "fed.csv.gz").write_bytes(content)
        _ends_well(fed, [tmp_path / "fed.csv.gz"], fed.fees(tmp_path))
    wire = BY_NAME["binance-wire-2024-08"]
    (lines,) = wire.write(tmp_path, wire.rows())
    packed = gzip.compress(lines.read_bytes())
    for content in (
        packed[:-9],
        packed[: len(packed) // 2],
        packed[:30] + bytes([packed[30] ^ 255]) + packed[31:],
        b"plain",
    ):
        (tmp_path / "wire.ndjson.gz").write_bytes(content)
        _ends_well(wire, [tmp_path / "wire.ndjson.gz"], None)


def _ends_well(made: Format, files: list[Path], fees: Path | None) -> Counter[str]:
    """One line, or a log that can be encoded and folded, with counts that add up."""
    try:
        placed, report = run(open_recording(made.name, files, fees, 1))
    except RecordingError as refused:
        _is_one_line(refused)
        return Counter()
    codec = load_codec()
    for one in placed:
        assert codec.decode(codec.encode(one.record)) == one.record
    folded(placed)
    assert adds_up(report)
    return report.dropped


def _is_one_line(refused: RecordingError) -> None:
    assert len(str(refused).splitlines()) == 1 and len(str(refused)) < 1_000


NONSENSE = (None, 0, -1, 1, 2, 5, 10_000, 10**9, 2**31, 2**62, -(2**62), 2**63 - 1, 1_780_000_000, 1_780_000_000_000)
TEXT_NONSENSE = ("", "nan", "inf", "-1", "1e9", "1e300", "0.5", "x", "-0", "9" * 30)


@every_format
@pytest.mark.parametrize("seed", range(12))
def test_any_damage_of_a_small_recording_is_one_line_or_counts_that_add_up(made: Format, seed, tmp_path):
    rng = random.Random(f"{made.name} {seed}")
    for number in range(8):
        rows = made.rows()
        for _ in range(rng.choice((1, 1, 2, 5, 40))):
            at = rng.randrange(len(rows))
            match rng.randrange(6):
                case 0:
                    del rows[at]
                case 1:
                    rows.insert(rng.randrange(len(rows)), rows[at])
                case 2:
                    other = rng.randrange(len(rows))
                    rows[at], rows[other] = rows[other], rows[at]
                case _:
                    rows[at] = _nonsense(rows[at], rng)
        folder = tmp_path / str(number)
        folder.mkdir()
        _ends_well(made, made.write(folder, rows), made.fees(folder))


def _nonsense(row, rng):
    column = rng.choice(sorted(row))
    value = row[column]
    if column == "frame":
        return row | {
            "frame": rng.choice(
                [
                    {},
                    [],
                    None,
                    "x",
                    {"stream": "btcusdt@trade", "data": {}},
                    {**value, "data": 5} if isinstance(value, dict) else 5,
                ]
            )
        }
    if column == "ts":
        return row | {"ts": rng.choice([0, 1, 10**12, 10**18, 10**19 - 1, value + 10**14])}
    if isinstance(value, str):
        return row | {column: rng.choice(TEXT_NONSENSE)}
    return row | {column: rng.choice(NONSENSE)}
