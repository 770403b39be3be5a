"""The registry's HTTP face: Confluent's paths and error forms, nothing that writes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossbook.domain.errors import EXIT_SETTINGS
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import RegistrySettings, Settings
from deploy.registry.server import BODY_BYTES_MAX, listen, run, serving
from schemas.registry import load_registry, pinned_subjects, read_avsc
from schemas.topics import TOPICS
from tests.builders.places import REPOSITORY

DELTA = "crossbook.market-crossbook.BookDelta"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a served registry."""
    with serving("crossbook.") as url, httpx.Client(base_url=url) as opened:
        yield opened


def posted(schema: Any, **more: Any) -> dict[str, Any]:
    return {"schema": json.dumps(schema), **more}


def assert_error(response: httpx.Response, status: int, code: int, said: str = "") -> None:
    assert (response.status_code, response.json()["error_code"]) == (status, code)
    assert said in response.json()["message"]
    assert response.headers["content-type"] == "application/vnd.schemaregistry.v1+json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", {}),
        ("/contexts", ["."]),
        ("/schemas/types", ["AVRO"]),
        ("/config", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        (f"/config/{DELTA}", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        ("/mode", {"mode": "READONLY"}),
        (f"/mode/{DELTA}", {"mode": "READONLY"}),
        (f"/subjects/{DELTA}/versions", [1]),
        (f"/subjects/{DELTA}/versions/1/referencedby", []),
        ("/schemas/ids/1/versions", [{"subject": "crossbook.tape-crossbook.RawFrame", "version": 1}]),
        ("/schemas/ids/1/subjects", ["crossbook.tape-crossbook.RawFrame"]),
        ("/subjects?subjectPrefix=crossbook.tape", ["crossbook.tape-crossbook.RawFrame"]),
    ],
)
def test_reads(client: httpx.Client, path: str, body: Any) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, body)
    assert response.headers["content-type"] == "application/vnd.schemaregistry.v1+json"


def test_subjects_are_those_of_the_topics(client: httpx.Client) -> None:
    assert client.get("/subjects").json() == sorted(pinned_subjects("crossbook."))
    assert client.get("/subjects", params={"subjectPrefix": ":*:"}).json() == sorted(pinned_subjects("crossbook."))


@pytest.mark.parametrize("schema_id", sorted(load_registry().by_id))
def test_every_pinned_id_is_served(client: httpx.Client, schema_id: int) -> None:
    pinned = load_registry().by_id[schema_id]
    assert json.loads(client.get(f"/schemas/ids/{schema_id}").json()["schema"]) == pinned.schema
    assert client.get(f"/schemas/ids/{schema_id}/schema").json() == pinned.schema
    versions = client.get(f"/schemas/ids/{schema_id}/versions").json()
    assert len(versions) == sum(pinned.record in topic.records for topic in TOPICS.values())
    for version in versions:
        there = client.get(f"/subjects/{version['subject']}/versions/{version['version']}").json()
        said = (there["id"], there["version"], json.loads(there["schema"]))
        assert said == (schema_id, pinned.version, pinned.schema)


def test_versions_by_number_and_latest(client: httpx.Client) -> None:
    latest = client.get(f"/subjects/{DELTA}/versions/latest").json()
    assert latest == client.get(f"/subjects/{DELTA}/versions/-1").json()
    assert latest["subject"] == DELTA
    assert latest["id"] == load_registry().newest["BookDelta"].id
    assert client.get(f"/subjects/{DELTA}/versions/latest/schema").json() == read_avsc("BookDelta")


def test_max_id_on_request(client: httpx.Client) -> None:
    assert client.get("/schemas/ids/1?fetchMaxId=true").json()["maxId"] == max(load_registry().by_id)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/schemas/ids/9999", 404, 40403),
        ("/schemas/ids/x", 404, 40403),
        ("/schemas/ids/²", 404, 40403),
        ("/schemas/ids/9999/versions", 404, 40403),
        ("/subjects/nobody/versions", 404, 40401),
        ("/subjects/nobody/versions/1", 404, 40401),
        (f"/subjects/{DELTA}/versions/99", 404, 40402),
        (f"/subjects/{DELTA}/versions/0", 422, 42202),
        (f"/subjects/{DELTA}/versions/first", 422, 42202),
        ("/config/nobody", 404, 40401),
        ("/mode/nobody", 404, 40401),
        ("/nowhere", 404, 404),
    ],
)
def test_what_is_not_there_is_refused_in_confluents_words(
    client: httpx.Client, path: str, status: int, code: int
) -> None:
    assert_error(client.get(path), status, code)


def test_lookup_finds_the_id_of_a_schema_whatever_its_docs_say(client: httpx.Client) -> None:
    schema = deepcopy(read_avsc("BookDelta"))
    schema["doc"] = "Said otherwise."
    found = client.post(f"/subjects/{DELTA}", json=posted(schema, schemaType="AVRO")).json()
    assert (found["subject"], found["id"]) == (DELTA, load_registry().newest["BookDelta"].id)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (posted({"type": "record", "name": "X", "fields": []}), 404, 40403),
        (posted(read_avsc("Fill")), 404, 40403),
        (posted("string"), 422, 42201),
        (posted({"type": "record"}), 422, 42201),
        ({"schema": "{"}, 422, 42201),
        ({"schema": None}, 422, 42201),
        ({}, 422, 42201),
        ([], 422, 42201),
        (posted({}, schemaType="PROTOBUF"), 422, 42201),
        ({"schema": "[" * 60_000}, 422, 42201),
    ],
)
def test_lookup_refuses(client: httpx.Client, body: Any, status: int, code: int) -> None:
    assert_error(client.post(f"/subjects/{DELTA}", json=body), status, code)


def test_lookup_under_an_unknown_subject_and_with_no_json(client: httpx.Client) -> None:
    assert_error(client.post("/subjects/nobody", json=posted(read_avsc("Fill"))), 404, 40401)
    assert_error(client.post(f"/subjects/{DELTA}", content=b"\xff\xfe"), 422, 42201)


def test_a_body_without_end_is_refused(client: httpx.Client) -> None:
    assert_error(client.post(f"/subjects/{DELTA}", content=b" " * (BODY_BYTES_MAX + 1)), 413, 413)


def test_compatibility_is_answered(client: httpx.Client) -> None:
    schema = deepcopy(read_avsc("BookDelta"))
    path = f"/compatibility/subjects/{DELTA}/versions"
    assert client.post(path, json=posted(schema)).json() == {"is_compatible": True}
    schema["fields"].append({"name": "added", "type": "long"})
    for each in (path, f"{path}/latest", f"{path}/1"):
        assert client.post(each, json=posted(schema)).json() == {"is_compatible": False}
    verbose = client.post(f"{path}/latest?verbose=true", json=posted(schema)).json()
    assert "added" in verbose["messages"][0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/subjects/{DELTA}/versions"),
        ("POST", "/subjects/nobody/versions"),
        ("DELETE", f"/subjects/{DELTA}"),
        ("DELETE", f"/subjects/{DELTA}/versions/1"),
        ("PUT", "/config"),
        ("DELETE", "/config"),
        ("PUT", f"/config/{DELTA}"),
        ("PUT", "/mode"),
        ("PUT", f"/mode/{DELTA}"),
        ("DELETE", f"/mode/{DELTA}"),
    ],
)
def test_writes_are_refused_and_say_how_it_is_done(client: httpx.Client, method: str, path: str) -> None:
    before = client.get("/subjects").json()
    body = posted(read_avsc("BookDelta"))
    assert_error(client.request(method, path, json=body), 422, 42205, "python -m schemas.pin")
    assert client.get("/subjects").json() == before


@pytest.mark.parametrize(("method", "path"), [("PUT", "/subjects"), ("PATCH", "/config"), ("POST", "/schemas/ids/1")])
def test_other_methods_are_not_allowed(client: httpx.Client, method: str, path: str) -> None:
    assert_error(client.request(method, path), 405, 405)


def test_a_taken_port_is_one_clear_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}.*CROSSBOOK_REGISTRY__PORT"):
            run(Settings(registry=RegistrySettings(port=port)))


def test_port_0_serves_none() -> None:
    run(Settings(registry=RegistrySettings(port=0)))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as drawn:
        return int(drawn.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_stage_ends_cleanly_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CROSSBOOK_")}
    stage = subprocess.Popen(
        [sys.executable, "-m", "deploy.stage", "registry"],
        cwd=REPOSITORY,
        env=environment | {"CROSSBOOK_REGISTRY__PORT": str(port), "CROSSBOOK_STATE_DIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/schemas/types").json() == ["AVRO"]
                break
            except httpx.TransportError:
                assert stage.poll() is None
                assert time.monotonic() < end
        again = subprocess.run(
            [sys.executable, "-m", "deploy.stage", "registry"],
            cwd=REPOSITORY,
            env=environment | {"CROSSBOOK_REGISTRY__PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == EXIT_SETTINGS
        assert again.stderr.startswith("registry: the schema registry cannot listen on")
        stage.send_signal(number)
        _, said = stage.communicate(timeout=15)
        assert stage.returncode == 0
        assert "Traceback" not in said
    finally:
        stage.kill()
        stage.communicate()
