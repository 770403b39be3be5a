"""Shared fixtures: one embedded Kafka and one embedded ClickHouse a test session, and the real recordings where they are."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.stack.clickhouse.child import ClickHouseServer
from deploy.stack.kafka.child import KafkaServer
from tests.builders.places import REPOSITORY

RECORDINGS = REPOSITORY.parent / "shared"

# No example has a time limit: on a busy machine that would test the machine.
settings.register_profile("crossbook", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crossbook")

# A shell that starts the suite in the background ignores Ctrl-C for it, and whatever it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the fixtures below, so that `-m "not stack"` and `-m "not recordings"` select by themselves."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "kafka" in names:
            item.add_marker(pytest.mark.stack)
        if "recordings" in names:
            item.add_marker(pytest.mark.recordings)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A running broker: `kafka.bootstrap`. Shared: tests choose topic names of their own."""
    with KafkaServer(folder=tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A running ClickHouse: `.host .port .username .password`. Shared: tests make databases of their own."""
    with ClickHouseServer(folder=tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings beside the checkout."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"the recordings are not beside the checkout ({RECORDINGS.name}/ is absent)")
    return RECORDINGS
