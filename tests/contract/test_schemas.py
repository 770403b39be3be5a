"""The contract: classes, schemas, topics and the pinned registry say the same, and bytes are exact or refused."""

import contextlib
import random
import types
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import schemas
from schemas.codec import HEADER, Codec, load_codec
from schemas.compatibility import compatibility_problems
from schemas.errors import CorruptRecordError, UnknownSchemaError
from schemas.pin import missing_pins, render
from schemas.records import RECORDS
from schemas.registry import PinnedSchema, load_registry, pinned_subjects, read_avsc
from schemas.topics import TOPICS
from schemas.vocabulary import VOCABULARIES
from schemas.words import word_fields
from tests.builders.vocabularies import added_words
from tests.contract.record_strategies import named_types, records_of, sample

NAMES = sorted(RECORDS)
FOLDER = Path(schemas.__file__).parent
UNITS = {"_micros": "micros", "_ns": " ns", "_ms": " ms", "_ppm": ("ppm", "million")}
#: Sets of words that are final; every other one is open (`schemas/vocabulary.py`).
CLOSED = {"Outcome", "Side", "Direction"}
#: Numbers that grow for ever must be long; these suffixes and names are such.
LONG = ("_ns", "_micros", "position", "sequence", "session", "offset")


def fields_below(avro: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema with its path, nested ones included."""
    if isinstance(avro, list):
        for branch in avro:
            yield from fields_below(branch, path)
    elif isinstance(avro, dict) and avro["type"] == "array":
        yield from fields_below(avro["items"], path)
    elif isinstance(avro, dict) and avro["type"] == "record":
        for field in avro["fields"]:
            below = f"{path}.{field['name']}"
            yield below, field
            yield from fields_below(field["type"], below)


def assert_same(annotation: Any, avro: Any, named: dict[str, Any], path: str) -> None:
    """One annotation of a class says what its Avro type says."""
    if isinstance(avro, list):
        assert avro[0] == "null", f"{path}: null must be the first branch, so that null can be the default"
        assert len(avro) == 2, f"{path}: a union is null or one other type"
        assert get_origin(annotation) in {types.UnionType, Union}, f"{path}: the class does not allow None"
        assert types.NoneType in get_args(annotation), path
        (inner,) = (arg for arg in get_args(annotation) if arg is not types.NoneType)
        assert_same(inner, avro[1], named, path)
        return
    if isinstance(avro, str) and avro not in named:
        assert {"int": int, "long": int, "boolean": bool, "string": str, "bytes": bytes}[avro] is annotation, path
        return
    avro = named[avro] if isinstance(avro, str) else avro
    if avro["type"] == "enum":
        assert get_origin(annotation) is Literal, path
        assert list(get_args(annotation)) == avro["symbols"], path
    elif avro["type"] == "array":
        assert get_origin(annotation) is tuple, path
        element, rest = get_args(annotation)
        assert rest is Ellipsis, path
        assert_same(element, avro["items"], named, f"{path}[]")
    else:
        assert_same_record(annotation, avro, named, path)


def assert_same_record(cls: Any, avro: dict[str, Any], named: dict[str, Any], path: str) -> None:
    """Name, doc, field order, field types and defaults of a class are those of its schema."""
    assert cls.__name__ == avro["name"], path
    assert cls.__doc__ == avro["doc"], f"{path}: the docstring differs from the schema's doc"
    assert list(cls.__struct_fields__) == [field["name"] for field in avro["fields"]], f"{path}: names or order differ"
    hints = get_type_hints(cls)
    vocabularies = {field.name: field.vocabulary for field in word_fields(cls)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(cls)}
    for field in avro["fields"]:
        below = f"{path}.{field['name']}"
        assert_same(hints[field["name"]], field["type"], named, below)
        assert field.get("vocabulary") == vocabularies.get(field["name"]), f"{below}: another vocabulary"
        if "default" in field:
            default = field["default"]
            held = msgspec.to_builtins(defaults[field["name"]])
            assert (list(held) if isinstance(held, tuple) else held) == default, below
        else:
            assert defaults[field["name"]] is msgspec.NODEFAULT, f"{below}: a default that the schema does not have"


@pytest.mark.parametrize("name", NAMES)
def test_class_is_pinned_to_its_schema(name: str) -> None:
    schema = read_avsc(name)
    assert schema["namespace"] == "crossbook"
    assert_same_record(RECORDS[name], schema, named_types(schema, {}), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_doc_that_states_its_unit_and_what_null_means(name: str) -> None:
    faults = []
    for path, field in fields_below(read_avsc(name), name):
        doc = field.get("doc", "")
        if not doc.strip():
            faults.append(f"{path} has no doc")
        for suffix, words in UNITS.items():
            wanted = (words,) if isinstance(words, str) else words
            if path.endswith(suffix) and not any(word in doc.lower() for word in wanted):
                faults.append(f"{path} does not state its unit {wanted}: {doc}")
        if isinstance(field["type"], list) and "null" not in doc:
            faults.append(f"{path} does not say what null means: {doc}")
    assert not faults


@pytest.mark.parametrize("name", NAMES)
def test_no_field_is_a_float_and_growing_numbers_are_long(name: str) -> None:
    for path, field in fields_below(read_avsc(name), name):
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        items = [b["items"] if isinstance(b, dict) and b["type"] == "array" else b for b in branches]
        if any(isinstance(item, dict) and item["type"] == "record" for item in items):
            continue  # its numbers are its fields'
        assert not {"float", "double"} & {item for item in items if isinstance(item, str)}, path
        if path.endswith(LONG) and path.rsplit(".", 1)[1] not in {"instruments"}:
            assert "long" in items, f"{path} is {items}"


def test_every_enum_is_final_and_every_vocabulary_is_used() -> None:
    enums = {
        kind for name in NAMES for kind, avro in named_types(read_avsc(name), {}).items() if avro["type"] == "enum"
    }
    assert enums == CLOSED, "a set that a later venue, strategy or machine extends is text with a vocabulary"
    used = {field.get("vocabulary") for name in NAMES for _, field in fields_below(read_avsc(name), name)}
    assert used - {None} == set(VOCABULARIES)


#: Words that later work needs; every one of them must find an open vocabulary.
GROWTH = {"venue": "predictit", "time_in_force": "good_till_cancel", "role": "quote"}


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_an_open_vocabulary_grows_without_a_new_schema(vocabulary: str) -> None:
    word = GROWTH.get(vocabulary, "acme")
    holders = [
        name
        for name in NAMES
        if any(field.get("vocabulary") == vocabulary for _, field in fields_below(read_avsc(name), name))
    ]
    assert holders
    with added_words(vocabulary, word):
        codec = Codec(load_registry())  # what a stage with the plug-in builds
        for name in holders:
            assert_same_record(RECORDS[name], read_avsc(name), named_types(read_avsc(name), {}), name)
            schema = read_avsc(name)
            grown = PinnedSchema(9_000, name, 9_000, grown_copy(schema, vocabulary, word))
            assert compatibility_problems([*load_registry().versions(name), grown]) == []
            for field in word_fields(RECORDS[name]):
                if field.vocabulary == vocabulary:
                    record = msgspec.structs.replace(sample(name), **{field.name: word})
                    assert codec.decode(codec.encode(record)) == record


def grown_copy(schema: dict[str, Any], vocabulary: str, word: str) -> dict[str, Any]:
    """A copy of a schema whose docs name the new word, as a contract that grew would."""
    copy = deepcopy(schema)
    for _, field in fields_below(copy, "copy"):
        if field.get("vocabulary") == vocabulary:
            field["doc"] += f" Or {word}."
    return copy


def test_topics_records_and_schemas_are_one_set() -> None:
    files = {path.stem for path in (FOLDER / "avro").glob("*.avsc")}
    written = Counter(record for topic in TOPICS.values() for record in topic.records)
    assert files == set(RECORDS) == set(written)
    assert set(load_registry().newest) == set(RECORDS)
    del written["Checkpoint"]  # one a stage, and it names its stage
    assert max(written.values()) == 1, "a record belongs to one topic: its name alone says where it is from"


def test_newest_pinned_versions_are_the_contract() -> None:
    registry = load_registry()
    assert {name: registry.newest[name].schema for name in NAMES} == {name: read_avsc(name) for name in NAMES}
    assert missing_pins(registry, RECORDS, read_avsc) == []


def test_ids_are_unique_dense_and_versions_count_up() -> None:
    registry = load_registry()
    assert sorted(registry.by_id) == list(range(1, len(registry.by_id) + 1))
    for name in NAMES:
        versions = registry.versions(name)
        assert [schema.version for schema in versions] == list(range(1, len(versions) + 1))
        assert [schema.id for schema in versions] == sorted(schema.id for schema in versions)


def test_the_registry_file_has_the_form_that_pin_writes() -> None:
    text = (FOLDER / "registry.json").read_text("utf-8")
    assert text == render(load_registry().by_id.values(), load_registry().baseline), (
        "edit registry.json with `python -m schemas.pin` only"
    )


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_full_transitive_compatible(name: str) -> None:
    assert compatibility_problems(load_registry().versions(name)) == []


def test_subjects_follow_topic_record_name_strategy() -> None:
    subjects = pinned_subjects("live.")
    assert "live.market-crossbook.BookDelta" in subjects
    assert "live.checkpoints.decide-crossbook.Checkpoint" in subjects
    assert "live.checkpoints.execute-crossbook.Checkpoint" in subjects
    assert len(subjects) == len(RECORDS) + 1  # Checkpoint has a subject a stage


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_one_encoding_and_comes_back_equal(name: str) -> None:
    codec = load_codec()
    schema_id = load_registry().newest[name].id

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(records_of(name))
    def check(record: Any) -> None:
        data = codec.encode(record)
        back = codec.decode(data)
        assert type(back) is type(record)
        assert back == record
        assert codec.encode(back) == data
        assert data[:5] == HEADER.pack(0, schema_id)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_and_every_tail_is_corrupt(name: str) -> None:
    codec = load_codec()
    data = codec.encode(sample(name))
    for length in range(len(data)):
        with pytest.raises(CorruptRecordError):
            codec.decode(data[:length])
    with pytest.raises(CorruptRecordError, match="too many"):
        codec.decode(data + b"\x00")


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bits_decode_or_are_refused_by_name(name: str) -> None:
    codec = load_codec()
    data = codec.encode(sample(name))
    draw = random.Random(name)
    for _ in range(300):
        flipped = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 2, 8))):
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        with contextlib.suppress(CorruptRecordError, UnknownSchemaError):
            codec.decode(bytes(flipped))


@settings(max_examples=300, deadline=None)
@given(schema_id=st.sampled_from(sorted(load_registry().by_id)), body=st.binary(max_size=60))
def test_any_bytes_under_a_known_id_decode_or_are_refused_by_name(schema_id: int, body: bytes) -> None:
    with contextlib.suppress(CorruptRecordError):
        load_codec().decode(HEADER.pack(0, schema_id) + body)


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with contextlib.suppress(CorruptRecordError, UnknownSchemaError):
        load_codec().decode(data)


@pytest.mark.parametrize("schema_id", [0, max(load_registry().by_id) + 1, 2**31, 2**32 - 1])
def test_an_unknown_schema_id_is_named(schema_id: int) -> None:
    with pytest.raises(UnknownSchemaError, match=str(schema_id)) as caught:
        load_codec().decode(b"\x00" + schema_id.to_bytes(4, "big") + b"\x02\x02")
    assert caught.value.schema_id == schema_id


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x01\x02", b'{"type": "ping"}'])
def test_bytes_that_are_not_framed_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptRecordError, match="wire format"):
        load_codec().decode(data)
