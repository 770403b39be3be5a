"""The part of `avro/ExecutorConfigured.avsc` that follows from the definition of settings in `records/terms.py`.

`python -m schemas.terms` writes that part (`--check`: exit code 1 when it is not current); afterwards run `python -m schemas.pin`.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from schemas.records.definitions import Definition, definitions
from schemas.records.terms import ExecuteTerms, PaperTerms

FILE: Final = Path(__file__).with_name("avro") / "ExecutorConfigured.avsc"
#: Field of ExecutorConfigured → the settings in it, and what it is.
PARTS: Final[Mapping[str, tuple[type[msgspec.Struct], str]]] = {
    "execute": (ExecuteTerms, "Limits and times."),
    "paper": (PaperTerms, "The paper venue."),
}


def avro_of(terms: type[msgspec.Struct]) -> dict[str, Any]:
    """The Avro record of a definition."""
    written: set[type[msgspec.Struct]] = set()
    fields = [_field(one, written) for one in definitions(terms).values()]
    return {"type": "record", "name": terms.__name__, "doc": terms.__doc__, "fields": fields}


def _field(one: Definition, written: set[type[msgspec.Struct]]) -> dict[str, Any]:
    """A field; a nested record is written out where it first stands, and named from then on."""
    known: dict[str, Any] = {"name": one.name}
    if get_origin(one.kind) is tuple:
        nested = get_args(one.kind)[0]
        known["type"] = {"type": "array", "items": nested.__name__ if nested in written else avro_of(nested)}
        written.add(nested)
    elif one.kind is str:
        known["type"] = "string"
        if one.vocabulary is not None:
            known["vocabulary"] = one.vocabulary
    else:
        known["type"] = "long"
    if one.default is not msgspec.NODEFAULT:
        known["default"] = msgspec.to_builtins(one.default)
    return known | {"doc": one.doc}


def render() -> str:
    """Text of the file with the parts as they are defined."""
    schema = json.loads(FILE.read_text("utf-8"))
    head = {key: value for key, value in schema.items() if key != "fields"}
    lines = []
    for field in schema["fields"]:
        if field["name"] in PARTS:
            terms, doc = PARTS[field["name"]]
            part = avro_of(terms)
            rows = ",\n".join(f"      {_text(row)}" for row in part.pop("fields"))
            opened = _text({"name": field["name"], "doc": doc})[:-1]
            lines.append(f'{opened}, "type": {_text(part)[:-1]}, "fields": [\n{rows}\n    ]}}}}')
        else:
            lines.append(_text(field))
    body = ",\n".join(f"  {line}" for line in lines)
    return f'{_text(head)[:-1]}, "fields": [\n{body}\n]}}\n'


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main(argv: list[str] | None = None) -> int:
    """Write the file, or check it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.terms", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the file is not current")
    check: bool = parser.parse_args(argv).check
    text = render()
    if check:
        current = FILE.read_text("utf-8") == text
        if not current:
            sys.stderr.write(f"{FILE.name} is not current; write it with: python -m schemas.terms\n")
        return int(not current)
    FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
