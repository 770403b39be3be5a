"""How a column is laid out in Parquet: chosen by type and name, so that equal columns of all records look alike.

Decides encodings only; every reader of Parquet undoes them by itself. Figures of the choice stand in docs/archive.md.
"""

from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from crossbook.log.archive.manifest import APPEND_MS, KEY, OFFSET

#: Rows of a row group: what a reader holds at once.
ROW_GROUP_ROWS: Final = 131_072
ZSTD_LEVEL: Final = 3
#: Numbers that mostly step on by little: their differences are packed.
_STEPPING: Final = frozenset(
    {OFFSET, APPEND_MS, "sequence", "previous_sequence", "position", "number", "control_offset"}
)


def open_writer(path: Any, schema: Any) -> Any:
    """A Parquet writer for rows of a schema."""
    packed: dict[str, str] = {}
    dictionary: list[str] = []
    for name, kind in _leaves(schema):
        if kind == pa.int64() and (name in _STEPPING or name.startswith("ts_")):
            packed[name] = "DELTA_BINARY_PACKED"
        elif kind != pa.bool_() and kind != pa.binary():
            dictionary.append(name)
    return parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=dictionary,
        column_encoding=packed or None,
        write_statistics=True,
        version="2.6",
    )


def _leaves(schema: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def walk(path: str, kind: Any) -> None:
        if pa.types.is_struct(kind):
            for field in kind:
                walk(f"{path}.{field.name}", field.type)
        elif pa.types.is_list(kind):
            walk(f"{path}.list.element", kind.value_type)
        else:
            found.append((path, kind.value_type if pa.types.is_dictionary(kind) else kind))

    for field in schema:
        walk(field.name, field.type)
    return found


def text_columns(schema: Any) -> list[str]:
    """Columns to be read as dictionaries: few texts stand there many times."""
    return [field.name for field in schema if field.type == pa.string() or field.name == KEY]
