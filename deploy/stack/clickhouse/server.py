"""ClickHouse's HTTP protocol on loopback in front of the embedded engine.

What `clickhouse_connect`, Grafana and curl speak. A process of its own:
`python -m deploy.stack.clickhouse.server --folder FOLDER --port PORT`.

Decides who may ask (two users, by token), how many statements may wait, and how answers and errors look on the wire.
It must never answer without a token (but `/ping`), never listen anywhere but on 127.0.0.1, and never write a token to
a log. Sessions are not kept: settings, database and parameters come with every request.
"""

import argparse
import asyncio
import base64
import binascii
import contextlib
import gzip
import hmac
import json
import os
import signal
import socket
import sys
import uuid
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deploy.stack.clickhouse.engine import (
    SYNTAX_ERROR,
    Answer,
    EngineConnection,
    EngineError,
    Limits,
    table_functions,
    warm_up,
)
from deploy.stack.clickhouse.sql import (
    first_word,
    output_format,
    reader_refusal,
    several_statements,
    split_insert,
    tokens,
)
from deploy.stack.ports import LOOPBACK

WRITER = "default"
READER = "reader"
BODY_BYTES_MAX = 256 * 1024 * 1024  # one insert; the projection's batches are a hundredth of it
PENDING_MAX = 64  # running and waiting statements; more are told to come back
WRITER_CONNECTIONS = 4
READER_CONNECTIONS = 2
GRACE_S = 3

# ClickHouse's error codes, and the statuses that its server gives them.
AUTHENTICATION_FAILED, REQUIRED_PASSWORD, READONLY, NOT_IMPLEMENTED, TOO_MANY_QUERIES = 516, 194, 164, 48, 202
TOO_LARGE, CANNOT_DECOMPRESS = 307, 354
STATUS_OF_CODE = {
    AUTHENTICATION_FAILED: 403, REQUIRED_PASSWORD: 401, 497: 403, TOO_MANY_QUERIES: 503, TOO_LARGE: 413, NOT_IMPLEMENTED: 501,
    159: 408,  # TIMEOUT_EXCEEDED
    **dict.fromkeys((60, 81, 36, 46, 47), 404),  # unknown table, database, function, identifier
    **dict.fromkeys((6, 26, 27, 33, 38, 41, 43, 53, 57, 62, 70, 72, 115, 117, CANNOT_DECOMPRESS, 386, 456, 457), 400),
}  # fmt: skip
STATUS_OF_CODE[36] = 400
READONLY_STATUS = 403

# Parameters of the protocol that are no settings of ClickHouse. Sessions and progress headers are accepted and unused.
PROTOCOL_PARAMETERS = frozenset(
    {
        "query", "database", "default_format", "user", "password", "quota_key", "query_id", "session_id", "session_timeout",
        "session_check", "wait_end_of_query", "buffer_size", "compress", "decompress", "stacktrace", "role", "client_protocol_version",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression", "close_session",
        "http_zlib_compression_level",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The passwords of both users; kept in the folder, readable by its owner only."""

    default: str
    reader: str


class Refused(Exception):  # noqa: N818 - not an error of ours: an answer
    """A request that is answered with an error of ClickHouse."""

    def __init__(self, code: int, text: str, name: str) -> None:
        self.code = code
        self.text = f"Code: {code}. DB::Exception: {text}. ({name})"
        super().__init__(self.text)


class Face:
    """The pool of connections behind the wire. `open()` before use, `close()` afterwards."""

    def __init__(self, folder: Path, access: Tokens, limits: Mapping[str, Limits]) -> None:
        self._folder = folder
        self._passwords = {WRITER: access.default, READER: access.reader}
        self._limits = limits
        self._idle: dict[str, asyncio.Queue[EngineConnection]] = {WRITER: asyncio.Queue(), READER: asyncio.Queue()}
        self._threads = ThreadPoolExecutor(WRITER_CONNECTIONS + READER_CONNECTIONS, thread_name_prefix="statement")
        self._connections: list[EngineConnection] = []
        self._pending = 0
        self._table_functions: frozenset[bytes] = frozenset()

    def open(self) -> None:
        """Open the engine, the connections, and warm up."""
        for user, count in ((WRITER, WRITER_CONNECTIONS), (READER, READER_CONNECTIONS)):
            for _ in range(count):
                connection = EngineConnection(self._folder, self._limits[user], readonly=user == READER)
                self._connections.append(connection)
                self._idle[user].put_nowait(connection)
        self._table_functions = table_functions(self._connections[0])
        warm_up(self._connections[0])

    def close(self) -> None:
        """Let running statements end, close the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def user_of(self, request: Request) -> str:
        """Who asks; raises `Refused` for a missing or a wrong token."""
        user, password = _credentials(request)
        if not password:
            raise Refused(
                REQUIRED_PASSWORD,
                f"{user}: a password is required: it is in the stack's state folder",
                "REQUIRED_PASSWORD",
            )
        expected = self._passwords.get(user, "")
        if not expected or not hmac.compare_digest(expected.encode(), password.encode()):
            raise Refused(
                AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name",
                "AUTHENTICATION_FAILED",
            )
        return user

    async def answer(self, user: str, statement: bytes, request: Request) -> Answer:
        """Run a statement for `user` on the next idle connection."""
        parameters = request.query_params
        insert = split_insert(statement)
        self._check(user, statement if insert is None else insert.statement, is_insert=insert is not None)
        if self._pending >= PENDING_MAX:
            raise Refused(
                TOO_MANY_QUERIES,
                f"more than {PENDING_MAX} statements are waiting: try again later",
                "TOO_MANY_SIMULTANEOUS_QUERIES",
            )
        self._pending += 1
        try:
            connection = await self._idle[user].get()
            # Shielded: a caller that goes away must not put the connection back while its statement still runs.
            work = asyncio.get_running_loop().run_in_executor(
                self._threads,
                lambda: connection.run(
                    statement,
                    format_name=parameters.get("default_format")
                    or request.headers.get("x-clickhouse-format")
                    or "TabSeparated",
                    database=parameters.get("database") or request.headers.get("x-clickhouse-database"),
                    settings=_settings(parameters),
                    parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
                    insert=insert,
                ),
            )
            work.add_done_callback(lambda _: self._idle[user].put_nowait(connection))
            return await asyncio.shield(work)
        finally:
            self._pending -= 1

    def _check(self, user: str, statement: bytes, *, is_insert: bool) -> None:
        if user == READER:
            refusal = reader_refusal(statement, self._table_functions)
            if refusal:
                raise Refused(READONLY, refusal, "READONLY")
            return
        word = first_word(statement)
        if not word:
            raise Refused(SYNTAX_ERROR, "Empty query", "SYNTAX_ERROR")
        if word in (b"SET", b"USE") or [t.text.upper() for t, _ in zip(tokens(statement), range(2), strict=False)] == [
            b"CREATE",
            b"TEMPORARY",
        ]:
            raise Refused(
                NOT_IMPLEMENTED,
                "sessions are not kept: send settings and the database with each statement",
                "NOT_IMPLEMENTED",
            )
        if not is_insert and word != b"INSERT" and several_statements(statement):
            raise Refused(SYNTAX_ERROR, "Multi-statements are not allowed", "SYNTAX_ERROR")


def _credentials(request: Request) -> tuple[str, str]:
    headers, parameters = request.headers, request.query_params
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", WRITER), headers.get("x-clickhouse-key", "")
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
            return user or WRITER, password
    return parameters.get("user", WRITER), parameters.get("password", "")


def _settings(parameters: Mapping[str, str]) -> dict[str, str]:
    if parameters.get("decompress") == "1" or parameters.get("compress") == "1":
        raise Refused(
            NOT_IMPLEMENTED, "ClickHouse's own block compression is not spoken here: send compress=0", "NOT_IMPLEMENTED"
        )
    return {
        name: value
        for name, value in parameters.items()
        if name not in PROTOCOL_PARAMETERS and not name.startswith("param_")
    }


async def _statement(request: Request) -> bytes:
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refused(
            NOT_IMPLEMENTED, "forms (external data, form_encode_query_params) are not spoken here", "NOT_IMPLEMENTED"
        )
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        chunks.append(chunk)
    body = _plain(b"".join(chunks), request.headers.get("content-encoding", ""))
    query = request.query_params.get("query", "").encode()
    if not query:
        return body
    return query + b"\n" + body if body else query


def _too_large() -> Refused:
    return Refused(
        TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX >> 20} MiB: insert in smaller batches", "TOO_MANY_BYTES"
    )


def _plain(body: bytes, encoding: str) -> bytes:
    if not body or encoding in ("", "identity"):
        return body
    try:
        match encoding:
            case "gzip":
                plain = gzip.decompress(body)
            case "deflate":
                plain = zlib.decompress(body)
            case "lz4":
                plain = import_module("lz4.frame").decompress(body)
            case "zstd":
                plain = _zstd(body)
            case _:
                raise Refused(
                    NOT_IMPLEMENTED,
                    f"Content-Encoding {encoding} is not known here: use lz4, zstd, gzip or deflate",
                    "NOT_IMPLEMENTED",
                )
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error) as error:
        raise Refused(CANNOT_DECOMPRESS, f"the body is not {encoding}: {error}", "CANNOT_DECOMPRESS") from error
    if len(plain) > BODY_BYTES_MAX:
        raise _too_large()
    return plain


def _zstd(body: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    try:
        return bytes(zstd.decompress(body))
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def create_app(face: Face) -> Starlette:
    """The HTTP application over an opened `Face`."""

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def root(request: Request) -> Response:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            user = face.user_of(request)
            if request.method == "GET" and "query" not in request.query_params:
                return PlainTextResponse("Ok.\n")
            statement = await _statement(request)
            answer = await face.answer(user, statement, request)
        except (Refused, EngineError) as error:
            return _error(error.code, error.text, query_id)
        except ClientDisconnect:
            return Response(status_code=499)
        shape = output_format(statement) or request.query_params.get("default_format") or "TabSeparated"
        return Response(answer.body, headers=_headers(query_id, shape, answer))

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/replicas_status", ping, methods=["GET"]),
            Route("/", root, methods=["GET", "POST"]),
        ]
    )


def _headers(query_id: str, shape: str, answer: Answer) -> dict[str, str]:
    summary = {
        "read_rows": answer.rows_read,
        "read_bytes": answer.bytes_read,
        "written_rows": answer.rows_written,
        "written_bytes": answer.bytes_written,
        "elapsed_ns": answer.elapsed_ns,
    }
    return {
        "Content-Type": "application/json; charset=UTF-8"
        if shape.upper().startswith("JSON")
        else "text/tab-separated-values; charset=UTF-8",
        "X-ClickHouse-Server-Display-Name": "crossbook",
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Format": shape,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()}),
    }


def _error(code: int, text: str, query_id: str) -> Response:
    status = READONLY_STATUS if code == READONLY else STATUS_OF_CODE.get(code, 500)
    headers = {
        "X-ClickHouse-Exception-Code": str(code),
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Server-Display-Name": "crossbook",
    }
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return PlainTextResponse(text + "\n", status_code=status, headers=headers)


async def _serve(app: Starlette, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="off",
        server_header=False,
    )
    await uvicorn.Server(config).serve(sockets=[listener])


@contextlib.asynccontextmanager
async def _opened(face: Face) -> AsyncIterator[None]:
    face.open()
    try:
        yield
    finally:
        face.close()


async def _run(folder: Path, port: int, access: Tokens, limits: Mapping[str, Limits]) -> None:
    # The protocol is named: asyncio turns Nagle's delay off (40 ms an answer) only where it reads TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))  # before the engine opens: a port in use costs nothing
        face = Face(folder / "data", access, limits)
        async with _opened(face):
            await _serve(create_app(face), listener)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM. Exit code 78 (EX_CONFIG): the folder has no usable tokens."""
    parser = argparse.ArgumentParser(description="The embedded ClickHouse behind its HTTP protocol, on 127.0.0.1 only.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--memory-mib", type=int, default=768, help="for one statement of the user default")
    parser.add_argument("--reader-rows", type=int, default=1_000_000)
    parser.add_argument("--reader-memory-mib", type=int, default=384)
    parser.add_argument("--reader-seconds", type=int, default=20)
    options = parser.parse_args(arguments)
    os.environ["TZ"] = "UTC"  # before the engine is loaded: times without a zone are UTC, as on a server
    try:
        access = msgspec.json.decode((options.folder / "tokens.json").read_bytes(), type=Tokens)
    except (OSError, msgspec.DecodeError) as error:
        print(
            f"{options.folder / 'tokens.json'} cannot be read ({error}): let ClickHouseServer make it", file=sys.stderr
        )
        return 78
    limits = {
        WRITER: Limits(result_rows_max=0, memory_bytes_max=options.memory_mib << 20, seconds_max=0),
        READER: Limits(
            result_rows_max=options.reader_rows,
            memory_bytes_max=options.reader_memory_mib << 20,
            seconds_max=options.reader_seconds,
        ),
    }
    try:
        asyncio.run(_run(options.folder, options.port, access, limits))
    except (OSError, EngineError) as error:
        print(f"ClickHouse cannot serve {options.folder}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main())
