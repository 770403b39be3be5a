"""Verify: decode, fold, encode and compare a whole log that is held in memory."""

from collections.abc import Iterator

from crossbook.runtime.reading import LogLine
from processors.code_digest import decision_digest
from processors.decide_partition import PartitionFold
from processors.decide_state import DecideState
from processors.verify import OUTPUT_TOPICS, TopicCheck, compare
from schemas.codec import load_codec
from tests.bench.decide import MIXES, make_stream
from tests.bench.report import Row
from tests.bench.timing import rate_of

EVENTS = {"quiet": 200_000, "mixed": 100_000, "busy": 60_000}
GOAL_PER_S = 60_000.0


def run() -> list[Row]:
    """Write a log by folding it once, then time the comparison."""
    return [_verify(name) for name in EVENTS]


def _verify(name: str) -> Row:
    codec = load_codec()
    head, events = make_stream(MIXES[name], EVENTS[name])
    market = [LogLine(offset, 0, None, codec.encode(record)) for offset, record in enumerate([*head, *events])]
    del head, events
    written: dict[str, list[LogLine]] = {topic: [] for topic in OUTPUT_TOPICS}
    fold = PartitionFold(0, codec, DecideState(decision_digest()))
    for line in market:
        for topic, key, record in fold.take(line.offset, line.value):
            written[topic].append(LogLine(line.offset, 0, None if key is None else key.encode(), codec.encode(record)))

    def lines(topic: str) -> Iterator[LogLine]:
        return iter(written[topic])

    checks = {topic: TopicCheck(topic, 0, lines(topic), codec) for topic in OUTPUT_TOPICS}
    again = PartitionFold(0, codec, DecideState(decision_digest()))
    rate, events_done = rate_of(lambda: compare(again, iter(market), checks, codec))
    mismatches = sum(check.mismatches for check in checks.values())
    assert not mismatches, f"{mismatches} mismatches in a log that this very code wrote"
    outputs = sum(map(len, written.values()))
    share = 100 * outputs / events_done
    return Row(
        what=f"verify in memory, {name}: {share:.1f} outputs per 100 events",
        figures={"rate": rate},
        unit="events/s",
        goals={"rate": ("≥", GOAL_PER_S)} if name == "quiet" else {},
        n=events_done,
        against="FIELD: decode and frozen objects and a dict book 78k/s; stretch 100k/s",
    )
