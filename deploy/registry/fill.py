"""Fills a real schema registry with the pinned ids, and says where the two differ.

A stranger's registry draws ids; ours are pinned, because a record has the same bytes on every machine. So each missing version is
imported under its own id (mode IMPORT, one subject at a time), and nothing is written at all while anything that is there already
differs: an id that stands for another schema would make a reader decode garbage.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from crossbook.runtime.settings import Settings
from deploy.errors import DeployError, StackError
from schemas.compatibility import canonical_form
from schemas.errors import RegistryError
from schemas.registry import PinnedSchema, pinned_subjects

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
CALL_TIMEOUT_S = 10.0
#: Most differences named in one message.
SHOWN_MAX = 5


class RegistryDifferenceError(DeployError):
    """A schema registry holds something else than what is pinned."""


class Filled(NamedTuple):
    """What a fill did."""

    subjects: int
    present: int
    imported: int


class Comparison(NamedTuple):
    """How a registry stands to the pinned ids: versions it lacks, and differences in words."""

    present: int
    missing: list[tuple[str, PinnedSchema]]
    differences: list[str]


def compare_registry(url: str, settings: Settings) -> Comparison:
    """Hold a registry against the pinned ids; it is only read.

    Raises:
        StackError: the registry cannot be reached or answers nonsense.
    """
    with _client(url) as client:
        return _compare(client, settings.kafka.prefix)


def fill_registry(url: str, settings: Settings) -> Filled:
    """Import every pinned version that a registry lacks, under its pinned id.

    Raises:
        RegistryDifferenceError: it holds something else under one of our subjects or ids; nothing was written.
        StackError: it cannot be reached, or refused.
    """
    prefix = settings.kafka.prefix
    with _client(url) as client:
        found = _compare(client, prefix)
        _refuse_differences(url, found.differences)
        by_subject: dict[str, list[PinnedSchema]] = {}
        for name, schema in found.missing:
            by_subject.setdefault(name, []).append(schema)
        for name, versions in by_subject.items():
            with _importing(client, name):
                for schema in versions:
                    body = {"schema": json.dumps(schema.schema), "version": schema.version, "id": schema.id}
                    _call(client, "POST", f"/subjects/{quote(name, safe='')}/versions", body)
            _call(client, "PUT", f"/config/{quote(name, safe='')}", {"compatibility": "FULL_TRANSITIVE"})
        after = _compare(client, prefix)
        _refuse_differences(url, [*after.differences, *(f"{name} was not taken" for name, _ in after.missing)])
    return Filled(len(pinned_subjects(prefix)), found.present, len(found.missing))


def _refuse_differences(url: str, differences: list[str]) -> None:
    if differences:
        more = f" and {len(differences) - SHOWN_MAX} more" if len(differences) > SHOWN_MAX else ""
        raise RegistryDifferenceError(
            f"the registry at {url} differs from the pinned ids: {'; '.join(differences[:SHOWN_MAX])}{more}; "
            "use an empty registry, or another one than the one those ids were drawn by"
        )


@contextmanager
def _importing(client: httpx.Client, name: str) -> Iterator[None]:
    """Put one subject in mode IMPORT, in which a given id is taken as it is, and take the mode back whatever happens."""
    path = f"/mode/{quote(name, safe='')}"
    _call(client, "PUT", f"{path}?force=true", {"mode": "IMPORT"})
    try:
        yield
    finally:
        _call(client, "DELETE", path)


def _compare(client: httpx.Client, prefix: str) -> Comparison:
    present = 0
    missing: list[tuple[str, PinnedSchema]] = []
    differences: dict[str, None] = {}
    held: dict[int, str | None] = {}
    for name, versions in pinned_subjects(prefix).items():
        for schema in versions:
            if schema.id not in held:
                held[schema.id] = _form(_get(client, f"/schemas/ids/{schema.id}"))
            if held[schema.id] not in {None, canonical_form(schema.schema)}:
                differences[f"id {schema.id} is not {schema.record} version {schema.version}"] = None
            there = _get(client, f"/subjects/{quote(name, safe='')}/versions/{schema.version}")
            if there is None:
                missing.append((name, schema))
            elif there.get("id") != schema.id or _form(there) != canonical_form(schema.schema):
                differences[f"{name} version {schema.version} has id {there.get('id')}, pinned is {schema.id}"] = None
            else:
                present += 1
    return Comparison(present, missing, list(differences))


def _form(body: dict[str, Any] | None) -> str | None:
    if body is None:
        return None
    try:
        return canonical_form(json.loads(body["schema"]))
    except (ValueError, KeyError, TypeError, RegistryError):
        return "no Avro schema"


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url.rstrip("/"), timeout=CALL_TIMEOUT_S, headers={"Content-Type": MEDIA_TYPE})


def _get(client: httpx.Client, path: str) -> dict[str, Any] | None:
    """Read one object; nothing when the registry does not have it."""
    return _call(client, "GET", path, absent={40401, 40402, 40403})


def _call(
    client: httpx.Client,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    absent: frozenset[int] | set[int] = frozenset(),
) -> dict[str, Any] | None:
    try:
        response = client.request(method, path, content=None if body is None else json.dumps(body))
        answer = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise StackError(
            f"no schema registry answers at {client.base_url}: {error!r}; check the address and that it is up"
        ) from error
    if not isinstance(answer, dict):
        answer = {}
    if response.is_success:
        return answer
    if response.status_code == httpx.codes.NOT_FOUND and answer.get("error_code") in absent:
        return None
    raise StackError(
        f"the schema registry at {client.base_url} refused {method} {path}: "
        f"{response.status_code} {answer.get('message', '')}"
    )
