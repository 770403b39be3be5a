"""Records to bytes and back, in Confluent's wire format: 0x00, 4-byte schema id, Avro binary.

Encoding uses the newest pinned schema of a record; decoding reads any pinned version and resolves it to the newest. A record
has exactly one encoding: equal records give equal bytes on every machine, which replay rests on.
"""

import io
import struct
from functools import cache
from typing import Any, cast

import fastavro
import msgspec

from schemas.errors import CorruptRecordError, RegistryError, UnknownSchemaError
from schemas.records import RECORDS, Record
from schemas.registry import Registry, load_registry
from schemas.words import Check, checker

MAGIC = 0
HEADER = struct.Struct(">bI")

#: What fastavro and msgspec raise on bytes that are not of their schema.
_UNFIT = (EOFError, ValueError, IndexError, TypeError, KeyError, MemoryError, OverflowError, msgspec.ValidationError)


class Codec:
    """Encoder and decoder of every record that is written to a topic."""

    def __init__(self, registry: Registry) -> None:
        parsed = {s.id: fastavro.parse_schema(s.schema, named_schemas={}) for s in registry.by_id.values()}
        self._writers: dict[type[Record], tuple[bytes, Any, Check | None]] = {}
        self._readers: dict[int, tuple[type[Record], Any, Any, Check | None]] = {}
        for schema in registry.by_id.values():
            cls = RECORDS.get(schema.record)
            if cls is None:
                raise RegistryError(f"registry.json pins {schema.record}, which schemas/records/ does not have")
            newest = registry.newest[schema.record].id
            reader = None if newest == schema.id else parsed[newest]
            self._readers[schema.id] = (cls, parsed[schema.id], reader, checker(cls))
        for name, schema in registry.newest.items():
            cls = RECORDS[name]
            self._writers[cls] = (HEADER.pack(MAGIC, schema.id), parsed[schema.id], checker(cls))

    def encode(self, record: Record) -> bytes:
        """Encode a record with its newest schema.

        Raises:
            ValueError, TypeError: when a field does not fit its schema (a programmer's error); a float or a bool where an
                integer belongs is one, because fastavro alone would cut 1.5 to 1 in silence. UnknownWordError, a ValueError,
                when a word is not in its vocabulary.
        """
        cls = type(record)
        header, schema, check = self._writers[cls]
        fields = _as_dict(record)
        msgspec.convert(fields, cls)  # types and enums, at a sixteenth of the cost of the encoding
        if check is not None:
            check(fields)
        buffer = io.BytesIO()
        buffer.write(header)
        try:
            fastavro.schemaless_writer(buffer, schema, fields)
        except OverflowError as error:
            raise ValueError(f"{cls.__name__}: an integer does not fit 64 bits: {error}") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> Record:
        """Decode to a record.

        Raises:
            UnknownSchemaError: when the schema id is not pinned.
            CorruptRecordError: when the bytes are no such record; UnknownWordError when a word is not in its vocabulary.
        """
        if len(data) < HEADER.size or data[0] != MAGIC:
            raise CorruptRecordError(f"not in the Confluent wire format: {data[:8].hex()}…, {len(data)} bytes")
        schema_id = int.from_bytes(data[1:5], "big")
        reader = self._readers.get(schema_id)
        if reader is None:
            raise UnknownSchemaError(schema_id)
        cls, writer_schema, reader_schema, check = reader
        buffer = io.BytesIO(data)
        buffer.seek(HEADER.size)
        try:
            fields: Any = fastavro.schemaless_reader(buffer, writer_schema, reader_schema)
            record = msgspec.convert(fields, cls)
        except _UNFIT as error:
            raise CorruptRecordError(f"{cls.__name__}: the bytes do not fit the schema: {error!r}") from error
        if check is not None:
            check(fields)
        if buffer.tell() != len(data):
            raise CorruptRecordError(f"{cls.__name__}: {len(data) - buffer.tell()} bytes too many")
        return record


def _as_dict(record: Record) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.to_builtins(record, builtin_types=(bytes,)))


@cache
def load_codec() -> Codec:
    """Build the codec of the pinned registry (once a process)."""
    return Codec(load_registry())
