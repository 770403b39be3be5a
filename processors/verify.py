"""Proves that what decide wrote is what its log says it must have written.

`market` is folded again from LogOpened up to the committed position, and key, partition and value of every output are compared
with the committed records of `signals` and `intents`. A record too many and a record too few are both differences. Must never
write, and never skip what it cannot decode: unreadable output is a difference.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import committed_offsets, offset_range, open_consumer
from crossbook.runtime.reading import LogLine, read_partition
from crossbook.runtime.settings import KafkaSettings
from processors.code_digest import decision_digest
from processors.decide_partition import PartitionFold
from processors.decide_state import DecideState, Output
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import Record
from schemas.topics import TOPICS

OUTPUT_TOPICS = ("signals", "intents")


class Difference(NamedTuple):
    """The first difference of a topic partition: `number` counts its records from 0; None stands for no record."""

    topic: str
    partition: int
    number: int
    expected: Record | None
    found: Record | str | None
    key_expected: bytes | None
    key_found: bytes | None
    offset_found: int
    cause_position: int
    cause: Record | None

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Both records with their cause, a line each."""
        kind = "missing" if self.found is None else "extra" if self.expected is None else "different"
        return "\n".join(
            (
                f"{self.topic} partition {self.partition}, record {self.number}: {kind}",
                f"  expected: key {self.key_expected!r} {self.expected}",
                f"  found:    key {self.key_found!r} {self.found} (offset {self.offset_found})",
                f"  cause:    market position {self.cause_position}: {self.cause}",
            )
        )


class VerifyResult(NamedTuple):
    """`decisions` outputs compared, `events` folded; `digests` names every output partition by its committed content."""

    decisions: int
    events: int
    mismatches: int
    first_difference: Difference | None
    digests: dict[str, str]


class TopicCheck:
    """Compares one output partition, record by record, as the fold says what must come next."""

    def __init__(self, topic: str, partition: int, lines: Iterator[LogLine], codec: Codec) -> None:
        self._topic = topic
        self._partition = partition
        self._lines = lines
        self._codec = codec
        self._hash = hashlib.sha256()
        self.compared = 0
        self.mismatches = 0
        self.first_difference: Difference | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over keys and values found, each with its length."""
        return self._hash.hexdigest()

    def expect(self, line: LogLine, cause_position: int, cause: Record | None) -> None:
        """The next record must be this one."""
        found = next(self._lines, None)
        if found is not None:
            self._take(found)
        if found is None or found.value != line.value or found.key != line.key:
            self._differ(line, found, cause_position, cause)
        self.compared += 1

    def end(self, limit_position: int) -> None:
        """Nothing more may stand there, but what a running decide wrote at or after `limit_position`."""
        for found in self._lines:
            position = getattr(self._decoded(found), "position", -1)
            if position >= limit_position:
                return
            self._take(found)
            self._differ(None, found, position, None)
            self.compared += 1

    def _take(self, line: LogLine) -> None:
        for part in (line.key, line.value):
            self._hash.update(b"-" if part is None else len(part).to_bytes(4, "big") + part)

    def _differ(
        self, expected: LogLine | None, found: LogLine | None, cause_position: int, cause: Record | None
    ) -> None:
        self.mismatches += 1
        if self.first_difference is None:
            self.first_difference = Difference(
                topic=self._topic,
                partition=self._partition,
                number=self.compared,
                expected=None if expected is None else self._codec.decode(expected.value),
                found=None if found is None else self._decoded(found),
                key_expected=None if expected is None else expected.key,
                key_found=None if found is None else found.key,
                offset_found=-1 if found is None else found.offset,
                cause_position=cause_position,
                cause=cause,
            )

    def _decoded(self, line: LogLine) -> Record | str:
        try:
            return self._codec.decode(line.value)
        except SchemaError as error:
            return f"unreadable: {error}"


def compare(fold: PartitionFold, market: Iterator[LogLine], checks: dict[str, TopicCheck], codec: Codec) -> int:
    """Fold the lines of `market` and check every output; return how many events were folded.

    Raises CodeDigestError or InputError as the fold does.
    """
    events = 0
    for line in market:
        events += 1
        try:
            outputs: Sequence[Output] = fold.take(line.offset, line.value)
        except SchemaError:
            continue
        for topic, key, record in outputs:
            expected = LogLine(-1, 0, None if key is None else key.encode(), codec.encode(record))
            checks[topic].expect(expected, fold.state.market.position, fold.last_record)
    limit = fold.state.market.position + 1
    for check in checks.values():
        check.end(limit)
    return events


def verify_decide(kafka: KafkaSettings, partitions: Sequence[int] | None = None) -> VerifyResult:
    """Verify partitions of `market` (all by default) up to the positions that decide has committed.

    Raises CodeDigestError when other code decided, LogError when a topic is gone, BrokerAwayError when it cannot be read.
    """
    codec = load_codec()
    digest = decision_digest()
    market = TOPICS["market"].full_name(kafka.prefix)
    numbers = range(kafka.partitions) if partitions is None else partitions
    reader = open_consumer(kafka, "decide", read_committed=False)
    try:
        committed = committed_offsets(reader, [TopicPartition(market, number) for number in numbers])
        lows = {number: offset_range(reader, market, number)[0] for number in numbers}
    finally:
        reader.close()
    decisions = events = mismatches = 0
    first: Difference | None = None
    digests: dict[str, str] = {}
    for number in numbers:
        checks = {
            topic: TopicCheck(topic, number, read_partition(kafka, topic, number), codec) for topic in OUTPUT_TOPICS
        }
        fold = PartitionFold(number, codec, DecideState(digest))
        end = max(committed[market, number], lows[number])
        events += compare(fold, read_partition(kafka, "market", number, end=end), checks, codec)
        for topic, check in checks.items():
            decisions += check.compared
            mismatches += check.mismatches
            first = first or check.first_difference
            digests[f"{topic}/{number}"] = check.digest
    return VerifyResult(decisions, events, mismatches, first, digests)
