"""Exceptions of the contract.

SchemaError
├── UnknownSchemaError   the wire names a schema id that registry.json does not pin
├── CorruptRecordError   the bytes are no Confluent-framed Avro of their schema
└── RegistryError        registry.json and the .avsc files disagree
"""


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


class RegistryError(SchemaError):
    """`registry.json` and the `.avsc` files disagree."""
