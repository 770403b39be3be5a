"""Reader and writer rules: what may change in a record, and what must not."""

from copy import deepcopy
from typing import Any

import pytest

from schemas.compatibility import canonical_form, compatibility_problems, reading_problems, removed_pins
from schemas.errors import RegistryError
from schemas.registry import PinnedSchema, load_registry, read_avsc


def changed(record: str, field: str, **change: Any) -> dict[str, Any]:
    """The schema of a record with one field changed; a value of None takes the attribute away."""
    schema = deepcopy(read_avsc(record))
    found = next(f for f in schema["fields"] if f["name"] == field)
    found.update(change)
    for name in [name for name, value in change.items() if value is ...]:
        del found[name]
    return schema


def without(record: str, field: str) -> dict[str, Any]:
    schema = deepcopy(read_avsc(record))
    schema["fields"] = [f for f in schema["fields"] if f["name"] != field]
    return schema


def with_field(record: str, **field: Any) -> dict[str, Any]:
    schema = deepcopy(read_avsc(record))
    schema["fields"].append({"name": "added", "doc": "New.", **field})
    return schema


def problems(record: str, schema: dict[str, Any]) -> list[str]:
    return compatibility_problems([PinnedSchema(1, record, 1, read_avsc(record)), PinnedSchema(90, record, 2, schema)])


SIDE_MORE = {"type": "enum", "name": "Side", "symbols": ["buy", "sell", "short"]}

ALLOWED = {
    "a nullable field with a default": with_field("Fill", type=["null", "long"], default=None),
    "a field with a plain default": with_field("Fill", type="string", default=""),
    "another doc": changed("Fill", "role", doc="Said better."),
    "another place of a field": {**read_avsc("Fill"), "fields": read_avsc("Fill")["fields"][::-1]},
}
REFUSED = {
    "a field without a default": (with_field("Fill", type="long"), "added"),
    "a required field gone": (without("Fill", "fee_micros"), "fee_micros"),
    "a field renamed": (changed("Fill", "fee_micros", name="fees_micros"), "fee"),
    "long to string": (changed("Fill", "fee_micros", type="string"), "type_mismatch"),
    "long to int": (changed("Fill", "fee_micros", type="int"), "type_mismatch"),
    "long to double": (changed("Fill", "fee_micros", type="double"), "type_mismatch"),
    "long to nullable long": (
        changed("Fill", "fee_micros", type=["null", "long"], default=None),
        "writer type: null",
    ),
    "a symbol more": (changed("Fill", "side", type=SIDE_MORE), "short"),
    "a symbol less": (
        changed("Fill", "side", type={"type": "enum", "name": "Side", "symbols": ["buy"]}),
        "sell",
    ),
    "another name of the record": ({**read_avsc("Fill"), "name": "Execution"}, "name_mismatch"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_change(case: str) -> None:
    assert problems("Fill", ALLOWED[case]) == []


@pytest.mark.parametrize("case", REFUSED)
def test_refused_change(case: str) -> None:
    schema, said = REFUSED[case]
    found = problems("Fill", schema)
    assert found
    assert said in " ".join(found)
    assert all(text.startswith("Fill: version ") for text in found)


def test_a_break_deep_inside_is_found() -> None:
    schema = deepcopy(read_avsc("IntentSeen"))
    intent = next(f for f in schema["fields"] if f["name"] == "intent")["type"]
    leg = next(f for f in intent["fields"] if f["name"] == "legs")["type"]["items"]
    leg["fields"].append({"name": "added", "type": "long", "doc": "New."})
    assert "added" in " ".join(problems("IntentSeen", schema))


def test_all_versions_are_compared_not_only_neighbours() -> None:
    versions = [
        PinnedSchema(1, "Fill", 1, with_field("Fill", type=["null", "long"], default=None)),
        PinnedSchema(2, "Fill", 2, read_avsc("Fill")),
        PinnedSchema(3, "Fill", 3, with_field("Fill", type=["null", "string"], default=None)),
    ]
    assert compatibility_problems(versions[:2]) == []
    assert compatibility_problems(versions[1:]) == []
    found = compatibility_problems(versions)
    assert any("version 3 cannot read version 1" in text for text in found)
    assert any("version 1 cannot read version 3" in text for text in found)


def test_reading_has_a_direction() -> None:
    narrow, wide = changed("Fill", "fee_micros", type="int"), read_avsc("Fill")
    assert reading_problems(reader=wide, writer=narrow) == []
    assert reading_problems(reader=narrow, writer=wide) != []


@pytest.mark.parametrize("schema", [{"type": "record"}, {"type": "record", "name": "X", "fields": [{"name": "a"}]}, {}])
def test_what_is_no_schema_is_refused_by_name(schema: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="no valid Avro schema"):
        reading_problems(schema, read_avsc("Fill"))
    with pytest.raises(RegistryError, match="no valid Avro schema"):
        canonical_form(schema)


def test_canonical_form_forgets_docs_and_keeps_meaning() -> None:
    assert canonical_form(changed("Fill", "role", doc="Said better.")) == canonical_form(read_avsc("Fill"))
    assert canonical_form(changed("Fill", "fee_micros", type="int")) != canonical_form(read_avsc("Fill"))


def test_removed_and_redefined_ids_are_found() -> None:
    now = load_registry().by_id
    before = list(now.values())
    assert removed_pins(before, now) == []
    assert removed_pins([*before, PinnedSchema(900, "Fill", 9, {})], now) == [
        "id 900 (Fill version 9) is no longer pinned"
    ]
    redefined = {**now, 1: now[1]._replace(schema=read_avsc("Fill"))}
    assert removed_pins(before, redefined) == ["id 1 (RawFrame version 1) stands for another schema now"]
    assert removed_pins(before, {**now, 200: PinnedSchema(200, "Fill", 2, {})}) == [], "new ids are welcome"
