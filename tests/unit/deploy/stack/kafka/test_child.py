"""The broker's ids and its lock: what can be said without a JVM."""

import base64
import re

import pytest

from deploy.stack.kafka.child import cluster_id
from deploy.stack.kafka.jars import KAFKA_VERSION, locked_jars


@pytest.mark.parametrize("first", range(256))
def test_a_cluster_id_is_never_an_option(first):
    drawn = bytes([first]) + b"\xff" * 15
    drawn_id = cluster_id(drawn)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", drawn_id)
    assert base64.urlsafe_b64decode(drawn_id + "==")[1:] == drawn[1:]


def test_the_lock_pins_every_jar_and_names_no_address():
    jars = locked_jars()
    assert f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}" in {jar.coordinate for jar in jars}
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+", jar.coordinate) for jar in jars)
    assert len({jar.filename for jar in jars}) == len(jars)
