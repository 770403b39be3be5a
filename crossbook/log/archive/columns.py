"""Avro records as Arrow columns and back, many at a time: `RecordColumns(schema)` for the values of one schema.

Decides which Arrow type a field has (long int64, int int32, string, bytes, enum a dictionary of its symbols, arrays lists, records
structs, a union with null a nullable column). `decode` says of each value whether it could be read; it must never raise on
garbage, and never guess: whoever must lose nothing encodes again and compares (`write.py` does). `encode` gives exactly the
bytes that `schemas.codec` gives for the same record.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossbook.log.archive.varints import (
    HEADS,
    PAD,
    LongPlan,
    Longs,
    Octets,
    Sink,
    Source,
    as_longs,
    put_words,
    read_longs,
    sink_of,
    source_of,
    words_of,
)

#: Magic byte and schema id.
HEADER_BYTES: Final = 5
#: A value above this that holds arrays is kept raw: its claimed number of items could cost minutes.
VALUE_BYTES_MAX: Final = 262_144
#: A string view holds up to this many bytes itself.
_INLINE: Final = 12


class Plan(Protocol):
    """A column on its way to bytes: how many each value takes, and then where they go."""

    @property
    def sizes(self) -> Longs: ...

    def put(self, sink: Sink, at: Longs) -> None: ...


class Column(Protocol):
    """One type of the schema: reads at cursors and returns the cursors behind, poisoned where it is not of this type."""

    arrow: pa.DataType

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]: ...

    def plan(self, array: Any) -> Plan: ...


class _Integer:
    def __init__(self, arrow: pa.DataType) -> None:
        self.arrow = arrow

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        values, cursor = read_longs(source, cursor)
        return pa.array(values.astype(self.arrow.to_pandas_dtype(), copy=False)), cursor

    def plan(self, array: Any) -> Plan:
        return LongPlan(as_longs(array.to_numpy(zero_copy_only=False)))


class _BytePlan:
    def __init__(self, values: Octets) -> None:
        self._values = values
        self.sizes: Longs = np.ones(values.size, np.int64)

    def put(self, sink: Sink, at: Longs) -> None:
        sink.octets[at] = self._values


class _Boolean:
    arrow = pa.bool_()

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        return pa.array(source.octets[cursor] != 0), np.minimum(cursor + 1, source.poison)

    def plan(self, array: Any) -> Plan:
        return _BytePlan(array.to_numpy(zero_copy_only=False).astype(np.uint8))


class _Enum:
    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = pa.array(symbols, pa.string())
        self._numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self.arrow = pa.dictionary(pa.int8(), pa.string())

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        values, cursor = read_longs(source, cursor)
        if values.size and (values.min() < 0 or values.max() >= len(self._symbols)):
            wrong = (values < 0) | (values >= len(self._symbols))
            values = np.where(wrong, 0, values)
            cursor = np.where(wrong, source.poison, cursor)
        return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), self._symbols), cursor

    def plan(self, array: Any) -> Plan:
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        numbers = np.array([self._numbers[symbol] for symbol in array.dictionary.to_pylist()] or [0], np.int64)
        return LongPlan(numbers.take(array.indices.to_numpy(zero_copy_only=False)))


class _TextPlan:
    """Bytes of strings, taken from where they stand in Arrow's memory."""

    def __init__(self, octets: Octets, starts: Longs, lengths: Longs) -> None:
        self._words = words_of(octets)
        self._starts = starts
        self._lengths = lengths
        self._head = LongPlan(lengths)
        self.sizes: Longs = self._head.sizes + lengths

    def put(self, sink: Sink, at: Longs) -> None:
        self._head.put(sink, at)
        at = at + self._head.sizes
        starts, left = self._starts, self._lengths
        longest = int(left.max()) if left.size else 0
        for done in range(0, longest, 8):
            if (short := left <= done).any():
                keep = np.flatnonzero(~short)
                at, starts, left = at[keep], starts[keep], left[keep]
            word = self._words[starts + done]
            if left.min() < done + 8:
                word &= HEADS.take(np.minimum(left - done, 8))
            put_words(sink, at + done, word)


class _Text:
    def __init__(self, arrow: pa.DataType) -> None:
        self.arrow = arrow

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        lengths, cursor = read_longs(source, cursor)
        if lengths.size and (lengths.min() < 0 or (lengths > source.poison - 1 - cursor).any()):
            wrong = (lengths < 0) | (lengths > source.poison - 1 - cursor)
            lengths = np.where(wrong, 0, lengths)
            cursor = np.where(wrong, source.poison, cursor)
        raw = _views(source, cursor, lengths).cast(pa.binary())
        cursor = cursor + lengths
        if self.arrow == pa.binary():
            return raw, cursor
        try:
            return raw.cast(pa.string()), cursor
        except pa.ArrowInvalid:
            texts = [_text(value) for value in raw.to_pylist()]
            wrong = np.array([text is None for text in texts])
            return pa.array([text or "" for text in texts], pa.string()), np.where(wrong, source.poison, cursor)

    def plan(self, array: Any) -> Plan:
        indices = None
        if pa.types.is_dictionary(array.type):
            indices = as_longs(array.indices.to_numpy(zero_copy_only=False))
            array = array.dictionary
        _, bounds, data = array.buffers()
        ends = np.frombuffer(bounds, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
        octets = np.frombuffer(data or b"", np.uint8)[: int(ends[-1])]
        padded = np.concatenate([octets, np.zeros(PAD, np.uint8)])
        starts, lengths = ends[:-1], np.diff(ends)
        if indices is not None:
            starts, lengths = starts.take(indices), lengths.take(indices)
        return _TextPlan(padded, starts, lengths)


def _views(source: Source, cursor: Longs, lengths: Longs) -> Any:
    """An Arrow array that points into the source: up to 12 bytes stand in the view itself, more are named by their place."""
    views = np.empty((cursor.size, 2), np.uint64)
    size = lengths.astype(np.uint64)
    head = source.words[cursor] & np.uint64(0xFFFF_FFFF)
    tail = cursor.astype(np.uint64) << np.uint64(32)
    if (short := np.flatnonzero(lengths <= _INLINE)).size:
        counts = lengths[short]
        head[short] &= HEADS.take(np.minimum(counts, 4))
        tail[short] = source.words[cursor[short] + 4] & HEADS.take(np.maximum(counts - 4, 0))
    views[:, 0] = size | head << np.uint64(32)
    views[:, 1] = tail
    buffers = [None, pa.py_buffer(views), pa.py_buffer(source.octets)]
    return pa.Array.from_buffers(pa.binary_view(), cursor.size, buffers)


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


class _OptionalPlan:
    def __init__(self, present: NDArray[np.bool_], branches: tuple[int, int], inner: Plan) -> None:
        null, value = (2 * number for number in branches)  # zigzag
        self._rows = np.flatnonzero(present)
        self._branch = np.where(present, value, null).astype(np.uint8)
        self._inner = inner
        self.sizes: Longs = np.ones(present.size, np.int64)
        self.sizes[self._rows] += inner.sizes

    def put(self, sink: Sink, at: Longs) -> None:
        sink.octets[at] = self._branch
        self._inner.put(sink, at[self._rows] + 1)


class _Optional:
    """A union of null and one other type; `branches` are the numbers of null and of the other."""

    def __init__(self, inner: Column, branches: tuple[int, int]) -> None:
        self._inner = inner
        self._branches = branches
        self.arrow = inner.arrow

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        null, value = self._branches
        branch, cursor = read_longs(source, cursor)
        present = branch == value
        rows = np.flatnonzero(present)
        if rows.size == present.size:
            return self._inner.decode(source, cursor)
        if not ((branch == null) | present).all():
            cursor = np.where((branch == null) | present, cursor, source.poison)
        if not rows.size:
            return pa.nulls(present.size, self.arrow), cursor
        found, behind = self._inner.decode(source, cursor[rows])
        cursor[rows] = behind
        places = np.cumsum(present) - 1
        return found.take(pa.array(places, mask=~present)), cursor

    def plan(self, array: Any) -> Plan:
        present = array.is_valid().to_numpy(zero_copy_only=False)
        return _OptionalPlan(present, self._branches, self._inner.plan(array.drop_null()))


class _ListPlan:
    """Lists as one block: number of items, the items, a zero; an empty list is the zero alone."""

    def __init__(self, counts: Longs, inner: Plan) -> None:
        self._counts = counts
        self._inner = inner
        self._head = LongPlan(counts)
        self._before = np.concatenate([[0], np.cumsum(inner.sizes)])
        self._ends = np.cumsum(counts)
        self.sizes: Longs = (
            self._head.sizes + self._before[self._ends] - self._before[self._ends - counts] + (counts > 0)
        )

    def put(self, sink: Sink, at: Longs) -> None:
        self._head.put(sink, at)
        if self._before.size == 1:
            return
        shift = at + self._head.sizes - self._before[self._ends - self._counts]
        self._inner.put(sink, np.repeat(shift, self._counts) + self._before[:-1])


class _List:
    def __init__(self, inner: Column) -> None:
        self._inner = inner
        self.arrow = pa.list_(pa.field("element", inner.arrow, nullable=False))

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        counts, cursor = read_longs(source, cursor)
        if counts.size and (counts.min() < 0 or counts.max() > source.longest):
            wrong = (counts < 0) | (
                counts > source.longest
            )  # a block with its size, which nobody here writes, or garbage
            counts = np.where(wrong, 0, counts)
            cursor = np.where(wrong, source.poison, cursor)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.flatnonzero(counts)
        found: list[Any] = []
        places: list[Longs] = []
        at, number = cursor[rows], 0
        while rows.size:
            items, at = self._inner.decode(source, at)
            found.append(items)
            places.append(offsets[rows] + number)
            number += 1
            if (ended := counts[rows] == number).any():
                over, behind = rows[ended], at[ended]
                cursor[over] = np.where(
                    source.octets[behind] == 0, np.minimum(behind + 1, source.poison), source.poison
                )
                rows, at = rows[~ended], at[~ended]
        bounds = pa.array(offsets.astype(np.int32))
        return pa.ListArray.from_arrays(bounds, self._ordered(found, places), type=self.arrow), cursor

    def _ordered(self, found: Sequence[Any], places: Sequence[Longs]) -> Any:
        if not found:
            return pa.array([], self._inner.arrow)
        if len(found) == 1:
            return found[0]
        order = np.concatenate(places)
        inverse = np.empty_like(order)
        inverse[order] = np.arange(order.size)
        return pa.concat_arrays(found).take(pa.array(inverse))

    def plan(self, array: Any) -> Plan:
        counts = as_longs(np.diff(array.offsets.to_numpy()))
        return _ListPlan(counts, self._inner.plan(array.flatten()))


class _StructPlan:
    def __init__(self, plans: Sequence[Plan], rows: int, head: int = 0) -> None:
        self._plans = plans
        self._head = head
        self.sizes: Longs = np.full(rows, head, np.int64)
        for plan in plans:
            self.sizes += plan.sizes

    def put(self, sink: Sink, at: Longs) -> None:
        at = at + self._head
        for plan in self._plans:
            plan.put(sink, at)
            at = at + plan.sizes


class _Struct:
    def __init__(self, fields: Mapping[str, tuple[Column, bool]]) -> None:
        self.columns = {name: column for name, (column, _) in fields.items()}
        self.fields = [pa.field(name, column.arrow, nullable) for name, (column, nullable) in fields.items()]
        self.arrow = pa.struct(self.fields)

    def arrays(self, source: Source, cursor: Longs) -> tuple[list[Any], Longs]:
        found: list[Any] = []
        for column in self.columns.values():
            array, cursor = column.decode(source, cursor)
            found.append(array)
        return found, cursor

    def decode(self, source: Source, cursor: Longs) -> tuple[Any, Longs]:
        found, cursor = self.arrays(source, cursor)
        return pa.StructArray.from_arrays(found, fields=self.fields), cursor

    def plan(self, array: Any) -> Plan:
        plans = [column.plan(array.field(number)) for number, column in enumerate(self.columns.values())]
        return _StructPlan(plans, len(array))


_PRIMITIVES: Final[Mapping[str, Column]] = {
    "long": _Integer(pa.int64()),
    "int": _Integer(pa.int32()),
    "string": _Text(pa.string()),
    "bytes": _Text(pa.binary()),
    "boolean": _Boolean(),
}


def _compile(avro: Any, named: dict[str, Column]) -> tuple[Column, bool]:
    """A column for an Avro type, and whether it may be null. Raises ValueError for a type that has none."""
    match avro:
        case str() if avro in _PRIMITIVES:
            return _PRIMITIVES[avro], False
        case str() if avro in named:
            return named[avro], False
        case [first, second] if "null" in (first, second) and first != second:
            null, other = (0, 1) if first == "null" else (1, 0)
            inner, nullable = _compile(avro[other], named)
            if nullable:
                raise ValueError(f"a union within a union: {avro}")
            return _Optional(inner, (null, other)), True
        case {"type": "array", "items": items}:
            inner, nullable = _compile(items, named)
            if nullable:
                raise ValueError(f"an array of nullable items: {avro}")
            return _List(inner), False
        case {"type": "enum", "symbols": symbols, "name": name}:
            column: Column = _Enum(symbols)
        case {"type": "record", "fields": fields, "name": name}:
            column = _Struct({field["name"]: _compile(field["type"], named) for field in fields})
        case {"type": str() as inner_type} if inner_type in _PRIMITIVES:
            return _PRIMITIVES[inner_type], False
        case _:
            raise ValueError(f"no column stands for the Avro type {avro}")
    named[name] = column
    return column, False


class Decoded(NamedTuple):
    """`columns` of the values that could be read, in order, and which those are."""

    columns: Any
    readable: NDArray[np.bool_]


class RecordColumns:
    """Values of one pinned schema as an Arrow record batch, and back."""

    def __init__(self, schema_id: int, schema: Mapping[str, Any]) -> None:
        """Raises ValueError when the schema holds a type that has no column."""
        column, _ = _compile(schema, {})
        if not isinstance(column, _Struct):
            raise ValueError(f"schema {schema_id} is no record")  # noqa: TRY004 - the schema is wrong, not its type
        self._struct = column
        self._id = schema_id
        self.schema = pa.schema(column.fields)
        self._has_lists = any(pa.types.is_nested(field.type) for field in column.fields)

    def decode(self, data: bytes, starts: Longs, ends: Longs) -> Decoded:
        """Columns of the values that stand in `data` (with their headers, which must name this schema)."""
        sizes = ends - starts
        source = source_of(data, min(int(sizes.max(initial=0)), VALUE_BYTES_MAX))
        begin = starts + HEADER_BYTES
        if self._has_lists:
            begin = np.where(sizes > VALUE_BYTES_MAX, source.poison, begin)
        arrays, cursor = self._struct.arrays(source, begin)
        readable = cursor == ends
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return Decoded(batch if readable.all() else batch.filter(pa.array(readable)), readable)

    def encode(self, batch: Any) -> tuple[Octets, Longs]:
        """Bytes of all values behind each other, headers included, and the offsets between them."""
        plans = [column.plan(batch.column(name)) for name, column in self._struct.columns.items()]
        whole = _StructPlan(plans, batch.num_rows, HEADER_BYTES)
        bounds = np.concatenate([[0], np.cumsum(whole.sizes)])
        sink = sink_of(int(bounds[-1]))
        at = bounds[:-1]
        for place, octet in enumerate(self._id.to_bytes(4, "big"), 1):
            if octet:
                sink.octets[at + place] = octet
        whole.put(sink, at)
        return sink.octets[: bounds[-1]], bounds
