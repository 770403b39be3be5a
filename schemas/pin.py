"""Pin changed schemas: `python -m schemas.pin` (`--check` only says what it would do, exit code 1 when there is something).

When to run it: after an `.avsc` file in `avro/` was changed or added, together with its class in `records/`. It appends the
changed schema to `registry.json` as the record's next version, under the next free id, and from then on the codec writes that
version. What is pinned already is never edited, renumbered or removed: bytes of that id may stand in a log. A version that is
not FULL_TRANSITIVE compatible with all earlier ones is refused; give a new field a default, or name a new record.

`--baseline` begins anew: one version of each record, ids from 1, and `baseline` in the file counts one up. No log of before can
be read after that, so it is for a break that was decided on, never for convenience.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from schemas.compatibility import compatibility_problems
from schemas.errors import RegistryError
from schemas.records import RECORDS
from schemas.registry import PinnedSchema, Registry, load_registry, read_avsc

REGISTRY_FILE = Path(__file__).with_name("registry.json")


def missing_pins(
    registry: Registry, records: Iterable[str], read: Callable[[str], dict[str, Any]]
) -> list[PinnedSchema]:
    """Return what must be appended so that each record's newest version equals its contract.

    Raises:
        RegistryError: a changed schema is not compatible with a pinned one, or goes back to an older version.
    """
    next_id = max(registry.by_id, default=0) + 1
    added: list[PinnedSchema] = []
    for record in records:
        versions = registry.versions(record)
        schema = read(record)
        if versions and versions[-1].schema == schema:
            continue
        for old in versions:
            if old.schema == schema:
                raise RegistryError(
                    f"{record}.avsc equals version {old.version} again, and a schema is pinned once; "
                    "say in its doc why it came back"
                )
        new = PinnedSchema(next_id, record, versions[-1].version + 1 if versions else 1, schema)
        if problems := compatibility_problems([*versions, new]):
            raise RegistryError("; ".join(problems) + "; give new fields a default and keep the old ones")
        added.append(new)
        next_id += 1
    return added


def render(pinned: Iterable[PinnedSchema], baseline: int) -> str:
    """Text of `registry.json`: the baseline, then one schema a line, in the order of their ids."""
    rows = (
        json.dumps({"id": s.id, "record": s.record, "version": s.version, "schema": s.schema}, ensure_ascii=False)
        for s in sorted(pinned, key=lambda s: s.id)
    )
    return f'{{"baseline": {baseline}, "schemas": [\n' + ",\n".join(rows) + "\n]}\n"


def main(argv: list[str] | None = None) -> int:
    """Append what changed; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.pin", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would be pinned")
    parser.add_argument("--baseline", action="store_true", help="begin anew: no log of before can be read any more")
    asked = parser.parse_args(argv)
    check: bool = asked.check
    try:
        registry = load_registry()
        if asked.baseline:
            registry = Registry({}, {}, registry.baseline + 1)
        added = missing_pins(registry, RECORDS, read_avsc)
    except RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for schema in added:
        print(f"{schema.record} version {schema.version} {'would get' if check else 'gets'} id {schema.id}")
    if added and not check:
        draft = REGISTRY_FILE.with_suffix(".json.tmp")
        draft.write_text(render([*registry.by_id.values(), *added], registry.baseline), "utf-8")
        draft.replace(REGISTRY_FILE)
    return int(check and bool(added))


if __name__ == "__main__":
    sys.exit(main())
