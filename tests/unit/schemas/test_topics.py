"""Topics are declared once, and their settings are what the laws ask for."""

import pytest

from schemas.topics import DEFAULT_PREFIX, KEEP, TOPICS, Spread


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_keeps_the_laws(name: str) -> None:
    topic = TOPICS[name]
    config = topic.config()
    assert topic.name == name
    assert topic.full_name(DEFAULT_PREFIX) == f"crossbook.{name}"
    assert topic.doc
    assert topic.records
    assert config["message.timestamp.type"] == "LogAppendTime", "imported events are years old"
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == str(topic.retention_ms)
    assert topic.retention_ms == KEEP or topic.retention_ms > 0


def test_market_and_control_are_never_written_in_a_transaction() -> None:
    assert not TOPICS["market"].transactional
    assert not TOPICS["control"].transactional
    assert {name for name, topic in TOPICS.items() if topic.transactional} == {"signals", "intents", "orders", "fills"}


def test_no_topic_has_two_transactional_writers_and_what_follows_market_is_spread_like_it() -> None:
    assert all("," not in topic.writer for topic in TOPICS.values())
    decided = {name for name, topic in TOPICS.items() if topic.writer == "decide"}
    assert all(TOPICS[name].spread is Spread.BY_GROUP for name in decided | {"market"})


def test_what_a_replay_needs_is_kept() -> None:
    for name in ("market", "intents", "orders", "fills", "control"):
        assert TOPICS[name].retention_ms == KEEP
