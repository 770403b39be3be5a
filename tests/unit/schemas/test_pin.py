"""Pinning appends, and never edits what stands."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas import pin
from schemas.errors import RegistryError
from schemas.registry import PinnedSchema, Registry, load_registry, read_avsc


def registry_of(*pinned: PinnedSchema) -> Registry:
    newest: dict[str, PinnedSchema] = {}
    for schema in sorted(pinned, key=lambda s: s.version):
        newest[schema.record] = schema
    return Registry({s.id: s for s in pinned}, newest)


def grown(record: str, *, compatible: bool) -> dict[str, Any]:
    schema = deepcopy(read_avsc(record))
    added: dict[str, Any] = {"name": "added", "type": ["null", "long"], "doc": "New; null when unknown."}
    schema["fields"].append({**added, "default": None} if compatible else added)
    return schema


FILL = PinnedSchema(7, "Fill", 1, read_avsc("Fill"))
FIRST = registry_of(FILL, PinnedSchema(3, "PairRevoked", 1, read_avsc("PairRevoked")))


def test_nothing_changed_pins_nothing() -> None:
    assert pin.missing_pins(FIRST, ["Fill", "PairRevoked"], read_avsc) == []


def test_a_changed_record_gets_the_next_version_and_a_new_id() -> None:
    new = grown("Fill", compatible=True)
    assert pin.missing_pins(FIRST, ["Fill"], lambda _: new) == [PinnedSchema(8, "Fill", 2, new)]


def test_new_records_get_ids_in_order() -> None:
    added = pin.missing_pins(FIRST, ["Watermark", "Fill", "Checkpoint"], read_avsc)
    assert [(s.id, s.record, s.version) for s in added] == [(8, "Watermark", 1), (9, "Checkpoint", 1)]


def test_a_breaking_change_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"version 2 cannot read version 1.*default"):
        pin.missing_pins(FIRST, ["Fill"], lambda _: grown("Fill", compatible=False))


def test_a_way_back_is_refused() -> None:
    both = registry_of(FILL, PinnedSchema(8, "Fill", 2, grown("Fill", compatible=True)))
    with pytest.raises(RegistryError, match="equals version 1 again"):
        pin.missing_pins(both, ["Fill"], read_avsc)


def test_render_is_one_line_a_schema_in_the_order_of_ids() -> None:
    text = pin.render(FIRST.by_id.values(), 3)
    assert [json.loads(line.rstrip(","))["id"] for line in text.splitlines()[1:-1]] == [3, 7]
    assert json.loads(text)["schemas"][1] == {"id": 7, "record": "Fill", "version": 1, "schema": FILL.schema}


def test_command_appends_and_leaves_every_old_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "registry.json"
    before = pin.REGISTRY_FILE.read_text("utf-8")
    file.write_text(before, "utf-8")
    monkeypatch.setattr(pin, "REGISTRY_FILE", file)
    new = grown("Fill", compatible=True)
    monkeypatch.setattr(pin, "read_avsc", lambda record: new if record == "Fill" else read_avsc(record))
    next_id = max(load_registry().by_id) + 1

    assert pin.main(["--check"]) == 1
    assert file.read_text("utf-8") == before, "--check writes nothing"
    assert pin.main([]) == 0
    assert f"gets id {next_id}" in capsys.readouterr().out
    lines, old = file.read_text("utf-8").splitlines(), before.splitlines()
    assert [line.rstrip(",") for line in lines[:-2]] == [line.rstrip(",") for line in old[:-1]]
    assert json.loads(lines[-2])["id"] == next_id
    assert list(tmp_path.iterdir()) == [file]


def test_command_says_why_it_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = grown("Fill", compatible=False)
    monkeypatch.setattr(pin, "read_avsc", lambda record: broken if record == "Fill" else read_avsc(record))
    assert pin.main([]) == 1
    assert "give new fields a default" in capsys.readouterr().err
