"""Filling a stranger's registry: pinned ids or nothing."""

import json
import socketserver
import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from crossbook.runtime.settings import KafkaSettings, Settings
from deploy.errors import StackError
from deploy.registry.fill import RegistryDifferenceError, compare_registry
from deploy.registry.server import fill_registry, serving
from schemas.registry import load_registry, pinned_subjects, read_avsc

SETTINGS = Settings(kafka=KafkaSettings(prefix="fill."))
SUBJECTS = pinned_subjects("fill.")


@dataclass
class FakeRegistry:
    """A registry that draws ids unless a subject is in mode IMPORT, as Confluent's does."""

    subjects: dict[str, dict[int, int]] = field(default_factory=dict)
    schemas: dict[int, Any] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    refuse_subject: str = ""
    url: str = ""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if method != "GET":
            self.writes += 1
        match method, parts:
            case "GET", ["schemas", "ids", text]:
                found = self.schemas.get(int(text))
                return (404, {"error_code": 40403}) if found is None else (200, {"schema": json.dumps(found)})
            case "GET", ["subjects", name, "versions", version]:
                versions = self.subjects.get(name)
                if versions is None or int(version) not in versions:
                    return 404, {"error_code": 40401 if versions is None else 40402}
                number = versions[int(version)]
                return 200, {"subject": name, "id": number, "schema": json.dumps(self.schemas[number])}
            case "POST", ["subjects", name, "versions"]:
                return self._register(name, body)
            case "PUT", ["mode", name]:
                self.modes[name] = body["mode"]
                return 200, body
            case "DELETE", ["mode", name]:
                del self.modes[name]
                return 200, {}
            case "PUT", ["config", name]:
                self.configs[name] = body["compatibility"]
                return 200, body
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, name: str, body: Any) -> tuple[int, Any]:
        if name == self.refuse_subject:
            return 500, {"error_code": 50001, "message": "backend store away"}
        if self.modes.get(name) == "IMPORT":
            number, version = body["id"], body["version"]
        elif "id" in body:
            return 422, {"error_code": 42205, "message": "Subject is not in import mode"}
        else:
            number, version = 1_000 + len(self.schemas), len(self.subjects.get(name, {})) + 1
        schema = json.loads(body["schema"])
        if self.schemas.setdefault(number, schema) != schema:
            return 422, {"error_code": 42205, "message": f"Overwrite new schema with id {number} is not permitted."}
        self.subjects.setdefault(name, {})[version] = number
        return 200, {"id": number}


def _handler(fake: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, body = fake.answer(self.command, self.path, json.loads(raw) if raw else None)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - named by http.server

        def log_message(self, *_arguments: object) -> None: ...

    return Handler


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A served registry that holds nothing."""
    registry = FakeRegistry()
    with socketserver.TCPServer(("127.0.0.1", 0), _handler(registry)) as server:
        registry.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield registry
        server.shutdown()
        thread.join()


def test_an_empty_registry_gets_every_version_under_its_pinned_id(fake: FakeRegistry) -> None:
    done = fill_registry(fake.url, SETTINGS)
    assert (done.subjects, done.present, done.imported) == (len(SUBJECTS), 0, sum(map(len, SUBJECTS.values())))
    assert fake.subjects == {name: {s.version: s.id for s in versions} for name, versions in SUBJECTS.items()}
    assert fake.schemas == {number: schema.schema for number, schema in load_registry().by_id.items()}
    assert fake.modes == {}, "no subject is left in mode IMPORT"
    assert set(fake.configs.values()) == {"FULL_TRANSITIVE"}


def test_a_second_fill_writes_nothing(fake: FakeRegistry) -> None:
    fill_registry(fake.url, SETTINGS)
    fake.writes = 0
    assert fill_registry(fake.url, SETTINGS).imported == 0
    assert fake.writes == 0


def test_only_what_is_missing_is_imported(fake: FakeRegistry) -> None:
    fill_registry(fake.url, SETTINGS)
    del fake.subjects["fill.fills-crossbook.Fill"]
    assert fill_registry(fake.url, SETTINGS).imported == 1
    assert fake.subjects["fill.fills-crossbook.Fill"] == {1: load_registry().newest["Fill"].id}


def test_strangers_subjects_are_left_alone(fake: FakeRegistry) -> None:
    stranger = {"type": "record", "name": "Order", "fields": []}
    fake.schemas[5_000] = stranger
    fake.subjects["shop.orders-value"] = {1: 5_000}
    fill_registry(fake.url, SETTINGS)
    assert fake.subjects["shop.orders-value"] == {1: 5_000}
    assert fake.schemas[5_000] == stranger


def test_an_id_that_stands_for_something_else_stops_before_the_first_write(fake: FakeRegistry) -> None:
    number = load_registry().newest["InstrumentSettled"].id
    fake.schemas[number] = {"type": "record", "name": "Order", "fields": []}
    with pytest.raises(RegistryDifferenceError, match=f"id {number} is not InstrumentSettled version 1"):
        fill_registry(fake.url, SETTINGS)
    assert fake.writes == 0
    assert compare_registry(fake.url, SETTINGS).differences == [f"id {number} is not InstrumentSettled version 1"]


def test_an_id_that_the_registry_drew_itself_is_a_difference(fake: FakeRegistry) -> None:
    fake.schemas[900] = read_avsc("Fill")
    fake.subjects["fill.fills-crossbook.Fill"] = {1: 900}
    with pytest.raises(RegistryDifferenceError, match=r"fill\.fills-crossbook\.Fill version 1 has id 900"):
        fill_registry(fake.url, SETTINGS)
    assert fake.writes == 0


def test_a_schema_that_was_changed_there_is_a_difference(fake: FakeRegistry) -> None:
    fill_registry(fake.url, SETTINGS)
    number = load_registry().newest["Fill"].id
    fake.schemas[number] = deepcopy(fake.schemas[number])
    fake.schemas[number]["fields"].pop()
    with pytest.raises(RegistryDifferenceError, match=f"id {number} is not Fill"):
        fill_registry(fake.url, SETTINGS)


def test_many_differences_are_counted_not_listed(fake: FakeRegistry) -> None:
    for number in load_registry().by_id:
        fake.schemas[number] = {"type": "record", "name": "Order", "fields": []}
    with pytest.raises(RegistryDifferenceError, match=f"and {len(load_registry().by_id) - 5} more"):
        fill_registry(fake.url, SETTINGS)


def test_a_refusal_is_named_and_the_mode_is_taken_back(fake: FakeRegistry) -> None:
    fake.refuse_subject = "fill.fills-crossbook.Fill"
    with pytest.raises(StackError, match="500 backend store away"):
        fill_registry(fake.url, SETTINGS)
    assert fake.modes == {}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://"])
def test_a_registry_that_is_away_is_named(url: str) -> None:
    with pytest.raises(StackError, match=r"no schema registry answers at .*check the address"):
        fill_registry(url, SETTINGS)


def test_our_own_face_is_complete_by_nature() -> None:
    with serving("fill.") as url:
        found = compare_registry(url, SETTINGS)
    assert (found.missing, found.differences, found.present) == ([], [], sum(map(len, SUBJECTS.values())))
