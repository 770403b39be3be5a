"""The pinned registry: which schema id stands for which version of which record.

`registry.json` holds every schema used since its baseline, by id, so that a log written by an older version can be read. The newest
version of a record equals its file in `avro/` (a test keeps this). Ids are never reused and never drawn at run time: a record
has the same bytes on every machine.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from schemas.errors import RegistryError
from schemas.topics import TOPICS

NAMESPACE = "crossbook"


class PinnedSchema(NamedTuple):
    """One version of one record's schema."""

    id: int
    record: str
    version: int
    schema: dict[str, Any]


class Registry(NamedTuple):
    """All pinned schemas, by id, and the id that each record is written with.

    `baseline` counts how often the ids began anew (`python -m schemas.pin --baseline`). Ids are kept for as long as it stays.
    """

    by_id: Mapping[int, PinnedSchema]
    newest: Mapping[str, PinnedSchema]
    baseline: int = 1

    def versions(self, record: str) -> list[PinnedSchema]:
        """Every version of a record, oldest first; empty for an unknown record."""
        return sorted((s for s in self.by_id.values() if s.record == record), key=lambda s: s.version)


@cache
def load_registry() -> Registry:
    """Read `registry.json`.

    Raises:
        RegistryError: when the file is damaged or pins one version twice.
    """
    try:
        document = json.loads(files("schemas").joinpath("registry.json").read_text("utf-8"))
        baseline: int = document["baseline"]
        pinned = [PinnedSchema(row["id"], row["record"], row["version"], row["schema"]) for row in document["schemas"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"schemas/registry.json cannot be read: {error!r}; restore it from the repository"
        ) from error
    by_id = {schema.id: schema for schema in pinned}
    if len(by_id) != len(pinned) or len({(s.record, s.version) for s in pinned}) != len(pinned):
        raise RegistryError("schemas/registry.json pins an id or a version twice; ids are never reused")
    newest: dict[str, PinnedSchema] = {}
    for schema in sorted(pinned, key=lambda s: s.version):
        newest[schema.record] = schema
    return Registry(by_id, newest, baseline)


def read_avsc(record: str) -> dict[str, Any]:
    """Parse the contract of a record from `avro/<record>.avsc`."""
    schema: dict[str, Any] = json.loads(files("schemas").joinpath("avro", f"{record}.avsc").read_text("utf-8"))
    return schema


def subject(topic: str, record: str) -> str:
    """Name a record's subject by Confluent's TopicRecordNameStrategy."""
    return f"{topic}-{NAMESPACE}.{record}"


def pinned_subjects(prefix: str) -> dict[str, list[PinnedSchema]]:
    """Every subject of the topics under a prefix, with its versions, oldest first.

    Raises:
        RegistryError: `registry.json` is damaged.
    """
    registry = load_registry()
    return {
        subject(topic.full_name(prefix), record): registry.versions(record)
        for topic in TOPICS.values()
        for record in topic.records
    }
