"""The pinned schema registry over HTTP, read-only, on the paths of Confluent's own: the stage `registry`.

So that any consumer, console or connector that knows a schema registry decodes every topic without set-up. It answers from
`schemas/registry.json` alone, under the subjects of TopicRecordNameStrategy; it never stores, draws or changes an id, and every
request that would is refused in Confluent's error form. Filling a real registry is `deploy.registry.fill`.
"""

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crossbook.domain.errors import StageError
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import Settings
from deploy.registry.fill import fill_registry
from schemas.compatibility import canonical_form, reading_problems
from schemas.errors import RegistryError
from schemas.registry import PinnedSchema, Registry, load_registry, pinned_subjects

__all__ = ["create_app", "fill_registry", "run", "serving"]

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY = "FULL_TRANSITIVE"
MODE = "READONLY"
#: A request body larger than this is refused: the largest schema is below 8 kB.
BODY_BYTES_MAX = 262_144
#: How long open connections may take to end after a stop was asked for.
GRACE_S = 2

Handler = Callable[[Request], Awaitable[Response]]


class _Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer in Confluent's error form: HTTP status, error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create_app(prefix: str) -> Starlette:
    """Build the application for the topics under a prefix.

    Raises:
        RegistryError: the registry file is damaged.
    """
    face = _Face(load_registry(), pinned_subjects(prefix))
    reads: dict[str, Handler] = {
        "/": face.root,
        "/contexts": face.contexts,
        "/schemas/types": face.types,
        "/schemas/ids/{id}": face.schema,
        "/schemas/ids/{id}/schema": face.schema_text,
        "/schemas/ids/{id}/versions": face.schema_versions,
        "/schemas/ids/{id}/subjects": face.schema_subjects,
        "/subjects": face.subjects,
        "/subjects/{subject}/versions": face.subject_versions,
        "/subjects/{subject}/versions/{version}": face.version,
        "/subjects/{subject}/versions/{version}/schema": face.version_text,
        "/subjects/{subject}/versions/{version}/referencedby": face.referenced_by,
        "/config": face.config,
        "/config/{subject}": face.config,
        "/mode": face.mode,
        "/mode/{subject}": face.mode,
    }
    asks: dict[str, Handler] = {
        "/subjects/{subject}": face.lookup,
        "/compatibility/subjects/{subject}/versions": face.compatibility,
        "/compatibility/subjects/{subject}/versions/{version}": face.compatibility,
    }
    writes = {
        "/subjects/{subject}": ["DELETE"],
        "/subjects/{subject}/versions": ["POST"],
        "/subjects/{subject}/versions/{version}": ["DELETE"],
        "/config": ["PUT", "DELETE"],
        "/config/{subject}": ["PUT", "DELETE"],
        "/mode": ["PUT"],
        "/mode/{subject}": ["PUT", "DELETE"],
    }
    return Starlette(
        routes=[
            *(Route(path, _answering(handler), methods=["POST"]) for path, handler in asks.items()),
            *(Route(path, _answering(face.refuse_write), methods=methods) for path, methods in writes.items()),
            *(Route(path, _answering(handler), methods=["GET"]) for path, handler in reads.items()),
        ],
        exception_handlers={HTTPException: _on_http_exception},
    )


class _Face:
    """Handlers of the application; all of them read."""

    def __init__(self, registry: Registry, subjects: Mapping[str, list[PinnedSchema]]) -> None:
        self._by_id = registry.by_id
        self._subjects = subjects
        self._forms = {schema.id: canonical_form(schema.schema) for schema in registry.by_id.values()}

    async def root(self, _request: Request) -> Response:
        return _json({})

    async def contexts(self, _request: Request) -> Response:
        return _json(["."])

    async def types(self, _request: Request) -> Response:
        return _json(["AVRO"])

    async def schema(self, request: Request) -> Response:
        body: dict[str, Any] = {"schema": _text(self._named_id(request))}
        if request.query_params.get("fetchMaxId") == "true":
            body["maxId"] = max(self._by_id)
        return _json(body)

    async def schema_text(self, request: Request) -> Response:
        return Response(_text(self._named_id(request)), media_type=MEDIA_TYPE)

    async def schema_versions(self, request: Request) -> Response:
        wanted = self._named_id(request)
        return _json([{"subject": name, "version": wanted.version} for name in self._subjects_of(wanted)])

    async def schema_subjects(self, request: Request) -> Response:
        return _json(self._subjects_of(self._named_id(request)))

    async def subjects(self, request: Request) -> Response:
        wanted = request.query_params.get("subjectPrefix", "")
        if wanted == ":*:":  # Confluent's way to say: of all contexts
            wanted = ""
        return _json(sorted(name for name in self._subjects if name.startswith(wanted)))

    async def subject_versions(self, request: Request) -> Response:
        return _json([schema.version for schema in self._versions(request)])

    async def version(self, request: Request) -> Response:
        schema = self._version(request)
        return _json(_registered(request.path_params["subject"], schema))

    async def version_text(self, request: Request) -> Response:
        return Response(_text(self._version(request)), media_type=MEDIA_TYPE)

    async def referenced_by(self, request: Request) -> Response:
        self._version(request)
        return _json([])  # every schema stands by itself

    async def lookup(self, request: Request) -> Response:
        versions = self._versions(request)
        form = canonical_form(await _posted_schema(request))
        found = [schema for schema in versions if self._forms[schema.id] == form]
        if not found:
            raise _Refusal(404, 40403, "Schema not found; the pinned ones are in schemas/registry.json")
        return _json(_registered(request.path_params["subject"], found[-1]))

    async def compatibility(self, request: Request) -> Response:
        against = [self._version(request)] if "version" in request.path_params else self._versions(request)
        posted = await _posted_schema(request)
        try:
            messages = [
                problem
                for schema in against
                for reader, writer in ((posted, schema.schema), (schema.schema, posted))
                for problem in reading_problems(reader, writer)
            ]
        except RegistryError as error:
            raise _Refusal(422, 42201, f"Invalid schema: {error}") from error
        body: dict[str, Any] = {"is_compatible": not messages}
        if request.query_params.get("verbose") == "true":
            body["messages"] = messages
        return _json(body)

    async def config(self, request: Request) -> Response:
        self._check_subject(request)
        return _json({"compatibilityLevel": COMPATIBILITY})

    async def mode(self, request: Request) -> Response:
        self._check_subject(request)
        return _json({"mode": MODE})

    async def refuse_write(self, request: Request) -> Response:
        what = request.path_params.get("subject", "The registry")
        raise _Refusal(
            422,
            42205,
            f"{what} is in read-only mode: its schemas are pinned in schemas/registry.json; "
            "add a version there with `python -m schemas.pin`, look one up with POST /subjects/{subject}",
        )

    def _named_id(self, request: Request) -> PinnedSchema:
        text = request.path_params["id"]
        schema = self._by_id.get(int(text)) if text.isascii() and text.isdigit() else None
        if schema is None:
            raise _Refusal(404, 40403, f"Schema {text} not found")
        return schema

    def _subjects_of(self, wanted: PinnedSchema) -> list[str]:
        return sorted(name for name, versions in self._subjects.items() if wanted in versions)

    def _versions(self, request: Request) -> list[PinnedSchema]:
        name = request.path_params["subject"]
        versions = self._subjects.get(name)
        if versions is None:
            raise _Refusal(404, 40401, f"Subject '{name}' not found.")
        return versions

    def _version(self, request: Request) -> PinnedSchema:
        versions = self._versions(request)
        text = request.path_params["version"]
        if text in {"latest", "-1"}:
            return versions[-1]
        if not (text.isascii() and text.isdigit()) or int(text) < 1:
            raise _Refusal(422, 42202, f"The specified version '{text}' is not a valid version id.")
        found = [schema for schema in versions if schema.version == int(text)]
        if not found:
            raise _Refusal(404, 40402, f"Version {text} not found.")
        return found[0]

    def _check_subject(self, request: Request) -> None:
        if "subject" in request.path_params:
            self._versions(request)


async def _posted_schema(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _Refusal(413, 413, f"The body is larger than {BODY_BYTES_MAX} bytes.")
    try:
        posted = json.loads(body)
        kind, text = posted.get("schemaType") or "AVRO", posted["schema"]
        schema = json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Refusal(422, 42201, f"Invalid schema: {error!r}") from error
    if kind != "AVRO" or not isinstance(schema, dict):
        raise _Refusal(422, 42201, "Invalid schema: this registry holds Avro records")
    try:
        canonical_form(schema)
    except (RegistryError, RecursionError) as error:
        raise _Refusal(422, 42201, f"Invalid schema: {error}") from error
    return schema


def _registered(name: str, schema: PinnedSchema) -> dict[str, Any]:
    return {"subject": name, "version": schema.version, "id": schema.id, "schema": _text(schema)}


def _text(schema: PinnedSchema) -> str:
    return json.dumps(schema.schema, ensure_ascii=False, separators=(",", ":"))


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, media_type=MEDIA_TYPE)


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except _Refusal as refusal:
            return _json({"error_code": refusal.code, "message": str(refusal)}, refusal.status)

    return answer


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"error_code": error.status_code, "message": f"HTTP {error.status_code} {error.detail}"}
    return _json(body, error.status_code)


def listen(host: str, port: int) -> socket.socket:
    """Bind the listening socket; port 0 draws a free one.

    Raises:
        SettingsError: the address is taken or is not this machine's.
    """
    try:
        return socket.create_server((host, port), backlog=64)
    except OSError as error:
        raise SettingsError(
            f"the schema registry cannot listen on {host}:{port}: {error.strerror or error}; "
            "free the port or set CROSSBOOK_REGISTRY__PORT"
        ) from error


@contextlib.contextmanager
def serving(prefix: str, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve the registry from a thread of this process while the block runs; the value is its address.

    Raises:
        SettingsError: the address is taken.
    """
    with listen(host, port) as listener:
        server = _server(prefix)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="registry")
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: those raise the signal again when the server has ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(prefix: str) -> _Server:
    return _Server(
        uvicorn.Config(
            create_app(prefix),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            ws="none",
        )
    )


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; return at once when the settings' port is 0 (none is wanted).

    Raises:
        SettingsError: the port is taken.
        StageError: the registry file is damaged.
    """
    if settings.registry.port == 0:
        return
    with listen(settings.registry.host, settings.registry.port) as listener:
        try:
            server = _server(settings.kafka.prefix)
        except RegistryError as error:
            raise StageError(str(error)) from error

        def stop(_number: int, _frame: object) -> None:
            server.should_exit = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
