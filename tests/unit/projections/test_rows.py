"""Every record class that a topic holds becomes a row, a count, or is named as ignored; columns are those of the SQL."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.activity import COLUMNS, TABLE
from projections.clickhouse.ddl import sent_columns
from projections.rows import (
    COORDINATES,
    HANDLERS,
    IGNORED,
    ROLLED_UP,
    TABLE_COLUMNS,
    Coordinates,
    to_row,
)
from schemas.records import RECORDS, BookDelta, FillReversed, TradeUpdate
from schemas.topics import TOPICS
from tests.contract.record_strategies import records_of, sample

AT = Coordinates("log", "orders", 0, 17, 1_700_000_000_000)


def test_every_record_class_is_handled_rolled_up_or_ignored_once():
    sorted_out = [*HANDLERS, *ROLLED_UP, *IGNORED]
    assert len(sorted_out) == len(set(sorted_out))
    assert set(sorted_out) == set(RECORDS.values())


def test_a_topic_that_is_not_projected_holds_nothing_that_has_a_row():
    for topic in TOPICS.values():
        if "project" not in topic.readers:
            assert {RECORDS[record] for record in topic.records} <= set(IGNORED)


@pytest.mark.parametrize("table", sorted(TABLE_COLUMNS))
def test_rows_have_the_columns_of_their_table_in_its_order(table):
    assert tuple(column.name for column in sent_columns()[table]) == TABLE_COLUMNS[table]


def test_counts_have_the_columns_of_their_table():
    assert tuple(column.name for column in sent_columns()[TABLE]) == COLUMNS


@pytest.mark.parametrize("cls", [*HANDLERS, *IGNORED, *ROLLED_UP], ids=lambda cls: cls.__name__)
def test_a_row_is_as_wide_as_its_columns_and_begins_with_its_coordinates(cls):
    found = to_row(sample(cls.__name__), AT)
    if cls not in HANDLERS:
        assert found is None
        return
    table, row = found
    assert len(row) == len(TABLE_COLUMNS[table])
    assert row[: len(COORDINATES)] == AT


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([cls.__name__ for cls in HANDLERS]).flatmap(records_of))
def test_a_row_has_a_value_exactly_where_its_column_may_take_it(record):
    table, row = to_row(record, AT)
    for column, value in zip(sent_columns()[table], row, strict=True):
        array = column.type.startswith("Array")
        assert isinstance(value, list) == array, column
        for one in value if array else [value]:
            if one is None:
                assert column.type.startswith("Nullable"), column
            elif "Int" in column.type:
                assert isinstance(one, int), column
            elif "String" in column.type:
                assert isinstance(one, str), column


def test_two_records_that_share_a_table_are_told_apart():
    _, reversed_ = to_row(sample("FillReversed"), AT)
    _, confirmed = to_row(sample("FillConfirmed"), AT)
    state = TABLE_COLUMNS["fill_finality"].index("state")
    assert (reversed_[state], confirmed[state]) == ("reversed", "confirmed")
    assert FillReversed in HANDLERS


def test_equal_records_at_equal_coordinates_give_equal_rows():
    assert to_row(sample(TradeUpdate.__name__), AT) == to_row(sample(TradeUpdate.__name__), AT)
    assert to_row(sample(BookDelta.__name__), AT) is None
