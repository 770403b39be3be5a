"""Proves that what the executor wrote follows from its inputs.

The journal's inputs are folded again, and key and bytes of every output in `orders` and `fills` are compared with the committed
records, in order; a record too many and one too few are differences. Beside that: numbers without gaps, every request under a
slot of its plan, every fill under its request. Must never write, and never skip what it cannot decode.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from crossbook.runtime.reading import LogLine, read_partition
from crossbook.runtime.settings import KafkaSettings
from executors.errors import ExecutorError
from executors.fold import ExecutorState, step
from executors.journal import FILLS, INPUTS, key_of
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import Fill, OrderRequested, Record, TradePlan


class Difference(NamedTuple):
    """The first difference: `number` counts the records of its topic from 0; None stands for no record."""

    topic: str
    number: int
    offset_found: int
    expected: Record | None
    found: Record | str | None
    cause: Record | None
    why: str

    def describe(self) -> str:
        """Both records with their cause, a line each."""
        return "\n".join(
            (
                f"{self.topic}, record {self.number} (offset {self.offset_found}): {self.why}",
                f"  expected: {self.expected}",
                f"  found:    {self.found}",
                f"  cause:    {self.cause}",
            )
        )


class VerifyResult(NamedTuple):
    """`executions` outputs compared, `inputs` folded; `digests` names both topics by their committed content."""

    executions: int
    inputs: int
    mismatches: int
    first_difference: Difference | None
    digests: dict[str, str]


class _Check:
    """One pass over journal and fills."""

    def __init__(self, fills: Iterator[LogLine], codec: Codec) -> None:
        self.codec = codec
        self.fills = fills
        self.fill_number = 0
        self.state = ExecutorState()
        self.expected: deque[Record] = deque()
        self.cause: Record | None = None
        self.slots: set[str] = set()
        self.requested: set[str] = set()
        self.executions = self.inputs = self.mismatches = self.next_sequence = 0
        self.first: Difference | None = None
        self.hashes = {"orders": hashlib.sha256(), "fills": hashlib.sha256()}
        self.broken = False

    def differ(self, topic: str, number: int, line: LogLine | None, expected: Record | None, why: str) -> None:
        self.mismatches += 1
        if self.first is None:
            found = None if line is None else self.decoded(line)
            offset = -1 if line is None else line.offset
            self.first = Difference(topic, number, offset, expected, found, self.cause, why)

    def decoded(self, line: LogLine) -> Record | str:
        try:
            return self.codec.decode(line.value)
        except SchemaError as error:
            return f"unreadable: {error}"

    def take(self, topic: str, line: LogLine) -> None:
        for part in (line.key, line.value):
            self.hashes[topic].update(b"-" if part is None else len(part).to_bytes(4, "big") + part)

    def journal_line(self, number: int, line: LogLine) -> None:
        self.take("orders", line)
        record = self.decoded(line)
        if isinstance(record, str):
            self.differ("orders", number, line, None, "unreadable")
            return
        sequence = getattr(record, "sequence", -1)
        if sequence != self.next_sequence:
            self.differ("orders", number, line, None, f"number {sequence} where {self.next_sequence} comes next")
        self.next_sequence = sequence + 1
        if _raw(key_of(record)) != line.key:
            self.differ("orders", number, line, record, "another key")
        if isinstance(record, INPUTS):
            self.input(number, line, record)
        else:
            self.output(number, line, record)

    def input(self, number: int, line: LogLine, record: Record) -> None:
        if self.expected:
            self.differ("orders", number, line, self.expected[0], "missing output")
            self.expected.clear()
        self.cause = record
        self.inputs += 1
        if self.broken:
            return
        try:
            assert isinstance(record, INPUTS), "the caller looked"
            outputs = step(self.state, record)
        except ExecutorError as error:
            self.broken = True  # from here on there is nothing to compare with; each output below counts as extra
            self.differ("orders", number, line, None, str(error))
            return
        for output in outputs:
            if isinstance(output, FILLS):
                self.fill(output)
            else:
                self.expected.append(output)

    def output(self, number: int, line: LogLine, record: Record) -> None:
        self.executions += 1
        expected = self.expected.popleft() if self.expected else None
        if expected is None or self.codec.encode(expected) != line.value:
            self.differ("orders", number, line, expected, "extra output" if expected is None else "different output")
        if isinstance(record, TradePlan):
            self.slots.update(slot.order_id for slot in (record.leader, *record.slots))
        elif isinstance(record, OrderRequested):
            if record.order_id not in self.slots or record.order_id in self.requested:
                self.differ("orders", number, line, expected, "a request without a slot of a plan, or a second one")
            self.requested.add(record.order_id)

    def fill(self, expected: Record) -> None:
        line = next(self.fills, None)
        self.executions += 1
        if line is None:
            self.differ("fills", self.fill_number, None, expected, "missing output")
        else:
            self.take("fills", line)
            if line.value != self.codec.encode(expected) or line.key != _raw(key_of(expected)):
                self.differ("fills", self.fill_number, line, expected, "different output")
            found = self.decoded(line)
            if isinstance(found, Fill) and found.order_id not in self.requested:
                self.differ("fills", self.fill_number, line, expected, "a fill without its request")
        self.fill_number += 1

    def end(self, number: int) -> None:
        if self.expected:
            self.differ("orders", number, None, self.expected[0], "missing output")
        for line in self.fills:
            self.take("fills", line)
            self.executions += 1
            self.cause = None
            self.differ("fills", self.fill_number, line, None, "extra output")
            self.fill_number += 1


def compare_executions(journal: Iterable[LogLine], fills: Iterator[LogLine], codec: Codec) -> VerifyResult:
    """Verify a journal and its fills, given as lines."""
    check = _Check(fills, codec)
    number = 0
    for line in journal:
        check.journal_line(number, line)
        number += 1
    check.end(number)
    digests = {topic: one.hexdigest() for topic, one in check.hashes.items()}
    return VerifyResult(check.executions, check.inputs, check.mismatches, check.first, digests)


def verify_executions(kafka: KafkaSettings) -> VerifyResult:
    """Verify `orders` and `fills` of a prefix, as committed now. Stop the executor first, or the end may be mid-air.

    Raises:
        BrokerAwayError, LogError: the topics cannot be read.
    """
    # The fills' end is taken after the journal's, so that it can hold too much while the executor runs, never too little.
    journal = list(read_partition(kafka, "orders", 0))
    return compare_executions(journal, _fills(kafka, journal), load_codec())


def _fills(kafka: KafkaSettings, journal: list[LogLine]) -> Iterator[LogLine]:
    """Fills up to the last number that the journal read holds: what a running executor added since is not looked at."""
    codec = load_codec()
    last = -1
    for line in reversed(journal):
        try:
            last = getattr(codec.decode(line.value), "sequence", -1)
        except SchemaError:
            continue
        break
    for line in read_partition(kafka, "fills", 0):
        try:
            number = getattr(codec.decode(line.value), "sequence", -1)
        except SchemaError:
            number = -1
        if number > last:
            return
        yield line


def _raw(key: str | None) -> bytes | None:
    return None if key is None else key.encode()
