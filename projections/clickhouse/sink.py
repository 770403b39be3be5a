"""ClickHouse as a `Sink`: inserts in its Native format, positions in a table, and errors by what to do about them.

Decides whether an error will pass (away), means that the tables are gone, or is a refusal that trying again will not mend. It must
never decide what a row holds, and never answer an error by losing rows: it raises, and the caller inserts the same rows again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from crossbook.runtime.settings import ClickHouseSettings
from projections.clickhouse.ddl import create_statements, quoted, sent_columns, tables_digest
from projections.errors import SinkAwayError, SinkRefusedError, TablesGoneError
from projections.port import Position, Rows

CONNECT_TIMEOUT_S = 5
#: Of one statement. Longer than any insert takes on a loaded machine, short enough that a dead server is noticed.
ANSWER_TIMEOUT_S = 60

#: ClickHouse's own error codes.
_GONE = frozenset({60, 81, 218, 390})  # unknown table, unknown database, table or database is dropped
_DENIED = frozenset({192, 193, 194, 497, 516})
#: Time-out, too many queries, no disk, memory limit, too many parts, socket, network, read-only replica, aborted, keeper.
_PASSING = frozenset({159, 202, 209, 210, 236, 241, 242, 243, 252, 319, 425, 439, 999})

DEFINITION = "projection_definition"
POSITIONS = "projection_position"
#: Behind the prefix: who reads, as it stands in the table of positions.
READER = "project"


@contextmanager
def _translated(what: str, settings: ClickHouseSettings) -> Iterator[None]:
    where = f"{settings.host}:{settings.port}"
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        text = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        if code in _GONE:
            raise TablesGoneError(f"{what}: {text}; the projection starts again and rebuilds") from error
        if code in _DENIED:
            raise SinkRefusedError(
                f"ClickHouse at {where} refuses the user {settings.username!r}; mend clickhouse.username and clickhouse.password"
            ) from error
        if code is None or code in _PASSING:
            raise SinkAwayError(f"ClickHouse at {where} does not answer ({what}: {text})") from error
        raise SinkRefusedError(f"ClickHouse refused {what}: {text}") from error
    except OSError as error:
        raise SinkAwayError(f"ClickHouse at {where} does not answer ({what}: {error})") from error


class ClickHouseSink:
    """The database of one topic prefix. It connects when first used, and again after it was away.

    Every method may raise SinkAwayError (call it again later), TablesGoneError or SinkRefusedError.
    """

    def __init__(self, settings: ClickHouseSettings, prefix: str) -> None:
        self._settings = settings
        self.database = settings.database(prefix)
        self._reader = f"{prefix}{READER}"
        self._client: Any = None
        self._types = {
            table: {column.name: column.type for column in columns} for table, columns in sent_columns().items()
        }

    def _connected(self) -> Any:
        if self._client is None:
            self._client = clickhouse_connect.get_client(
                host=self._settings.host,
                port=self._settings.port,
                username=self._settings.username,
                password=self._settings.password,
                compress=False,
                connect_timeout=CONNECT_TIMEOUT_S,
                send_receive_timeout=ANSWER_TIMEOUT_S,
                query_retries=0,
                autogenerate_session_id=False,
            )
        return self._client

    def command(self, statement: str) -> None:
        """Run a statement without a result."""
        with _translated(statement.split("\n", 1)[0][:80], self._settings):
            self._connected().command(statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query."""
        with _translated(statement.split("\n", 1)[0][:80], self._settings):
            return list(self._connected().query(statement).result_rows)

    def prepare(self) -> bool:
        """Make database, tables and views; one that other SQL files made is dropped first. Return whether one was dropped."""
        dropped = False
        tables = {name for (name,) in self.query(f"SELECT name FROM system.tables WHERE database = '{self.database}'")}
        if tables and self._definition(tables) != tables_digest():
            self.drop()
            dropped = True
        for statement in create_statements(self.database):
            self.command(statement)
        name = f"{quoted(self.database)}.{DEFINITION}"
        self.command(
            f"CREATE TABLE IF NOT EXISTS {name} (digest String COMMENT 'Digest of the SQL that made the tables') "
            "ENGINE = ReplacingMergeTree ORDER BY digest COMMENT 'Which definition made this database'"
        )
        # Written last: a database whose making was interrupted has none, and is made anew.
        self.command(f"INSERT INTO {name} VALUES ('{tables_digest()}')")
        return dropped

    def _definition(self, tables: set[str]) -> str | None:
        if DEFINITION not in tables:
            return None
        rows = self.query(f"SELECT any(digest), uniqExact(digest) FROM {quoted(self.database)}.{DEFINITION}")
        return rows[0][0] if rows and rows[0][1] == 1 else None

    def drop(self) -> None:
        """Drop the database."""
        self.command(f"DROP DATABASE IF EXISTS {quoted(self.database)} SYNC")

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows; the same rows may be inserted again."""
        types = self._types[table]
        with _translated(f"insert into {table}", self._settings):
            self._connected().insert(
                table,
                list(zip(*rows, strict=True)),
                column_names=list(columns),
                column_type_names=[types[column] for column in columns],
                column_oriented=True,
                database=self.database,
            )

    def positions(self, log_id: str) -> dict[tuple[str, int], int]:
        """Next offset of each (topic, partition) that has one."""
        rows = self.query(
            f"SELECT topic, partition, max(next_offset) FROM {quoted(self.database)}.{POSITIONS} "
            f"WHERE consumer_group = '{self._reader}' AND log_id = '{log_id}' GROUP BY topic, partition"
        )
        return {(topic, partition): offset for topic, partition, offset in rows}

    def write(self, log_id: str, tables: Sequence[Rows], positions: Sequence[Position]) -> None:
        """Insert the rows table by table, then the positions: there is no transaction over tables."""
        for table in tables:
            self.insert(*table)
        if positions:
            columns = ("consumer_group", "log_id", *Position._fields)
            self.insert(POSITIONS, columns, [(self._reader, log_id, *position) for position in positions])

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None
