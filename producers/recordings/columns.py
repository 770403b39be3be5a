"""Recorded columns: Parquet files opened, checked and read in batches, in the order of time.

Decides which files of a folder belong to a recording, whether their columns are the expected ones, and in which order their
blocks are read: a block is an unbroken run of rows of one key (a market, a session), blocks follow each other by their first
stamp. It must never hold more than a batch of a file in memory, and never change the order of rows within a block.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from producers.errors import RecordingError

BATCH_ROWS = 65_536
#: Stands for a null; no time, price, size or number of a venue is this far below zero.
NULL = int(np.iinfo(np.int64).min)
#: Stamps of a recording, Unix ms, lie below the year 2286: their ns fit 63 bits.
MS_MAX = 9_223_372_036_854

Column: TypeAlias = NDArray[np.int64]
#: Columns of a batch by name; texts are numbers of `Names`.
Columns: TypeAlias = dict[str, Column]


class Layout(NamedTuple):
    """Columns that a file must have; further ones are ignored."""

    integers: tuple[str, ...]
    texts: tuple[str, ...] = ()


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
        RecordingError: it cannot be read, or lacks one of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise RecordingError(f"{path} has no column {', '.join(missing)}")
            return [{name: text or "" for name, text in row.items() if name is not None} for row in reader]
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path} is no CSV file: {error}") from error


def survey_blocks(
    file: Path, layout: Layout, keys: Sequence[str], stamp: str, instead: str, names: Names
) -> list[Block]:
    """Blocks of a file, as they stand in it; a row without `stamp` counts by its column `instead`.

    Raises:
        RecordingError: no Parquet, or columns are missing or of the wrong type.
    """
    blocks: list[Block] = []
    at = 0
    for batch in _batches(file, layout, names, 0, None, tuple(dict.fromkeys((*keys, stamp, instead)))):
        rows = len(batch[stamp])
        stamps = np.where(batch[stamp] == NULL, batch[instead], batch[stamp])
        table = np.stack([batch[name] for name in keys]) if keys else np.zeros((1, rows), dtype=np.int64)
        cuts = [0, *(np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0)) + 1).tolist(), rows]
        for start, end in pairwise(cuts):
            key = tuple(table[:, start].tolist())
            first_ms, last_ms = int(stamps[start:end].min()), int(stamps[start:end].max())
            if blocks and blocks[-1].key == key:
                before = blocks.pop()
                blocks.append(
                    Block(
                        file, before.start, at + end, key, min(first_ms, before.first_ms), max(last_ms, before.last_ms)
                    )
                )
            else:
                blocks.append(Block(file, at + start, at + end, key, first_ms, last_ms))
        at += rows
    return blocks


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


def joined(first: Columns | None, second: Columns) -> Columns:
    """Rows of two batches."""
    if first is None:
        return second
    return {name: np.concatenate((column, second[name])) for name, column in first.items()}


def _batches(
    file: Path, layout: Layout, names: Names, start: int, end: int | None, columns: Sequence[str]
) -> Iterator[Columns]:
    try:
        parquet = pq.ParquetFile(file, read_dictionary=list(layout.texts))
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error}") from error
    except pa.ArrowInvalid as error:
        raise RecordingError(f"{file} is no Parquet file: {error}") from error
    with parquet:
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
