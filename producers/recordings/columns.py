"""Recorded columns: Parquet files opened, checked and read in batches, in the order of time.

Decides which files of a folder belong to a recording, whether their columns are the expected ones, and in which order their
blocks are read: a block is an unbroken run of rows of one key (a market, a session), blocks follow each other by their first
stamp. It must never hold more than a batch of a file in memory, and never change the order of rows within a block.
"""

import csv
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from producers.errors import RecordingError
from producers.recordings.clocks import (
    APART_MS,
    EARLY_MS,
    LATE_MS,
    LEAD_ROWS,
    PER_SECOND,
    Unit,
    UnitCheck,
    possible_ones,
    span_text,
)

BATCH_ROWS = 65_536
MS_NS = 1_000_000
#: Stands for a null; no time, price, size or number of a venue is this far below zero.
NULL = int(np.iinfo(np.int64).min)

Column: TypeAlias = NDArray[np.int64]
#: Columns of a batch by name; texts are numbers of `Names`.
Columns: TypeAlias = dict[str, Column]


class Layout(NamedTuple):
    """Columns that a file must have; further ones are ignored. `units` says in which unit its stamps are."""

    integers: tuple[str, ...]
    texts: tuple[str, ...] = ()
    units: tuple[tuple[str, Unit], ...] = ()


class Names:
    """Texts of a recording as small numbers, in the order of appearance."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """The number of a text; NULL for none."""
        if text is None:
            return NULL
        known = self._numbers.get(text)
        if known is not None:
            return known
        self._numbers[text] = len(self.texts)
        self.texts.append(text)
        return self._numbers[text]


class Block(NamedTuple):
    """An unbroken run of rows of one key: where it stands, and its first and last stamp (ms)."""

    file: Path
    start: int
    end: int
    key: tuple[int, ...]
    first_ms: int
    last_ms: int


class Span(NamedTuple):
    """Rows of a file that are read in one go."""

    file: Path
    start: int
    end: int


def find_files(given: Sequence[Path], wanted: Mapping[str, str], optional: frozenset[str]) -> dict[str, list[Path]]:
    """Files of a recording by role: `wanted` maps a role to a name with `*`; a folder stands for the files in it.

    Raises:
        RecordingError: a file or folder is not there or has no role, or a role that is not optional has no file.
    """
    if not given:
        raise RecordingError("name the folder of a recording, or its files")
    found: dict[str, list[Path]] = {role: [] for role in wanted}
    for path in given:
        if path.is_dir():
            for role, pattern in wanted.items():
                found[role] += sorted(path.glob(pattern))
            continue
        if not path.is_file():
            raise RecordingError(f"{path} cannot be read: there is no such file or folder")
        fits = next((role for role, pattern in wanted.items() if path.match(pattern)), None)
        if fits is None:
            raise RecordingError(
                f"{path} is none of {', '.join(wanted.values())}; name the files as the recording does"
            )
        found[fits].append(path)
    missing = [wanted[role] for role, files in found.items() if not files and role not in optional]
    if missing:
        raise RecordingError(f"{', '.join(str(path) for path in given)}: {', '.join(missing)} is missing")
    return found


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a head.

    Raises:
        RecordingError: it cannot be read, lacks one of the columns, or has a line that was cut.
    """
    with reading(path, "CSV file"), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise RecordingError(f"{path} has no column {', '.join(missing)}")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise RecordingError(f"{path} line {reader.line_num} has not as many cells as its head; was it cut?")
            rows.append(row)
        return rows


@contextmanager
def reading(path: Path, what: str = "Parquet file") -> Iterator[None]:
    """Whatever a damaged file makes its reader say becomes one line.

    Raises:
        RecordingError: it cannot be read, or is not what it should be.
    """
    try:
        yield
    except pa.ArrowMemoryError as error:
        raise RecordingError(f"{path} is damaged: {_first_line(error)}") from error
    except pa.ArrowException as error:
        raise RecordingError(f"{path} is no {what}, or damaged: {_first_line(error)}") from error
    except (UnicodeDecodeError, csv.Error, zlib.error, EOFError) as error:
        raise RecordingError(f"{path} is no {what}, or damaged: {_first_line(error)}") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or _first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


class _OpenBlock:
    """A block while its rows are read. The middle of its first stamps tells which of its stamps are hours off."""

    def __init__(self, start: int, key: tuple[int, ...]) -> None:
        self.start = start
        self.key = key
        self._lead: Column = np.zeros(0, dtype=np.int64)
        self._center = NULL
        self._first = self._last = NULL

    def take(self, stamps: Column, reach_ms: int | None) -> None:
        """Stamps of further rows, those that are there."""
        if self._center == NULL:
            self._lead = np.concatenate((self._lead, stamps))
            if len(self._lead) < LEAD_ROWS:
                return
            stamps = self._settle()
        self._span(stamps, reach_ms)

    def _settle(self) -> Column:
        lead = np.sort(self._lead[:LEAD_ROWS])
        self._center = int(lead[len(lead) // 2])
        stamps, self._lead = self._lead, np.zeros(0, dtype=np.int64)
        return stamps

    def _span(self, stamps: Column, reach_ms: int | None) -> None:
        if reach_ms is not None:
            stamps = stamps[(stamps >= self._center - APART_MS) & (stamps <= self._center + reach_ms)]
        if len(stamps):
            first, last = int(stamps.min()), int(stamps.max())
            self._first = first if self._first == NULL else min(self._first, first)
            self._last = max(self._last, last)

    def close(self, file: Path, end: int, reach_ms: int | None) -> Block:
        """The block; NULL for both stamps where none is known."""
        if self._center == NULL and len(self._lead):
            self._span(self._settle(), reach_ms)
        return Block(file, self.start, end, self.key, self._first, self._last)


def survey_blocks(
    file: Path, layout: Layout, keys: Sequence[str], stamp: str, instead: str, names: Names, *, reach_ms: int | None
) -> list[Block]:
    """Blocks of a file, as they stand in it; a row without `stamp` counts by its column `instead`.

    A stamp later than the first ones of its block by more than `reach_ms`, or earlier by ten minutes, does not count; a block without any
    takes those of the one before.

    Raises:
        RecordingError: no Parquet, columns are missing or of the wrong type, or stamps are in another unit.
    """
    blocks: list[Block] = []
    block: _OpenBlock | None = None
    checks = {column: UnitCheck(file, column, unit) for column, unit in layout.units}
    at = 0
    for batch in _batches(file, layout, names, 0, None, tuple(dict.fromkeys((*keys, stamp, instead, *checks)))):
        rows = len(batch[stamp])
        for column, check in checks.items():
            check.see(batch[column][batch[column] != NULL])
        stamps = effective(batch, layout, stamp, instead)
        table = np.stack([batch[name] for name in keys]) if keys else np.zeros((1, rows), dtype=np.int64)
        cuts = [0, *(np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0)) + 1).tolist(), rows]
        for start, end in pairwise(cuts):
            key = tuple(table[:, start].tolist())
            if block is None or block.key != key:
                if block is not None:
                    blocks.append(block.close(file, at + start, reach_ms))
                block = _OpenBlock(at + start, key)
            part = stamps[start:end]
            block.take(part[part != NULL], reach_ms)
        at += rows
    if block is not None:
        blocks.append(block.close(file, at, reach_ms))
    for check in checks.values():
        check.judge()
    return _stamped(blocks)


def _stamped(blocks: list[Block]) -> list[Block]:
    """Blocks without a stamp take those of the one before, else of the one behind; without any there is no moment at all."""
    known = [block for block in blocks if block.first_ms != NULL]
    if not known:
        return []
    found: list[Block] = []
    before = known[0]
    for block in blocks:
        before = before if block.first_ms == NULL else block
        found.append(block._replace(first_ms=before.first_ms, last_ms=before.last_ms))
    return found


def effective(columns: Columns, layout: Layout, stamp: str, instead: str) -> Column:
    """The stamp of each row: its own clock; the other one where it is missing, cannot be, or is ten minutes earlier; NULL without any."""
    own, other = (known_stamps(columns, layout, name) for name in (stamp, instead))
    if stamp == instead:
        return own
    found = np.where(own == NULL, other, own)
    most = APART_MS * PER_SECOND[dict(layout.units)[stamp]] // 1_000
    apart = (own != NULL) & (other != NULL) & (np.abs(own - other) > most)
    return np.where(apart, np.minimum(own, other), found) if apart.any() else found


def inside_window(
    stamps: Column, columns: Columns, layout: Layout, clocks: Sequence[str], window_ns: tuple[int, int]
) -> tuple[Column, NDArray[np.bool_]]:
    """Stamps (ns, 0 where there is none) near a market's window, and which rows are hours off by every clock.

    A stamp outside the window is taken from another clock of the row, where that one is inside.
    """
    first, last = window_ns[0] - EARLY_MS * MS_NS, window_ns[1] + LATE_MS * MS_NS
    astray = (stamps != 0) & ((stamps < first) | (stamps >= last))
    if astray.any():
        for name in clocks:
            known = known_stamps(columns, layout, name)
            other = np.where(known == NULL, 0, known) * MS_NS
            better = astray & (other >= first) & (other < last)
            stamps = np.where(better, other, stamps)
            astray &= ~better
    return stamps, astray


def known_stamps(columns: Columns, layout: Layout, name: str) -> Column:
    """A column of stamps in which what cannot be a moment is NULL."""
    stamps = columns[name]
    right = possible_ones(stamps, dict(layout.units)[name])
    return stamps if right.all() else np.where(right, stamps, NULL)


def in_windows(
    blocks: Sequence[Block], window: Callable[[tuple[int, ...]], tuple[int, int] | None], where: str
) -> list[Block]:
    """Blocks whose stamps lie near the windows of their markets; `window` gives that of a key, ms, None for a market that is not known.

    Raises:
        RecordingError: no market is known, or no block lies in its window.
    """
    found: list[Block] = []
    inside, apart_ms = 0, NULL
    for block in blocks:
        known = window(block.key)
        if known is None:
            found.append(block)
            continue
        first_ms, last_ms = known[0] - EARLY_MS, known[1] + LATE_MS
        inside += block.last_ms >= first_ms and block.first_ms < last_ms
        apart_ms = block.first_ms - known[0]
        first, last = (min(max(stamp, first_ms), last_ms) for stamp in (block.first_ms, block.last_ms))
        found.append(block._replace(first_ms=first, last_ms=last))
    if apart_ms == NULL:
        raise RecordingError(f"{where}: no row is of a market that markets.csv knows")
    if not inside:
        raise RecordingError(
            f"{where}: rows lie {span_text(apart_ms)} from the windows that markets.csv gives; are they of other days, or of another "
            "time zone?"
        )
    return found


def in_time(blocks: Sequence[Block]) -> tuple[list[Span], int]:
    """Blocks by their first stamp, joined to spans where they stand together; and how many stood out of order."""
    ordered = sorted(blocks, key=lambda block: block.first_ms)
    latest, moved = NULL, 0
    for block in blocks:
        moved += block.first_ms < latest
        latest = max(latest, block.first_ms)
    spans: list[Span] = []
    for block in ordered:
        if spans and spans[-1].file == block.file and spans[-1].end == block.start:
            spans[-1] = Span(block.file, spans[-1].start, block.end)
        else:
            spans.append(Span(block.file, block.start, block.end))
    return spans, moved


def read_spans(spans: Sequence[Span], layout: Layout, names: Names) -> Iterator[Columns]:
    """Batches of every span, in order."""
    for span in spans:
        yield from _batches(span.file, layout, names, span.start, span.end, (*layout.integers, *layout.texts))


def cut(columns: Columns, start: int, end: int) -> Columns:
    """Some rows of a batch."""
    return {name: column[start:end] for name, column in columns.items()}


def kept(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    """The rows of a batch that a mask keeps."""
    return columns if mask.all() else {name: column[mask] for name, column in columns.items()}


def joined(first: Columns | None, second: Columns) -> Columns:
    """Rows of two batches."""
    if first is None:
        return second
    return {name: np.concatenate((column, second[name])) for name, column in first.items()}


def _batches(
    file: Path, layout: Layout, names: Names, start: int, end: int | None, columns: Sequence[str]
) -> Iterator[Columns]:
    with reading(file), pq.ParquetFile(file, read_dictionary=list(layout.texts)) as parquet:
        _check(file, parquet.schema_arrow, layout)
        stop = parquet.metadata.num_rows if end is None else end
        groups, at, base = [], 0, None
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if at < stop and at + rows > start:
                groups.append(group)
                base = at if base is None else base
            at += rows
        at = base or 0
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=list(columns)):
            first, last = max(start - at, 0), min(stop - at, batch.num_rows)
            if first < last:
                part = batch.slice(first, last - first)
                yield {name: _column(part.column(name), name in layout.texts, names) for name in columns}
            at += batch.num_rows


def _column(array: pa.Array, is_text: bool, names: Names) -> Column:
    if not is_text:
        if pa.types.is_uint64(array.type):
            array = pc.min_element_wise(array, pa.scalar(2**63 - 1, pa.uint64()), skip_nulls=False)
        return np.asarray(pc.fill_null(array.cast(pa.int64()), NULL).to_numpy(zero_copy_only=False), dtype=np.int64)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    # One more entry than the dictionary has: the last stands for null, which is -1 from the end.
    numbers = np.array([*(names.number(text) for text in array.dictionary.to_pylist()), NULL], dtype=np.int64)
    indices = np.asarray(
        pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False), dtype=np.int64
    )
    return numbers[indices]


def _check(file: Path, schema: pa.Schema, layout: Layout) -> None:
    missing = [name for name in (*layout.integers, *layout.texts) if name not in schema.names]
    wrong = [n for n in layout.integers if n in schema.names and not pa.types.is_integer(schema.field(n).type)]
    wrong += [n for n in layout.texts if n in schema.names and not is_text(schema.field(n).type)]
    if missing or wrong:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"of the wrong type: {', '.join(f'{n} ({schema.field(n).type})' for n in wrong)}"] if wrong else []
        raise RecordingError(
            f"{file} has not the columns of this format; {'; '.join(said)}. Integers: {', '.join(layout.integers)}. "
            f"Text: {', '.join(layout.texts) or 'none'}."
        )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
