"""What the HTTP face must know of a statement before ClickHouse sees it. Pure: bytes in, values out.

Decides whether the reader may send a statement, and where an INSERT's text ends and its data begin. It must never
rewrite a statement: what it does not understand goes to ClickHouse as it stands (or, for the reader, nowhere).

Why the reader needs more than ClickHouse's own `readonly = 1`: the embedded engine still lets it read any file of the
machine (`file()`), reach the network (`s3()`), write (`INTO OUTFILE`), kill queries, and send several statements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

TOKEN = re.compile(
    rb"""
      (?P<space>   \s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/ )
    | (?P<string>  '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<quoted>  "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` )
    | (?P<word>    [A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]* )
    | (?P<number>  [0-9][A-Za-z0-9_.]* )
    | (?P<symbol>  . )
    """,
    re.VERBOSE | re.DOTALL,
)

READER_STATEMENTS = frozenset({b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN"})
# Of ClickHouse's table functions those that touch neither files, network, processes nor other interpreters. Names of
# harmless ordinary functions that are also table functions (`format`, `null`, `values`) are among them.
READER_TABLE_FUNCTIONS = frozenset(
    {
        b"numbers", b"numbers_mt", b"zeros", b"zeros_mt", b"one", b"null", b"values", b"view", b"merge", b"generaterandom",
        b"generateseries", b"generate_series", b"primes", b"format", b"dictionary", b"mergetreeindex", b"mergetreeprojection",
        b"timeseriesdata", b"timeseriesmetrics", b"timeseriestags", b"loop", b"sqlstandardvalues",
    }
)  # fmt: skip
# Ordinary functions that read the machine and not the tables.
READER_FUNCTIONS_REFUSED = frozenset(
    {b"file", b"getenv", b"catboostevaluate", b"addressToLine".lower(), b"eval", b"executable"}
)
READER_CLAUSES_REFUSED = {b"OUTFILE": "INTO OUTFILE", b"INFILE": "FROM INFILE"}


class Kind(Enum):
    """Token kinds that matter here."""

    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    NUMBER = "number"
    SYMBOL = "symbol"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a statement; `start` and `end` are byte offsets."""

    kind: Kind
    text: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertSplit:
    """An INSERT whose data follow in the body: its text without the FORMAT clause, the format, where the data begin."""

    statement: bytes
    format_name: str
    data_start: int


def tokens(statement: bytes) -> Iterator[Token]:
    """Tokens without spaces and comments, lazily: the data of an INSERT are never looked at."""
    position = 0
    while match := TOKEN.match(statement, position):
        position = match.end()
        kind = match.lastgroup if match.lastgroup != "tag" else "string"
        if kind != "space":
            yield Token(Kind(kind), match.group(), match.start(), position)


def first_word(statement: bytes) -> bytes:
    """The keyword that a statement begins with, upper case; b"" when there is none. Opening brackets are passed over."""
    for token in tokens(statement):
        if token.kind is Kind.WORD:
            return token.text.upper()
        if token.text != b"(":
            break
    return b""


def split_insert(statement: bytes) -> InsertSplit | None:
    """Where an INSERT's FORMAT clause ends and its data begin; None for anything else (VALUES and SELECT included).

    The data begin after the one line break, or the spaces, that follow the name of the format, as in ClickHouse.
    """
    depth = 0
    stream = tokens(statement)
    first = next(stream, None)
    if first is None or first.text.upper() != b"INSERT":
        return None
    for token in stream:
        if token.text in (b"(", b")"):
            depth += 1 if token.text == b"(" else -1
        if token.kind is not Kind.WORD or depth:
            continue
        word = token.text.upper()
        if word in (b"VALUES", b"SELECT", b"WITH", b"INFILE", b"WATCH"):
            return None
        if word == b"FORMAT":
            name = next(stream, None)
            if name is None or name.kind is not Kind.WORD:
                return None
            if name.text.upper() == b"VALUES":
                return None
            return InsertSplit(
                statement=statement[: token.start],
                format_name=name.text.decode(),
                data_start=_data_start(statement, name.end),
            )
    return None


def _data_start(statement: bytes, end: int) -> int:
    while statement[end : end + 1] in (b" ", b"\t", b"\r", b";"):
        end += 1
    return end + 1 if statement[end : end + 1] == b"\n" else end


def output_format(statement: bytes) -> str | None:
    """The FORMAT at the end of a statement, None when it names none."""
    found = re.search(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", statement[-400:], re.IGNORECASE)
    return found.group(1).decode() if found else None


def several_statements(statement: bytes) -> bool:
    """Whether something follows a semicolon."""
    ended = False
    for token in tokens(statement):
        if ended and token.text != b";":
            return True
        ended = ended or token.text == b";"
    return False


def reader_refusal(statement: bytes, table_functions: frozenset[bytes]) -> str | None:
    """Why the reader may not send this statement; None when it may.

    `table_functions` are the engine's own, lower case: what is not known to be harmless is refused, also when a later
    engine brings new ones.
    """
    word = first_word(statement)
    if word not in READER_STATEMENTS:
        return f"the user reader may only read, {word.decode(errors='replace') or 'this'} is not among SELECT, WITH, SHOW, DESCRIBE, EXISTS, EXPLAIN"
    if several_statements(statement):
        return "one statement at a time"
    if ambiguous(statement):
        return "the statement has quotes or comments that can be read in two ways: write it plainly"
    refused = (table_functions - READER_TABLE_FUNCTIONS) | READER_FUNCTIONS_REFUSED
    before: tuple[bytes, ...] = (b"", b"")  # the two tokens before, upper case
    for token in tokens(statement):
        text = token.text.upper()
        if token.kind is Kind.WORD and text in READER_CLAUSES_REFUSED:
            return f"the user reader may not use {READER_CLAUSES_REFUSED[text]}"
        called = before[1] if text == b"(" else b""
        if before[1] == b"APPLY" or before == (b"APPLY", b"("):  # `* APPLY(file)` calls without brackets
            called = text
        name = called.strip(b'"`').lower()
        if name in refused or called == b"}" or (called[:1] in (b'"', b"`") and b"\\" in called):
            return f"the user reader may not call {name.decode(errors='replace')}()"
        before = (before[1], text)
    return None


def ambiguous(statement: bytes) -> bool:
    """Whether ClickHouse may see other strings and comments in the statement than `tokens` does.

    It takes typographic quotes for quotes, and hexadecimal strings know no backslash. Quotes that are never closed,
    comments in comments and `//` are refused as well: nobody needs them, and what hides in them is not worth a guess.
    """
    previous = b""
    position = 0
    while match := TOKEN.match(statement, position):
        position = match.end()
        text = match.group()
        match match.lastgroup:
            case "space" if text.startswith(b"/*") and b"/*" in text[2:]:
                return True
            case "word" if not text.isascii():
                return True
            case "symbol" if text in b"'\"`$\\" or not text.isascii() or text + previous == b"//":
                return True
            case "string" | "tag" if b"\\" in text and previous.lower() in (b"x", b"b"):
                return True
            case _:
                previous = text
    return False
