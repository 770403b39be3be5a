"""Arrow columns as records: a record a row, equal to what the codec decodes.

Decides nothing. Must only be given columns of the record's newest schema.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias, get_args, get_type_hints

import numpy as np
import pyarrow as pa

from schemas.records import Record
from schemas.words import check_words, word_fields

Rows: TypeAlias = Sequence[Record | None]


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Make many tuples without Python looking for cycles every 700 of them, which costs four times as much as the tuples.

    What is made within must hold no cycles and take no time: nothing else is collected meanwhile.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def record_rows(cls: type[Record], batch: Any) -> list[Record | None]:
    """Records of a batch that has the record's fields among its columns.

    Raises:
        UnknownWordError: a record holds a word that its vocabulary does not have.
    """
    hints = get_type_hints(cls)
    names = cls.__struct_fields__
    values = [_values(hints[name], batch.column(name)) for name in names]
    for field in word_fields(cls):
        check_words(cls.__name__, field, set(values[names.index(field.name)]))
    return list(map(_maker(cls), *values))


@cache
def _maker(cls: type[Record]) -> Callable[..., Record]:
    """A function of the fields in order. Records take keywords only, and keywords known beforehand cost a fifth of a dict's."""
    names = cls.__struct_fields__
    source = f"lambda {', '.join(names)}: cls({', '.join(f'{name}={name}' for name in names)})"
    made: Callable[..., Record] = eval(source, {"cls": cls})  # noqa: S307 - made of our own field names, as namedtuple does
    return made


def _values(annotation: Any, column: Any) -> list[Any]:
    """Python values of a column."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        texts = [*column.dictionary.to_pylist(), None]
        numbers = column.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False).tolist()
        return [texts[number] for number in numbers]
    if pa.types.is_integer(kind) and not column.null_count:
        return list(column.to_numpy(zero_copy_only=False).tolist())
    if pa.types.is_integer(kind):
        found = column.fill_null(0).to_numpy(zero_copy_only=False).astype(object)
        found[column.is_null().to_numpy(zero_copy_only=False)] = None
        return list(found.tolist())
    if pa.types.is_list(kind):
        return _tuples(_item_of(annotation), column)
    if pa.types.is_struct(kind):
        return list(record_rows(annotation, pa.RecordBatch.from_struct_array(column)))
    return list(column.to_pylist())


def _item_of(annotation: Any) -> Any:
    return get_args(annotation)[0]


def _tuples(item: Any, column: Any) -> list[tuple[Any, ...]]:
    flat = _values(item, column.flatten())
    offsets = column.offsets.to_numpy()
    counts = np.diff(offsets)
    starts = (offsets[:-1] - offsets[0]).tolist()
    empty: tuple[Any, ...] = ()
    return [
        empty if not count else (flat[start],) if count == 1 else tuple(flat[start : start + count])
        for start, count in zip(starts, counts.tolist(), strict=True)
    ]
