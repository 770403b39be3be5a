"""What the HTTP face reads in a statement: the reader's bounds, and where an INSERT's data begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.stack.clickhouse.sql import first_word, output_format, reader_refusal, several_statements, split_insert

ENGINE = frozenset({b"file", b"url", b"s3", b"remote", b"numbers", b"merge", b"python", b"executable", b"newfangled"})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        " -- hello\n select 1;",
        "/* DROP */ (SELECT 1) UNION ALL (SELECT 2)",
        "WITH 1 AS a SELECT a",
        "SHOW TABLES",
        "DESCRIBE t",
        "DESC t",
        "EXISTS t",
        "EXPLAIN SELECT 1",
        "SELECT * FROM numbers(10)",
        "SELECT 'file(''/etc/passwd'')', \"file\", count(file) FROM t WHERE url = 'x; DROP TABLE t'",
        "SELECT file FROM t",
        "SELECT 'What’s up?', $$it's$$, x'4142', a / b, 2 - -1 FROM t -- it's",
    ],
)
def test_reader_may(statement):
    assert reader_refusal(statement.encode(), ENGINE) is None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO t VALUES (1)", "may only read"),
        ("DROP TABLE t", "may only read"),
        ("KILL QUERY WHERE 1", "may only read"),
        ("SET readonly = 0", "may only read"),
        ("", "may only read"),
        ("SELECT 1; DROP TABLE t", "one statement"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT file('/etc/passwd')", "may not call file"),
        ("SELECT FILE ('/etc/passwd')", "may not call file"),
        ("SELECT `file`('/etc/passwd')", "may not call file"),
        ("SELECT \"file\" /* x */ ('/etc/passwd')", "may not call file"),
        ("SELECT `f\\x69le`('/etc/passwd')", "may not call"),
        ("SELECT * FROM s3('a')", "may not call s3"),
        ("SELECT * FROM url('a')", "may not call url"),
        ("SELECT * FROM newFangled('a')", "may not call newfangled"),
        ("SELECT 1 INTO OUTFILE 'x'", "INTO OUTFILE"),
        ("SELECT 1 into\n outfile 'x'", "INTO OUTFILE"),
        ("SELECT ' /* ' , file('/etc/passwd') , ' */ '", "may not call file"),
        ("SELECT '\\'' , file('/etc/passwd')", "may not call file"),
        ("SELECT * APPLY(file) FROM t", "may not call file"),
        ("SELECT * APPLY file FROM t", "may not call file"),
        ("SELECT {f:Identifier}('/etc/passwd')", "may not call"),
        ("SELECT ‘ ' ’ , file('/etc/passwd') , ‘ ' ’", "two ways"),
        ("SELECT x'\\' , file('/etc/passwd'), '", "two ways"),
        ("SELECT /* /* */ ' */ , file('/etc/passwd') -- '", "two ways"),
        ("SELECT 1 // '\n , file('/etc/passwd') -- '", "two ways"),
        ("SELECT 'x", "two ways"),
    ],
)
def test_reader_may_not(statement, words):
    assert words in (reader_refusal(statement.encode(), ENGINE) or "")


@pytest.mark.parametrize(
    ("statement", "text", "name", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", b"INSERT INTO t ", "Native", b"\x01\x02"),
        (b"INSERT INTO d.t (`a`, `format`) FORMAT Native\n\n(", b"INSERT INTO d.t (`a`, `format`) ", "Native", b"\n("),
        (b'insert into t (a) settings async_insert=1 format JSONEachRow {"a":1}', b"insert into t (a) settings async_insert=1 ", "JSONEachRow", b'{"a":1}'),
        (b"INSERT INTO t FORMAT TSV", b"INSERT INTO t ", "TSV", b""),
    ],
)  # fmt: skip
def test_split_insert(statement, text, name, data):
    split = split_insert(statement)
    assert (split.statement, split.format_name, statement[split.data_start :]) == (text, name, data)


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT 1 FORMAT Native",
        b"INSERT INTO t VALUES ('x FORMAT y')",
        b"INSERT INTO t SELECT 1 FORMAT Null",
        b"INSERT INTO t FORMAT Values (1)",
        b"",
        b"x",
    ],
)
def test_no_split(statement):
    assert split_insert(statement) is None


@given(st.binary(max_size=200))
def test_data_of_an_insert_come_out_as_they_went_in(data):
    split = split_insert(b"INSERT INTO t (a) FORMAT Native\n" + data)
    assert (b"INSERT INTO t (a) FORMAT Native\n" + data)[split.data_start :] == data


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(statement):
    first_word(statement)
    split_insert(statement)
    several_statements(statement)
    output_format(statement)
    reader_refusal(statement, ENGINE)


def test_output_format():
    assert output_format(b"SELECT 1\n FORMAT Native") == "Native"
    assert output_format(b"SELECT 1 format JSON settings max_threads=1;") == "JSON"
    assert output_format(b"SELECT 'FORMAT x'") is None


def test_several_statements():
    assert not several_statements(b"SELECT ';'; ; -- end")
    assert several_statements(b"SELECT 1; x")
