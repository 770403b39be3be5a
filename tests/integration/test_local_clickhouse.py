"""The embedded ClickHouse as its clients see it: `clickhouse_connect` as to a server, and bare HTTP."""

import base64
import http.client
import json
import os
import signal
import threading
import uuid
from datetime import UTC, datetime
from urllib.parse import urlencode

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.stack.clickhouse.child import ClickHouseServer
from deploy.stack.errors import PortInUseError, StartError


def connect(server, user="default", **settings):
    password = server.password if user == "default" else server.reader_password
    return clickhouse_connect.get_client(
        host=server.host, port=server.port, username=user, password=password, **settings
    )


@pytest.fixture
def client(clickhouse):
    with connect(clickhouse) as each:
        yield each


@pytest.fixture
def reader(clickhouse):
    with connect(clickhouse, "reader") as each:
        yield each


@pytest.fixture
def database(client):
    name = f"test_{uuid.uuid4().hex}"
    client.command(f"CREATE DATABASE {name}")
    yield name
    client.command(f"DROP DATABASE {name} SYNC")


def http_request(server, method="POST", path="/", body=b"", headers=None):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_native_insert_comes_back_exactly(client, database):
    client.command(
        f"CREATE TABLE {database}.t (id String, micros Int64, at DateTime64(9), tags Map(String, String), venue LowCardinality(String), note Nullable(String)) ENGINE = MergeTree ORDER BY id"
    )
    at = datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
    rows = [["a", -(2**62), at, {"k": "v"}, "kalshi", None], ["é\n'", 2**62, at, {}, "polymarket", "x"]]
    summary = client.insert("t", rows, column_names=["id", "micros", "at", "tags", "venue", "note"], database=database)
    assert summary.written_rows == 2
    back = client.query(
        f"SELECT id, micros, toUnixTimestamp64Nano(at), tags, venue, note FROM {database}.t ORDER BY id"
    ).result_rows
    nanos = int(at.timestamp()) * 10**9 + 123456000
    assert back == [("a", -(2**62), nanos, {"k": "v"}, "kalshi", None), ("é\n'", 2**62, nanos, {}, "polymarket", "x")]


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_compressed_inserts(clickhouse, client, database, compress):
    client.command(f"CREATE TABLE {database}.t (a Int64, b Int64) ENGINE = MergeTree ORDER BY a")
    with connect(clickhouse, compress=compress, database=database) as compressing:
        column = np.arange(10_000)
        assert (
            compressing.insert("t", [column, column * 2], column_names=["a", "b"], column_oriented=True).written_rows
            == 10_000
        )
        assert compressing.query("SELECT count(), sum(a), sum(b) FROM t").result_rows == [
            (10_000, 49_995_000, 99_990_000)
        ]


def test_raw_formats_and_values(client, database):
    client.command(f"CREATE TABLE {database}.t (a Int64, b String) ENGINE = MergeTree ORDER BY a")
    client.raw_insert(f"{database}.t", ["a", "b"], b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}', fmt="JSONEachRow")
    client.command(f"INSERT INTO {database}.t VALUES (3, 'a FORMAT b; c')")
    client.command(f"INSERT INTO {database}.t FORMAT CSV", data="4,z\n")
    assert (
        client.raw_query(f"SELECT * FROM {database}.t ORDER BY a", fmt="TSV") == b"1\tx\n2\ty\n3\ta FORMAT b; c\n4\tz\n"
    )
    assert json.loads(client.raw_query(f"SELECT count() AS n FROM {database}.t", fmt="JSON"))["data"] == [{"n": 4}]


def test_parameters_settings_data_frames_and_commands(client, database):
    assert client.command("SELECT 41 + 1") == 42
    text = "it's\ta \\ line\n"
    assert client.query(
        "SELECT {n:Int64} + 1, {s:String}, {a:Array(Int64)}", parameters={"n": 4, "s": text, "a": [1, 2]}
    ).result_rows == [(5, text, [1, 2])]
    assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 1}).result_rows == [(1,)]
    assert client.query("SELECT currentDatabase()").result_rows == [("default",)]
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(3)")
    assert frame["n"].tolist() == [0, 1, 2]
    assert client.query_arrow("SELECT number FROM numbers(5)").num_rows == 5


def test_settings_and_databases_do_not_reach_the_next_caller(clickhouse, client, database):
    before = client.query("SELECT getSetting('max_block_size'), getSetting('max_memory_usage')").result_rows
    with connect(clickhouse, database=database, settings={"max_block_size": 7, "max_memory_usage": 10**8}) as other:
        for _ in range(6):  # as many as there are connections, and more
            assert other.query(
                "SELECT getSetting('max_block_size'), getSetting('max_memory_usage'), currentDatabase()"
            ).result_rows == [(7, 10**8, database)]
    for _ in range(6):
        assert client.query("SELECT getSetting('max_block_size'), getSetting('max_memory_usage')").result_rows == before
        assert client.command("SELECT currentDatabase()") == "default"


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, "Multi-statements"),
        ("SELECT throwIf(1, 'said so')", 395, "said so"),
        ("SET max_threads = 1", 48, "sessions are not kept"),
        ("CREATE TEMPORARY TABLE z (a Int8)", 48, "sessions are not kept"),
    ],
)
def test_errors_carry_the_code_and_the_text(client, statement, code, words):
    with pytest.raises(DatabaseError, match=words) as failed:
        client.command(statement)
    assert f"code: {code}" in str(failed.value)


def test_a_broken_insert_writes_nothing_and_the_connection_lives(clickhouse, client, database):
    client.command(f"CREATE TABLE {database}.t (a Int64) ENGINE = MergeTree ORDER BY a")
    for _ in range(6):
        status, headers, body = post(clickhouse, f"INSERT INTO {database}.t FORMAT Native\n".encode() + b"\x01\xff\xff")
        assert (
            status >= 400,
            b"DB::Exception" in body,
            "x-clickhouse-exception-code" in {name.lower() for name in headers},
        ) == (True, True, True)
    assert client.command(f"SELECT count() FROM {database}.t") == 0


def post(server, body, **parameters):
    return http_request(
        server,
        path="/?" + urlencode(parameters),
        body=body,
        headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": server.password},
    )


def test_reader_reads(reader, client, database):
    client.command(f"CREATE TABLE {database}.t ENGINE = MergeTree ORDER BY a AS SELECT number AS a FROM numbers(5)")
    assert reader.query(f"SELECT sum(a) FROM {database}.t WHERE a < {{n:Int64}}", parameters={"n": 3}).result_rows == [
        (3,)
    ]
    assert database in reader.query("SHOW DATABASES").result_columns[0]
    assert reader.command(f"EXISTS {database}.t") == 1
    assert reader.query_df(f"SELECT * FROM {database}.t").shape == (5, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {t} VALUES (9)",
        "DROP TABLE {t}",
        "TRUNCATE TABLE {t}",
        "ALTER TABLE {t} DELETE WHERE 1",
        "CREATE TABLE {t}2 (a Int8) ENGINE = Memory",
        "SYSTEM SHUTDOWN",
        "KILL QUERY WHERE 1",
        "SELECT 1; DROP TABLE {t}",
        "SELECT file('/etc/hostname')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
        "SELECT * FROM s3('http://127.0.0.1:9/b/a', 'CSV')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'CSV')",
        "SELECT 1 INTO OUTFILE 'crossbook-reader'",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT ‘ ' ’ , file('/etc/hostname') , ‘ ' ’",
    ],
)
def test_reader_is_refused_what_is_not_reading(reader, client, database, statement):
    client.command(f"CREATE TABLE {database}.t ENGINE = MergeTree ORDER BY a AS SELECT number AS a FROM numbers(5)")
    with pytest.raises(DatabaseError, match="code: 164"):
        reader.command(statement.format(t=f"{database}.t"))
    assert client.command(f"SELECT count() FROM {database}.t") == 5


def test_reader_may_not_insert_natively_nor_lift_its_limits(clickhouse, reader, client, database):
    client.command(f"CREATE TABLE {database}.t (a Int64) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(DatabaseError, match="code: 164"):
        reader.insert("t", [[1]], column_names=["a"], database=database)
    with pytest.raises(DatabaseError, match="code: 396"):
        reader.query("SELECT number FROM numbers(1000001)")
    headers = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": clickhouse.reader_password}
    status, _, body = http_request(clickhouse, path="/?max_result_rows=0", body=b"SELECT 1", headers=headers)
    assert (status, b"READONLY" in body) == (403, True)
    with pytest.raises(DatabaseError, match="code: 241"):
        reader.query("SELECT length(groupArray(number)) FROM numbers(200000000)")


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [("default", "wrong", 403), ("reader", "wrong", 403), ("nobody", "x", 403), ("default", "", 401)],
)
def test_wrong_tokens(clickhouse, user, password, status):
    answered, headers, body = http_request(
        clickhouse, body=b"SELECT 1", headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
    )
    assert answered == status
    assert b"DB::Exception" in body
    assert ("www-authenticate" in {name.lower() for name in headers}) == (status == 401)
    with pytest.raises(DatabaseError):
        clickhouse_connect.get_client(host=clickhouse.host, port=clickhouse.port, username=user, password=password)


def test_every_way_to_show_a_token(clickhouse):
    basic = base64.b64encode(f"default:{clickhouse.password}".encode()).decode()
    assert http_request(clickhouse, body=b"SELECT 1", headers={"Authorization": f"Basic {basic}"})[::2] == (200, b"1\n")
    query = urlencode({"user": "reader", "password": clickhouse.reader_password, "query": "SELECT 2"})
    assert http_request(clickhouse, "GET", f"/?{query}")[::2] == (200, b"2\n")
    assert http_request(clickhouse, "GET", "/ping")[::2] == (200, b"Ok.\n")


def test_tokens_are_private_and_not_in_the_process_list(clickhouse):
    import psutil

    assert (clickhouse.folder / "tokens.json").stat().st_mode & 0o077 == 0
    shown = " ".join(psutil.Process(clickhouse.pid).cmdline())
    assert clickhouse.password not in shown
    assert clickhouse.password not in clickhouse.log_path.read_text()


def test_eight_threads(clickhouse, client, database):
    client.command(f"CREATE TABLE {database}.t (thread Int64, n Int64) ENGINE = MergeTree ORDER BY (thread, n)")
    failures = []

    def work(thread):
        try:
            with connect(clickhouse, database=database) as mine:
                for n in range(10):
                    mine.insert("t", [[thread, n]], column_names=["thread", "n"])
                    assert mine.command(f"SELECT count() FROM t WHERE thread = {thread}") == n + 1
        except (AssertionError, DatabaseError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert client.command(f"SELECT count() FROM {database}.t") == 80


def test_a_full_queue_says_503(clickhouse):
    answers = []

    def ask():
        answers.append(post(clickhouse, b"SELECT sleep(0.3)")[0])

    threads = [threading.Thread(target=ask) for _ in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(answers) == {200, 503}
    assert answers.count(200) >= 64


def test_data_survive_kill_and_the_tokens_stay(tmp_path):
    server = ClickHouseServer(folder=tmp_path)
    with server:
        password = server.password
        with connect(server) as client:
            client.command("CREATE DATABASE d")
            for place in ("d.t", "default.t"):
                client.command(f"CREATE TABLE {place} (a Int64) ENGINE = MergeTree ORDER BY a")
                client.insert(place, [[n] for n in range(1000)], column_names=["a"])
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
        assert server.password == password
        with connect(server) as client:
            assert client.query("SELECT (SELECT sum(a) FROM d.t), (SELECT sum(a) FROM default.t)").result_rows == [
                (499_500, 499_500)
            ]
        server.stop()
        assert not server.answers()


def test_a_port_in_use_is_named_with_its_holder(clickhouse, tmp_path):
    with pytest.raises(PortInUseError, match=rf"wanted for ClickHouse, is in use by pid {clickhouse.pid}"):
        ClickHouseServer(folder=tmp_path, port=clickhouse.port).start()


def test_a_second_server_on_the_same_folder_is_refused(clickhouse, tmp_path):
    second = ClickHouseServer(folder=clickhouse.folder, log_path=tmp_path / "second.log")
    with pytest.raises(StartError, match="ClickHouse ended with code 1 while it was started"):
        second.start()
    assert second.pid is None
    assert clickhouse.answers()
