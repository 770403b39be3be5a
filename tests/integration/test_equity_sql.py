"""Profit and loss has one definition: random histories of the executor's fold come to the same micro in ClickHouse as in the fold."""

import uuid

import clickhouse_connect
import pytest

from crossbook.runtime.settings import ClickHouseSettings
from projections.clickhouse import queries
from projections.clickhouse.sink import ClickHouseSink
from projections.rows import TABLE_COLUMNS, Coordinates, to_row
from schemas.records import LogOpened
from tests.builders.executors.histories import History
from tests.builders.executors.worlds import LOG, T0

SEEDS = range(24)


def insert(sink, topic, records, partition=0):
    rows = {}
    for offset, record in enumerate(records):
        made = to_row(record, Coordinates(LOG, topic, partition, offset, T0 // 1_000_000))
        if made is not None:
            rows.setdefault(made[0], []).append(made[1])
    for table, values in rows.items():
        sink.insert(table, TABLE_COLUMNS[table], values)


@pytest.fixture(scope="module")
def histories():
    return [History(seed, trades=8, name=f"h{seed}-") for seed in SEEDS]


@pytest.fixture(scope="module")
def database(clickhouse, histories):
    """A database that holds all histories, as one journal."""
    settings = ClickHouseSettings(port=clickhouse.port, password=clickhouse.password)
    sink = ClickHouseSink(settings, f"e{uuid.uuid4().hex[:12]}.")
    sink.prepare()
    insert(sink, "market", [LogOpened(ts_received_ns=T0, log_id=LOG, partition=0, partitions=2, base_offset=0)])
    intents = [one for history in histories for one in history.intents]
    for partition in (0, 1):
        insert(sink, "intents", [one for one in intents if one.partition == partition], partition)
    insert(sink, "orders", [record for history in histories for record in history.journal])
    insert(sink, "fills", [record for history in histories for record in history.fills])
    yield sink.database
    sink.drop()
    sink.close()


@pytest.fixture(scope="module")
def client(clickhouse):
    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, username="reader", password=clickhouse.reader_password
    ) as each:
        yield each


def worths(histories):
    """What the fold says, for every trade with an execution."""
    found = {}
    for history in histories:
        equity = history.state.standing.equity
        filled = {trade_id for trade_id, trade in equity.trades.items() if any(leg.bought_micros for leg in trade.legs)}
        found |= {trade_id: equity.worth(trade_id) for trade_id in filled}
    return found


def test_every_trade_is_worth_in_sql_what_it_is_worth_in_the_fold(histories, client, database):
    columns = "trade_id, net, locked, marked, unwound, fees, matched_micros, unmatched_micros, unwound_micros"
    rows = client.query(f"SELECT {columns} FROM {database}.pnl ORDER BY trade_id").result_rows
    expected = [(name, *worth) for name, worth in sorted(worths(histories).items())]
    assert [tuple(row) for row in rows] == expected
    assert len(expected) > 50


def test_the_totals_are_the_sums_and_what_the_stops_added_up(histories, client, database):
    total = queries.pnl_totals(client, database)
    found = worths(histories).values()
    assert total.net == sum(worth.equity_micros for worth in found)
    assert total.net == total.locked + total.marked == total.gross - total.fees
    assert total.net == sum(sum(history.state.standing.changes.get("day", {}).values()) for history in histories)
    counts = queries.contract_counts(client, database)
    assert counts.hedged == sum(worth.matched_micros for worth in found)
    assert counts.unwound == sum(worth.unwound_contracts_micros for worth in found)
    assert counts.unmatched == sum(worth.unmatched_micros for worth in found)


def test_the_view_of_trades_says_what_was_sold_again(histories, client, database):
    rows = client.query(
        f"SELECT trade_id, hedged_micros, unwound_micros, unwound_net_micros FROM {database}.trades "
        "WHERE hedged_micros > 0 AND unwound_micros > 0 ORDER BY trade_id"
    ).result_rows
    found = worths(histories)
    assert rows, "some trades are hedged in part and unwound in part"
    for trade_id, hedged, unwound, net in rows:
        worth = found[trade_id]
        assert (hedged, unwound, net) == (worth.matched_micros, worth.unwound_contracts_micros, worth.unwound_micros)
