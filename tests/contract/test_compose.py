"""docker-compose.yml: pinned, on the loopback interface, without secrets, and about stages that exist."""

import os
import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from crossbook.runtime.settings import load_settings
from deploy.stage import STAGES
from tests.builders.places import REPOSITORY as ROOT

FILES = ("docker-compose.yml", "deploy/docker/cluster.yml")
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PASSWORD = "CROSSBOOK_CLICKHOUSE__PASSWORD"
#: A tag that names one version: at least major.minor.patch.
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*")


class _Loader(yaml.SafeLoader):
    """YAML with compose's own tag that replaces a list instead of adding to it."""


_Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def read(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / file).read_text("utf-8"), _Loader)
    return loaded


def services() -> list[Any]:
    return [pytest.param(file, name, id=f"{file}:{name}") for file in FILES for name in read(file)["services"]]


def service(file: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read(file)["services"][name]
    return found


def stage_services() -> dict[str, str]:
    """Name of the service → name of the stage that it runs."""
    found = {}
    for name, declared in read("docker-compose.yml")["services"].items():
        match declared.get("command"):
            case ["python", "-m", "deploy.stage", stage]:
                found[name] = stage
    return found


def test_every_long_running_stage_is_a_service_under_its_own_name() -> None:
    assert stage_services() == {stage: stage for stage in STAGES if stage != "import"}


@pytest.mark.parametrize(("file", "name"), services())
def test_a_command_is_a_stage_or_creates_the_topics(file: str, name: str) -> None:
    command = service(file, name).get("command")
    known = [["python", "-m", "deploy.stage", stage] for stage in STAGES]
    assert command in [None, ["python", "-m", "deploy.cli", "topics", "--create"], *known]


@pytest.mark.parametrize(("file", "name"), services())
def test_images_are_pinned(file: str, name: str) -> None:
    image = service(file, name).get("image")
    if image is None:
        assert file != FILES[0], "only the overriding file may leave the image to the first one"
    else:
        assert PINNED.fullmatch(image), image


def test_the_image_of_the_stages_is_pinned_locked_and_not_root() -> None:
    lines = DOCKERFILE.read_text("utf-8").splitlines()
    (base,) = (line.split()[1] for line in lines if line.startswith("FROM "))
    assert PINNED.fullmatch(base), base
    assert base.startswith("python:3.11.")
    assert "-slim" in base
    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in {"0", "root"}


def test_the_image_holds_every_package_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    text = DOCKERFILE.read_text("utf-8")
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for package in packages:
        assert f"COPY {package} ./{package}" in text
        assert f"!{package}" in ignored


@pytest.mark.parametrize(("file", "name"), services())
def test_ports_are_bound_to_loopback(file: str, name: str) -> None:
    for port in service(file, name).get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", str(port)), port
    assert "network_mode" not in service(file, name)


def test_no_two_services_publish_one_port() -> None:
    published = [
        port.split(":")[1]
        for file in FILES
        for declared in read(file)["services"].values()
        for port in declared.get("ports", ())
    ]
    assert len(published) == len(set(published))


@pytest.mark.parametrize(("file", "name"), services())
def test_no_secret_stands_in_the_file(file: str, name: str) -> None:
    for key, value in (service(file, name).get("environment") or {}).items():
        if re.search(r"PASSWORD|SECRET|TOKEN|KEY$|KEY_ID|KEY_FILE", key):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), f"{key} must come from the environment, required"


@pytest.mark.parametrize("name", sorted(stage_services()))
def test_stages_wait_for_what_they_need(name: str) -> None:
    declared = service(FILES[0], name)
    needed = declared.get("depends_on", {})
    if name != "registry":  # it answers from its own file
        assert needed["kafka"] == {"condition": "service_healthy"}
        assert needed["topics"] == {"condition": "service_completed_successfully"}
    if name == "project":
        assert needed["clickhouse"] == {"condition": "service_healthy"}
    for dependency, rule in needed.items():
        if rule["condition"] == "service_healthy":
            assert "healthcheck" in service(FILES[0], dependency)
    assert declared["restart"] == "on-failure", "settings that cannot work are told apart by their exit code in the log"


def test_every_volume_is_declared() -> None:
    for file in FILES:
        loaded = read(file)
        named = {v.split(":")[0] for s in loaded["services"].values() for v in s.get("volumes", ())}
        assert named == set(loaded["volumes"])


def test_the_settings_of_the_image_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSBOOK_CONFIG", str(DOCKERFILE.parent / "crossbook.toml"))
    environment = service(FILES[0], "decide")["environment"]
    for name in environment:
        monkeypatch.setenv(name, "x")
    settings = load_settings()
    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.clickhouse.password == "x"
    declared = read(FILES[0])["services"]
    assert settings.clickhouse.host in declared
    assert settings.clickhouse.username == declared["clickhouse"]["environment"]["CLICKHOUSE_USER"]
    assert declared["registry"]["ports"] == [f"127.0.0.1:8081:{settings.registry.port}"]


def docker(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != PASSWORD}
    return subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def _compose() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker client here: `docker compose config` cannot be asked")
    if docker("compose", "version").returncode != 0:
        pytest.skip("the docker client here has no compose plugin: `docker compose config` cannot be asked")


@pytest.mark.usefixtures("_compose")
@pytest.mark.parametrize("files", [FILES[:1], FILES])
def test_docker_compose_accepts_it(files: tuple[str, ...]) -> None:
    named = [part for file in files for part in ("-f", file)]
    done = docker("compose", *named, "--profile", "*", "config", "--quiet", **{PASSWORD: "x"})
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_compose")
def test_docker_compose_refuses_to_start_without_a_password() -> None:
    done = docker("compose", "config", "--quiet")
    assert done.returncode != 0
    assert PASSWORD in done.stderr


@pytest.mark.usefixtures("_compose")
def test_the_image_builds() -> None:
    if docker("info", "--format", "{{.ServerVersion}}").returncode != 0:
        pytest.skip("no docker engine answers: the image cannot be built here")
    if not os.environ.get("CI_DOCKER_BUILD"):
        pytest.skip("building the image takes minutes and the network: set CI_DOCKER_BUILD=1 to do it")
    done = docker("compose", "build", "--quiet", "registry", **{PASSWORD: "x"})
    assert done.returncode == 0, done.stderr
