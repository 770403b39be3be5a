"""Encodes many records at once: the bytes of `schemas/codec.py`, by columns, several times as fast.

Decides which records are worth it: those of a flat schema that come in numbers; the codec itself writes all others. Must never give
other bytes than the codec: a test holds every record against it.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from msgspec.structs import astuple

from crossbook.log.archive.columns import RecordColumns
from crossbook.log.archive.rows import without_collector
from schemas.codec import Codec
from schemas.records import Record
from schemas.registry import load_registry
from schemas.words import check_words, word_fields

#: Fewer records of one kind are encoded one by one: a column costs some microseconds to set up.
MANY: Final = 64


class ManyEncoder:
    """Encodes lists of records, in their order."""

    def __init__(self, codec: Codec) -> None:
        self._encode = codec.encode
        self._columns: dict[type[Record], RecordColumns | None] = {}

    def __call__(self, records: Sequence[Record]) -> list[bytes]:
        """Value bytes of each record. Raises what the codec raises for a field that does not fit."""
        kinds: dict[type[Record], list[int]] = defaultdict(list)
        for place, record in enumerate(records):
            kinds[type(record)].append(place)
        found: list[bytes] = [b""] * len(records)
        for kind, places in kinds.items():
            columns = self._columns_of(kind) if len(places) >= MANY else None
            same = [records[place] for place in places]
            values = [self._encode(one) for one in same] if columns is None else _by_columns(columns, same)
            for place, value in zip(places, values, strict=True):
                found[place] = value
        return found

    def _columns_of(self, kind: type[Record]) -> RecordColumns | None:
        if kind not in self._columns:
            pinned = load_registry().newest[kind.__name__]
            columns = RecordColumns(pinned.id, pinned.schema)
            flat = not any(_holds_struct(field.type) for field in columns.schema)
            self._columns[kind] = columns if flat else None
        return self._columns[kind]


def _holds_struct(kind: Any) -> bool:
    return bool(pa.types.is_struct(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)))


def _by_columns(columns: RecordColumns, records: Sequence[Record]) -> list[bytes]:
    # Field by field would ask each record by name; a tuple of each, turned round, costs a third of that.
    with without_collector():
        turned = zip(*map(astuple, records), strict=True)
        kind = type(records[0])
        values = dict(zip(kind.__struct_fields__, turned, strict=True))
    for word in word_fields(kind):
        check_words(kind.__name__, word, set(values[word.name]))
    arrays = [pa.array(values[field.name], _plain(field.type)) for field in columns.schema]
    batch = pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)
    octets, bounds = columns.encode(batch)
    data, cuts = octets.tobytes(), bounds.tolist()
    return [data[begin:end] for begin, end in itertools.pairwise(cuts)]


def _plain(kind: Any) -> Any:
    """The type to build an array with: texts of a dictionary as texts."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
