"""What every `Sink` promises, held by each that there is: the one in memory and ClickHouse."""

import uuid

import pytest

from crossbook.runtime.settings import ClickHouseSettings
from projections.activity import block_start
from projections.batch import Batch
from projections.clickhouse.sink import ClickHouseSink
from projections.errors import TablesGoneError
from projections.port import Position, Rows
from schemas.codec import load_codec
from tests.builders.logs.projected import LOG_ID, SyntheticLog
from tests.builders.sinks.memory import MemorySink

CODEC = load_codec()
LOG = [
    (placed.topic, offset, CODEC.encode(placed.record))
    for offset, placed in enumerate(SyntheticLog(trades=7, ticks=40).records)
]
#: Tables that keep every fact, and the one that keeps counts; the others keep the latest row of a thing, which a store may say its way.
TABLES = ("logs", "order_requests", "order_reports", "fills", "trade_updates", "intents", "market_activity")


class ClickHouseCase:
    """ClickHouse, and the rows that count in it."""

    def __init__(self, server):
        settings = ClickHouseSettings(port=server.port, password=server.password)
        self.sink = ClickHouseSink(settings, f"s{uuid.uuid4().hex[:12]}.")

    def rows(self, table, columns):
        found = self.sink.query(f"SELECT {', '.join(columns)} FROM {self.sink.database}.{table} FINAL")
        return sorted(tuple(row) for row in found)


class MemoryCase:
    """The sink in memory."""

    def __init__(self):
        self.sink = MemorySink()

    def rows(self, table, columns):
        return self.sink.rows(table)


@pytest.fixture(params=["memory", "clickhouse"])
def case(request):
    made = MemoryCase() if request.param == "memory" else ClickHouseCase(request.getfixturevalue("clickhouse"))
    made.sink.prepare()
    yield made
    made.sink.drop()
    made.sink.close()


def batches(size, start=0, stop=None):
    """(tables, positions) of a run of the projection over a range of the log."""
    stop = len(LOG) if stop is None else stop
    batch = Batch(LOG_ID, CODEC)
    for number, (topic, offset, payload) in enumerate(LOG[start:stop], start + 1):
        batch.add(topic, 0, offset, 1_900_000_000_000, payload)
        if batch.records == size or number == stop:
            positions = [Position(*place, offset) for place, offset in batch.positions.items()]
            yield [Rows(table, columns, list(rows)) for table, columns, rows in batch.tables()], positions
            batch.clear()


def whole():
    """Every row of the log, as one batch."""
    ((tables, positions),) = batches(len(LOG))
    return tables, positions


def shown(case):
    """Rows that count, by table."""
    columns = {table: columns for table, columns, _ in whole()[0]}
    return {table: case.rows(table, columns[table]) for table in TABLES}


def test_what_is_new_has_no_positions_and_what_was_written_is_there(case):
    assert case.sink.positions(LOG_ID) == {}
    tables, positions = whole()
    case.sink.write(LOG_ID, tables, positions)
    assert case.sink.positions(LOG_ID) == {(one.topic, one.partition): one.next_offset for one in positions}
    expected = {table: sorted(rows) for table, _, rows in tables}
    assert shown(case) == {table: expected[table] for table in TABLES}


def test_rows_without_positions_move_none(case):
    tables, _ = whole()
    case.sink.write(LOG_ID, tables, [])
    assert case.sink.positions(LOG_ID) == {}
    assert shown(case)["fills"]


@pytest.mark.parametrize("size", [7, 50, len(LOG)])
def test_delivered_twice_in_any_cuts_counts_once(case, size):
    tables, positions = whole()
    case.sink.write(LOG_ID, tables, positions)
    once = shown(case)
    for again, places in batches(size):
        case.sink.write(LOG_ID, again, places)
    case.sink.write(LOG_ID, tables, [])
    assert shown(case) == once


def test_killed_in_the_middle_it_goes_on_with_overlap_and_nothing_is_missing(case):
    *first, last = list(batches(20, stop=len(LOG) // 2))
    for tables, positions in first:
        case.sink.write(LOG_ID, tables, positions)
    case.sink.write(LOG_ID, last[0], [])  # killed before the positions
    resumed = min(case.sink.positions(LOG_ID).values())
    for tables, positions in batches(33, start=block_start(resumed)):
        case.sink.write(LOG_ID, tables, positions)
    found, resumed_at = shown(case), case.sink.positions(LOG_ID)
    case.sink.drop()
    case.sink.prepare()
    case.sink.write(LOG_ID, *whole())
    assert (shown(case), case.sink.positions(LOG_ID)) == (found, resumed_at)


def test_an_older_position_takes_no_newer_one_back_and_each_log_has_its_own(case):
    for offset in (5, 9, 7):
        case.sink.write(LOG_ID, [], [Position("market", 1, offset)])
    case.sink.write("another", [], [Position("market", 1, 2), Position("fills", 0, 4)])
    assert case.sink.positions(LOG_ID) == {("market", 1): 9}
    assert case.sink.positions("another") == {("market", 1): 2, ("fills", 0): 4}


def test_prepared_again_it_keeps_its_rows_and_dropped_it_has_none(case):
    case.sink.write(LOG_ID, *whole())
    before = shown(case)
    assert not case.sink.prepare()
    assert shown(case) == before
    case.sink.drop()
    with pytest.raises(TablesGoneError):
        case.sink.write(LOG_ID, *whole())
    with pytest.raises(TablesGoneError):
        case.sink.positions(LOG_ID)
    case.sink.drop()  # once more is nothing
    assert not case.sink.prepare()
    assert case.sink.positions(LOG_ID) == {}
    assert not any(shown(case).values())


def test_closed_it_opens_again(case):
    case.sink.write(LOG_ID, *whole())
    case.sink.close()
    case.sink.close()
    assert case.sink.positions(LOG_ID)
