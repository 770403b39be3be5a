"""Hypothesis strategies of every record, made from the classes; the schema only narrows integers to their Avro width."""

import types
import typing
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from schemas.records import RECORDS, Record
from schemas.registry import read_avsc
from schemas.vocabulary import Word, words

LIMITS = {"int": 2**31, "long": 2**63}


def named_types(avro: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Every named type of a schema, by name."""
    if isinstance(avro, list):
        for branch in avro:
            named_types(branch, found)
    elif isinstance(avro, dict):
        if avro["type"] == "array":
            named_types(avro["items"], found)
        else:
            found[avro["name"]] = avro
            for field in avro.get("fields", ()):
                named_types(field["type"], found)
    return found


def _of(annotation: Any, avro: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(avro, list):
        inner = next(branch for branch in avro if branch != "null")
        (kind,) = (arg for arg in get_args(annotation) if arg is not types.NoneType)
        return st.none() | _of(kind, inner, named)
    avro = named.get(avro, avro) if isinstance(avro, str) else avro
    if get_origin(annotation) is Annotated:
        kind, mark, *_ = get_args(annotation)
        if isinstance(mark, Word):
            return st.sampled_from(tuple(words(mark.vocabulary)))
        if kind is int:
            lowest, highest = -LIMITS[avro] if mark.ge is None else mark.ge, mark.le or LIMITS[avro] - 1
            return st.integers(lowest, highest)
        return _of(kind, avro, named)
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) is tuple:
        return st.lists(_of(get_args(annotation)[0], avro["items"], named), max_size=3).map(tuple)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _record(annotation, avro, named)
    if annotation is int:
        return st.integers(-LIMITS[avro], LIMITS[avro] - 1)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        bytes: st.binary(max_size=24),
    }
    return plain[annotation]


def _record(cls: type[Any], avro: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    by_name = {field["name"]: field["type"] for field in avro["fields"]}
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{name: _of(hints[name], kind, named) for name, kind in by_name.items()})


@cache
def records_of(name: str) -> st.SearchStrategy[Record]:
    """Any record of one name, nested ones included."""
    schema = read_avsc(name)
    return _record(RECORDS[name], schema, named_types(schema, {}))


@cache
def sample(name: str) -> Record:
    """One record of a name, the same in every run: first symbols, one element in each array, no nulls."""
    return typing.cast("Record", _sample(RECORDS[name]))


def _sample(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        kind, mark, *_ = get_args(annotation)
        if isinstance(mark, Word):
            return next(iter(words(mark.vocabulary)))
        return min(mark.le or _sample(kind), _sample(kind)) if kind is int else _sample(kind)
    args = [arg for arg in get_args(annotation) if arg is not types.NoneType]
    if get_origin(annotation) is Literal:
        return args[0]
    if get_origin(annotation) is tuple:
        return (_sample(args[0]),)
    if args:
        return _sample(args[0])
    if issubclass(annotation, msgspec.Struct):
        hints = get_type_hints(annotation, include_extras=True)
        return annotation(**{name: _sample(hints[name]) for name in annotation.__struct_fields__})
    return {int: 1_234_567, bool: True, str: "füllung", bytes: b"\x00\xff{}"}[annotation]
