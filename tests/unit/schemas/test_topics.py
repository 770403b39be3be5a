"""Topics are declared once, and their settings are what the laws ask for."""

import pytest

from schemas.topics import (
    DEFAULT_PREFIX,
    GROUPS,
    KEEP,
    MAIN,
    TOPICS,
    Spread,
    declare_portfolio,
    partition_of,
    read_by,
)


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


def test_who_reads_is_a_stage_and_reads_what_others_write() -> None:
    stages = {"producers", *GROUPS}
    for topic in TOPICS.values():
        assert set(topic.readers) <= stages
        assert topic.writer not in topic.readers
    assert read_by("decide") == ("market",)
    assert read_by("execute") == ("market", "signals", "intents", "leadlag", "control")
    assert read_by("nobody") == ()


def test_an_executor_has_a_partition_of_its_portfolio_and_all_else_is_spread_by_group_or_not_at_all(
    monkeypatch,
) -> None:
    executors = {name for name, topic in TOPICS.items() if topic.writer == "execute"}
    assert executors == {name for name, topic in TOPICS.items() if topic.spread is Spread.BY_PORTFOLIO}
    assert partition_of(MAIN) == 0
    assert {TOPICS[name].partition_count(4) for name in executors} == {1}
    with pytest.raises(ValueError, match="no portfolio is called 'other'; declared are main"):
        partition_of("other")
    monkeypatch.setattr("schemas.topics.PORTFOLIOS", {MAIN: 0})
    assert [declare_portfolio(name) for name in ("other", MAIN, "other")] == [1, 0, 1]
    assert partition_of("other") == 1
    assert {TOPICS[name].partition_count(4) for name in executors} == {2}
    assert (TOPICS["market"].partition_count(4), TOPICS["control"].partition_count(4)) == (4, 1)
