"""Checks the words of a record against their vocabularies, for the codec and for the archive's columns.

What a record class holds is worked out once a class; a record without such a field costs nothing.
"""

from collections.abc import Callable, Iterable, KeysView
from functools import cache
from typing import Any, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from schemas.errors import UnknownWordError
from schemas.vocabulary import Word, words

#: Takes the fields of a record (nested ones as mappings too). Raises UnknownWordError.
Check: TypeAlias = Callable[[dict[str, Any]], None]


class WordField(NamedTuple):
    """A field of a class that holds a word, its vocabulary, and the words known (live)."""

    name: str
    vocabulary: str
    known: KeysView[str]


@cache
def word_fields(cls: type[msgspec.Struct]) -> tuple[WordField, ...]:
    """Fields of a class that hold words, in order; not those of its parts."""
    found: dict[str, str] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for kind in (hint, *get_args(hint)):  # the second: of a nullable field
            for mark in getattr(kind, "__metadata__", ()):
                if isinstance(mark, Word):
                    found[name] = mark.vocabulary
    return tuple(WordField(name, vocabulary, words(vocabulary)) for name, vocabulary in found.items())


def check_words(record: str, field: WordField, values: Iterable[Any]) -> None:
    """Check many values of one field. Raises UnknownWordError for the first that is neither None nor a known word."""
    for value in values:
        if value is not None and value not in field.known:
            raise UnknownWordError(record, field.name, value, field.vocabulary, field.known)


@cache
def checker(cls: type[msgspec.Struct]) -> Check | None:
    """The check of a record class and its parts; None where it holds no word at all."""
    record, own = cls.__name__, word_fields(cls)
    parts = tuple(_parts(cls))
    if not own and not parts:
        return None

    def check(fields: dict[str, Any]) -> None:
        for field in own:
            value = fields[field.name]
            if value not in field.known and value is not None:
                raise UnknownWordError(record, field.name, value, field.vocabulary, field.known)
        for name, check_part, many in parts:
            part = fields[name]
            if many:
                for one in part:
                    check_part(one)
            elif part is not None:
                check_part(part)

    return check


def _parts(cls: type[msgspec.Struct]) -> Iterable[tuple[str, Check, bool]]:
    for name, hint in get_type_hints(cls).items():
        kinds = [hint, *get_args(hint)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and (check := checker(kind)) is not None:
                yield name, check, get_origin(hint) is tuple
