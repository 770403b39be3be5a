"""Tables and views of the projection, read from `sql/`: the SQL files are the contract, this module only reads them.

Decides which statements make a database, which columns are sent with an insert, and when a database was made by other files
(its digest differs, so it is rebuilt). It must never talk to ClickHouse.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

SQL = Path(__file__).with_name("sql")
#: A record that is delivered twice has the same key, so it counts once.
FACTS = "ReplacingMergeTree ORDER BY (log_id, topic, partition, offset)"
#: The log whose facts the views show: the one appended last.
CURRENT = "(SELECT argMax(log_id, ts_append_ms) FROM {db}.logs)"

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \{db\}\.(\w+) \(\n(.*?)\n\) ENGINE", re.DOTALL)
_COLUMN = re.compile(
    r"^  (?P<name>\w+) (?P<type>.+?)(?P<default> DEFAULT .+?)? COMMENT '(?P<doc>(?:[^']|'')*)',?$", re.MULTILINE
)


class Column(NamedTuple):
    """A column that is sent with every insert."""

    name: str
    type: str


def quoted(database: str) -> str:
    """A database's name as it stands in a statement."""
    return f"`{database}`"


def create_statements(database: str) -> list[str]:
    """Statements that make the database, its tables and its views; all may be repeated."""
    return [
        f"CREATE DATABASE IF NOT EXISTS {quoted(database)}",
        *table_statements(database),
        *view_statements(database),
    ]


def table_statements(database: str) -> list[str]:
    """Tables and the materialized views that keep the roll-ups."""
    return [statement.replace("{db}", quoted(database)) for statement in _split(_tables_text())]


def view_statements(database: str) -> list[str]:
    """Views; replaced where they exist."""
    text = _code("views.sql").replace("{current}", CURRENT)
    return [statement.replace("{db}", quoted(database)) for statement in _split(text)]


def tables_digest() -> str:
    """Digest of the tables' definition; a database with another one is rebuilt from the topics."""
    return hashlib.sha256(_tables_text().encode()).hexdigest()[:16]


@cache
def sent_columns() -> dict[str, tuple[Column, ...]]:
    """Columns of each table, in order, without those that ClickHouse fills itself."""
    return {
        name: tuple(
            Column(column["name"], column["type"]) for column in _COLUMN.finditer(body) if column["default"] is None
        )
        for name, body in _TABLE.findall(_tables_text())
    }


@cache
def _tables_text() -> str:
    text = _code("tables.sql")
    for macro in ("coordinates", "edge_columns"):
        text = text.replace("{" + macro + "}", (SQL / f"{macro}.sql").read_text().rstrip("\n"))
    return text.replace("{facts}", FACTS)


def _code(file: str) -> str:
    return "\n".join(line for line in (SQL / file).read_text().splitlines() if not line.startswith("--"))


def _split(code: str) -> list[str]:
    return [part.strip() for part in code.split("\n;") if part.strip()]
