"""The SQL files: every table, view and column says what it is; facts carry their key; prefixes keep apart."""

import re

import pytest

from projections.clickhouse.ddl import (
    create_statements,
    quoted,
    sent_columns,
    table_statements,
    tables_digest,
    view_statements,
)
from projections.rows import COORDINATES

STATEMENTS = create_statements("demo_1")
TABLES = [statement for statement in table_statements("demo_1") if statement.startswith("CREATE TABLE")]


def test_no_placeholder_is_left_and_everything_names_its_database():
    for statement in STATEMENTS:
        assert not re.search(r"\{\w+\}", statement)
        assert quoted("demo_1") in statement


def test_statements_may_be_repeated():
    for statement in STATEMENTS:
        assert "IF NOT EXISTS" in statement or "OR REPLACE VIEW" in statement


@pytest.mark.parametrize("statement", [*TABLES, *view_statements("demo_1")], ids=lambda s: s.split("\n")[0][:70])
def test_every_table_and_view_says_what_it_holds(statement):
    assert re.search(r"\sCOMMENT '[A-Za-z].{8,}'$", statement)


@pytest.mark.parametrize("statement", TABLES, ids=lambda s: s.split("`.")[1].split(" ")[0])
def test_every_column_says_its_meaning_and_money_is_whole_micros(statement):
    body = statement[statement.index("(\n") + 2 : statement.index("\n) ENGINE")]
    for line in body.splitlines():
        assert re.search(r" COMMENT '.{4,}',?$", line), line
        if "_micros" in line.split()[0]:
            assert re.match(r"\w+ ((Nullable|Array)\()?Int64", line.strip()), line
        assert "Float" not in line


@pytest.mark.parametrize("statement", TABLES, ids=lambda s: s.split("`.")[1].split(" ")[0])
def test_facts_are_keyed_by_their_coordinates(statement):
    name = statement.split("`.")[1].split(" ")[0]
    columns = [column.name for column in sent_columns()[name]]
    if tuple(columns[: len(COORDINATES)]) == COORDINATES and "ENGINE = ReplacingMergeTree ORDER" in statement:
        assert "ORDER BY (log_id, topic, partition, offset)" in statement


def test_the_digest_is_of_the_tables():
    assert re.fullmatch(r"[0-9a-f]{16}", tables_digest())
