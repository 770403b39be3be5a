"""Exceptions of the contract.

SchemaError
├── UnknownSchemaError   the wire names a schema id that registry.json does not pin
├── CorruptRecordError   the bytes are no Confluent-framed Avro of their schema
│   └── UnknownWordError a field holds a word that its vocabulary does not have (a ValueError too)
└── RegistryError        registry.json and the .avsc files disagree
"""

from collections.abc import Iterable


class SchemaError(Exception):
    """Base of every error of the contract."""


class UnknownSchemaError(SchemaError):
    """The wire names a schema id that `registry.json` does not pin."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(
            f"schema id {schema_id} is not pinned in schemas/registry.json: written by another version or by a stranger"
        )
        self.schema_id = schema_id


class CorruptRecordError(SchemaError):
    """The bytes are no Confluent-framed Avro record of the schema that they name."""


class UnknownWordError(CorruptRecordError, ValueError):
    """A field of a record holds a word that its vocabulary does not have: read or written, the record is refused."""

    def __init__(self, record: str, field: str, word: object, vocabulary: str, known: Iterable[str]) -> None:
        super().__init__(f"{record}.{field}: no {vocabulary} is called {word!r}; known are {', '.join(known)}")
        self.record = record
        self.field = field
        self.word = word
        self.vocabulary = vocabulary


class RegistryError(SchemaError):
    """`registry.json` and the `.avsc` files disagree."""
