"""Whether two versions of a record can read each other, by the rules of Avro's schema resolution.

The law is FULL_TRANSITIVE: every pinned version of a record reads what every other one wrote, in both directions, so that an old
reader survives a new writer and a log of any age stays readable. The rules themselves are those of Apache's own `avro` package.
This module only compares; it never changes the registry and never reads a file.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import avro.schema
import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from fastavro.schema import SchemaParseException, to_parsing_canonical_form

from schemas.errors import RegistryError
from schemas.registry import PinnedSchema


def reading_problems(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> list[str]:
    """Say why data of the writer's schema cannot be read with the reader's; empty when it can.

    Raises:
        RegistryError: one of the two is no valid Avro schema.
    """
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # its __init__ has no annotations
    result = checker.get_compatibility(_parse(reader), _parse(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    reasons = sorted(result.messages) or ["not compatible"]
    kinds = sorted({kind.value for kind in result.incompatibilities})
    return [f"{', '.join(kinds)} at {', '.join(sorted(result.locations))}: {'; '.join(reasons)}"]


def compatibility_problems(versions: Sequence[PinnedSchema]) -> list[str]:
    """Check the versions of one record against each other, both ways; empty when FULL_TRANSITIVE holds.

    Raises:
        RegistryError: a version is no valid Avro schema.
    """
    return [
        f"{reader.record}: version {reader.version} cannot read version {writer.version}: {problem}"
        for reader, writer in permutations(versions, 2)
        for problem in reading_problems(reader.schema, writer.schema)
    ]


def removed_pins(before: Sequence[PinnedSchema], now: Mapping[int, PinnedSchema]) -> list[str]:
    """Compare an earlier registry with the present one: every id must still stand for the same schema."""
    return [
        f"id {old.id} ({old.record} version {old.version}) "
        + ("is no longer pinned" if old.id not in now else "stands for another schema now")
        for old in before
        if now.get(old.id) != old
    ]


def canonical_form(schema: Mapping[str, Any]) -> str:
    """Avro's parsing canonical form: equal forms mean that equal bytes say the same.

    Raises:
        RegistryError: it is no valid Avro schema.
    """
    try:
        return to_parsing_canonical_form(fastavro.parse_schema(dict(schema), named_schemas={}, _force=True))
    except (SchemaParseException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(f"no valid Avro schema: {error!r}") from error


def _parse(schema: Mapping[str, Any]) -> avro.schema.Schema:
    try:
        return avro.schema.parse(json.dumps(schema))
    except AvroException as error:
        raise RegistryError(f"{schema.get('name')} is no valid Avro schema: {error}; mend its .avsc file") from error
