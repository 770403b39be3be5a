"""The embedded ClickHouse (`chdb`) as a bounded pool of connections, one statement at a time on each.

Decides which connection runs a statement, under which settings and limits, and how its errors are told. It must never
let a setting or a current database of one caller reach the next, and never hand the reader a connection that can
write. `chdb` is loaded here and nowhere else: one engine a process, one process a folder.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.stack.clickhouse.sql import InsertSplit

SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
ERROR_CODE = re.compile(r"Code:\s*(\d+)\.")
DEFAULT_DATABASE = "default"
UNKNOWN_SETTING = 115  # ClickHouse's error codes
SYNTAX_ERROR = 62
UNKNOWN_EXCEPTION = 1002


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one statement may use: rows of its result, bytes of memory, seconds. 0: no limit."""

    result_rows_max: int
    memory_bytes_max: int
    seconds_max: int

    def statement(self) -> str:
        """The SET statement that puts the limits on a connection."""
        return (
            f"SET max_result_rows = {self.result_rows_max}, result_overflow_mode = 'throw', "
            f"max_memory_usage = {self.memory_bytes_max}, max_execution_time = {self.seconds_max}, timeout_overflow_mode = 'throw'"
        )


class EngineError(Exception):
    """ClickHouse refused a statement: its error code and its own text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a statement gave."""

    body: bytes
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0
    elapsed_ns: int = 0


class EngineConnection:
    """One connection with its own session: not for two threads at once.

    After every statement it is as it was: the settings that came with it are put back, the database is set anew.
    """

    def __init__(self, path: Path, limits: Limits, *, readonly: bool) -> None:
        from chdb.state import connect

        self._connection: Any = connect(str(path))
        self._database = DEFAULT_DATABASE
        self._limits = limits.statement()
        self._limited = frozenset(SETTING_NAME.findall(self._limits))
        self._query(self._limits)
        if readonly:
            self._query("SET readonly = 1")

    def close(self) -> None:
        """Give the connection back to the engine."""
        self._connection.close()

    def run(
        self,
        statement: bytes,
        *,
        format_name: str,
        database: str | None = None,
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        insert: InsertSplit | None = None,
    ) -> Answer:
        """Run one statement. `insert`: the data behind its text are streamed in. Raises `EngineError`."""
        self._use(database or DEFAULT_DATABASE)
        applied: list[str] = []
        try:
            for name, value in (settings or {}).items():
                self._set(name, value)
                applied.append(name)
            if insert is None:
                return self._query(statement, format_name, parameters)
            return self._insert(insert, memoryview(statement)[insert.data_start :])
        except EngineError:
            self._drain()
            raise
        finally:
            for name in applied:
                self._query(f"SET {name} = DEFAULT")
            if not self._limited.isdisjoint(applied):
                self._query(self._limits)

    def _drain(self) -> None:
        """Throw away what a statement had written before it failed: chdb puts it in front of the next answer."""
        with contextlib.suppress(EngineError):
            self._query("SELECT 1")

    def _use(self, database: str) -> None:
        if database != self._database:
            self._query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
            self._database = database

    def _set(self, name: str, value: str) -> None:
        if not SETTING_NAME.fullmatch(name):
            raise EngineError(UNKNOWN_SETTING, f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        self._query(f"SET {name} = '{quoted}'")

    def _query(
        self, statement: bytes | str, format_name: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> Answer:
        started_ns = time.perf_counter_ns()
        try:
            text = statement if isinstance(statement, str) else statement.decode()
            result = self._connection.query(text, format_name, params=dict(parameters or {}))
        except UnicodeDecodeError as error:
            raise EngineError(
                SYNTAX_ERROR, f"Code: 62. DB::Exception: the statement is not UTF-8 ({error.reason}). (SYNTAX_ERROR)"
            ) from error
        except Exception as error:
            raise _engine_error(error) from error
        return Answer(
            body=bytes(result.bytes()),
            rows_read=int(result.storage_rows_read()),
            bytes_read=int(result.storage_bytes_read()),
            rows_written=int(result.rows_written()),
            bytes_written=int(result.bytes_written()),
            elapsed_ns=time.perf_counter_ns() - started_ns,
        )

    def _insert(self, insert: InsertSplit, data: memoryview) -> Answer:
        started_ns = time.perf_counter_ns()
        try:
            stream = self._connection.send_insert(insert.statement.decode(), insert.format_name)
            try:
                stream.append(data)
                done = stream.finish()
            except BaseException:
                stream.cancel()
                raise
        except Exception as error:
            raise _engine_error(error) from error
        return Answer(
            body=b"",
            rows_written=int(done.rows_written),
            bytes_written=int(done.bytes_written),
            elapsed_ns=time.perf_counter_ns() - started_ns,
        )


def _engine_error(error: Exception) -> EngineError:
    text = str(error)
    found = ERROR_CODE.search(text)
    return EngineError(int(found.group(1)), text[found.start() :]) if found else EngineError(UNKNOWN_EXCEPTION, text)


def table_functions(connection: EngineConnection) -> frozenset[bytes]:
    """Names of all table functions of the engine, lower case."""
    answer = connection.run(b"SELECT name FROM system.table_functions", format_name="TabSeparated")
    return frozenset(line.lower() for line in answer.body.split())


def warm_up(connection: EngineConnection) -> None:
    """Make the first insert and the first reads cost what all later ones cost; leaves nothing behind."""
    for statement in (
        b"DROP TABLE IF EXISTS default.crossbook_warm_up",
        b"CREATE TABLE default.crossbook_warm_up (a Int64, b String, c DateTime64(9)) ENGINE = MergeTree ORDER BY a",
        b"INSERT INTO default.crossbook_warm_up SELECT number, toString(number), now64(9) FROM numbers(1000)",
        b"SELECT b, count(), max(c), quantile(0.5)(a) FROM default.crossbook_warm_up GROUP BY b ORDER BY b LIMIT 5",
    ):
        connection.run(statement, format_name="Native")
    data = connection.run(b"SELECT * FROM default.crossbook_warm_up", format_name="Native").body
    text = b"INSERT INTO default.crossbook_warm_up "
    insert = InsertSplit(statement=text, format_name="Native", data_start=len(text))
    connection.run(text + data, format_name="Native", insert=insert)
    connection.run(b"DROP TABLE default.crossbook_warm_up SYNC", format_name="Native")
