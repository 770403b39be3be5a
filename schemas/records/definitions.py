"""What the definition of settings says of each field: default, bounds, text and unit, read from a class of `schemas/records/terms.py`."""

from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec

from schemas.vocabulary import Word

#: Last word of a name → its unit, as texts of the contract say it.
UNITS: Final = {"micros": "micros", "ppm": "parts per million", "ms": "ms", "ns": "ns"}


class Definition(NamedTuple):
    """One settings field. `lowest`, `highest`: None: no bound; `default`: msgspec.NODEFAULT where there is none."""

    name: str
    kind: Any
    default: Any
    lowest: int | None
    highest: int | None
    text: str
    vocabulary: str | None = None

    @property
    def doc(self) -> str:
        """The text with its unit, as a sentence."""
        unit = UNITS.get(self.name.rsplit("_", 1)[-1], "")
        return f"{self.text[0].upper()}{self.text[1:]}{', ' * bool(unit)}{unit}."


def definitions(terms: type[msgspec.Struct]) -> dict[str, Definition]:
    """Fields of a definition by name, in their order."""
    hints = get_type_hints(terms, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(terms):
        kind, *marks = get_args(hints[field.name])
        meta = next(mark for mark in marks if isinstance(mark, msgspec.Meta))
        word = next((mark.vocabulary for mark in marks if isinstance(mark, Word)), None)
        assert meta.description is not None, f"{terms.__name__}.{field.name} has no text"
        found[field.name] = Definition(
            field.name, kind, field.default, _whole(meta.ge), _whole(meta.le), meta.description, word
        )
    return found


def _whole(bound: float | None) -> int | None:
    """A bound; settings are whole numbers, and so are theirs."""
    return None if bound is None else int(bound)
