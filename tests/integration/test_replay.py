"""A log replayed into another prefix of a real broker: the same stages decide the same bytes, a later range is a log of its own."""

from pathlib import Path

import msgspec
import pytest

from crossbook.log.errors import LogError
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings, Settings
from deploy.errors import UsageError
from deploy.lab.replay.replay import ReplayOptions, run_replay
from deploy.lab.replay.source import ReplaySource
from deploy.lab.verify.verify import verify_log
from deploy.stack.kafka.child import KafkaServer
from processors.verify.verify import Positions
from schemas.codec import load_codec
from tests.builders.logs.memory import MemoryLog
from tests.builders.logs.whole import market_of, whole_log


@pytest.fixture(scope="module")
def source() -> MemoryLog:
    """A log as the stages left it."""
    log: MemoryLog = whole_log(events=400)
    return log


@pytest.fixture
def settings(kafka: KafkaServer, tmp_path: Path) -> Settings:
    """Settings of a stack whose own prefix nobody uses."""
    return Settings(kafka=KafkaSettings(bootstrap=kafka.bootstrap, prefix="own."), state_dir=str(tmp_path))


def test_the_same_bytes_are_decided_and_a_second_run_writes_nothing(source: MemoryLog, settings: Settings) -> None:
    options = ReplayOptions("again", project=False)
    report = run_replay(ReplaySource(source), settings, options)
    assert report.complete
    assert report.mismatches == 0, report
    assert (report.records, report.resumed_at) == (len(source.lines["market", 0]), 0)
    assert report.verification is not None
    assert report.verification.executions > 0, "the paper venue traded it"
    compared = {one.topic: one.compared for one in report.comparison}
    assert compared == {topic: len(source.lines[topic, 0]) for topic in ("signals", "intents")}
    before = verify_log(source).digests
    for name in ("signals/0", "intents/0"):
        assert report.verification.digests[name] == before[name]

    # Once more: all of it is there.
    copy = KafkaLog(settings.kafka.model_copy(update={"prefix": "again."}))
    codec = load_codec()
    head, *lines = source.lines["market", 0]
    opened = codec.encode(
        msgspec.structs.replace(codec.decode(head.value), clock="recorded")
    )  # no wall clock's any more
    assert [(line.key, line.value) for line in copy.read("market", 0)] == [
        (None, opened),
        *((line.key, line.value) for line in lines),
    ]
    ends = {0: copy.extent("market", 0)[1]}
    assert list(ReplaySource(source).entries(ends, timed=False)) == []
    left = list(ReplaySource(source).entries({0: ends[0] - 3}, timed=True))
    assert [entry.value for entry in left] == [line.value for line in source.lines["market", 0][-3:]]

    other = MemoryLog({})
    for record in market_of(50, seed=9):
        other.append("market", 0, record)
    with pytest.raises(LogError, match="holds another log"):
        run_replay(ReplaySource(other, {0: Positions(20)}), settings, options)


def test_a_later_range_is_a_log_of_its_own(source: MemoryLog, settings: Settings) -> None:
    ranged = ReplaySource(source, {0: Positions(150, 350)})
    report = run_replay(ranged, settings, ReplayOptions("later.", project=False))
    assert (report.complete, report.whole, report.comparison) == (True, False, ())
    assert report.log_id != ReplaySource(source).log_id
    assert report.verification is not None
    assert report.verification.mismatches == 0, report.verification.first_differences
    assert report.verification.decisions > 0


def test_what_cannot_be_replayed_is_refused(source: MemoryLog, settings: Settings) -> None:
    with pytest.raises(UsageError, match="is no prefix"):
        run_replay(ReplaySource(source), settings, ReplayOptions("No Prefix"))
    with pytest.raises(UsageError, match="the stack's own prefix"):
        run_replay(ReplaySource(source), settings, ReplayOptions("own"))
    itself = KafkaLog(settings.kafka.model_copy(update={"prefix": "again."}))
    twin = MemoryLog(source.lines, name=itself.name)
    with pytest.raises(UsageError, match="into itself"):
        run_replay(ReplaySource(twin), settings, ReplayOptions("again"))
