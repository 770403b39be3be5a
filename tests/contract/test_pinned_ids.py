"""What `main` has pinned stays pinned: an id keeps its meaning until a new baseline begins, which is said in the file itself."""

import json
import shutil
import subprocess

import pytest

from schemas.compatibility import removed_pins
from schemas.registry import PinnedSchema, load_registry
from tests.builders.places import REPOSITORY as ROOT

REFS = ("origin/main", "main")


def registry_at(ref: str) -> str | None:
    """Text of registry.json at a git ref; none when the ref or the file is not there."""
    shown = subprocess.run(
        ["git", "-C", str(ROOT), "show", f"{ref}:schemas/registry.json"], capture_output=True, text=True, check=False
    )
    return shown.stdout if shown.returncode == 0 else None


@pytest.mark.parametrize("ref", REFS)
def test_every_id_pinned_there_is_pinned_here_with_the_same_schema(ref: str) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed: the registry of main cannot be read")
    text = registry_at(ref)
    if text is None:
        pytest.skip(f"{ref} holds no schemas/registry.json here (no such ref, or no checkout)")
    there, here = json.loads(text), load_registry()
    baseline = there.get("baseline", 1)
    assert baseline <= here.baseline, f"{ref} began a newer baseline: rebase, then pin again"
    if baseline < here.baseline:
        assert {schema.version for schema in here.by_id.values()} == {1}, (
            "a new baseline pins one version of each record"
        )
        return
    before = [PinnedSchema(r["id"], r["record"], r["version"], r["schema"]) for r in there["schemas"]]
    assert removed_pins(before, load_registry().by_id) == []
