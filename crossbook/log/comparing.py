"""Compares what must stand in an output partition with what stands there, as two sequences.

Decides which records are missing, extra or different. A record that does not fit never makes the ones behind it differ: both sides
are read on until they agree again, and what lies between is matched by its place (which the caller defines), the rest in order.
So one foreign, one missing and one changed record are one mismatch each. Must never skip what it cannot decode, and never keep more
than a bounded window of records that do not agree.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple, TypeAlias

from crossbook.log.reading import LogLine
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Record

#: As many records of one side are kept while it is looked for where both agree again; a longer disagreement is counted in halves
#: of this. A broken transaction of decide holds some hundreds.
WINDOW: Final = 4_096
#: As many records in a row behind the end of what is compared are looked at: one that belongs before it must be near.
PATIENCE: Final = 256
#: Parts hashed at once; the digest does not depend on it.
HASH_PARTS: Final = 2_048
#: Keys whose encoding is kept: groups are few, trades are many.
HEADS_MAX: Final = 1_024


#: Where a record stands among the records of its partition: ascending, and equal only for the same record.
Place: TypeAlias = tuple[int, int]


class Difference(NamedTuple):
    """One difference: `number` counts the records of the topic partition from the first one compared; None stands for no record."""

    topic: str
    partition: int
    number: int
    expected: Record | str | None
    found: Record | str | None
    key_expected: bytes | None
    key_found: bytes | None
    offset_found: int
    cause_position: int
    cause: Record | None
    note: str = ""
    cause_name: str = "market position"

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Both records with their cause, a line each."""
        kind = "missing" if self.found is None else "extra" if self.expected is None else "different"
        note = f" ({self.note})" if self.note else ""
        return "\n".join(
            (
                f"{self.topic} partition {self.partition}, record {self.number}: {kind}{note}",
                f"  expected: key {self.key_expected!r} {self.expected}",
                f"  found:    key {self.key_found!r} {self.found} (offset {self.offset_found})",
                f"  cause:    {self.cause_name} {self.cause_position}: {self.cause}",
            )
        )


class Expected(NamedTuple):
    """A record that must stand next, and what caused it."""

    key: bytes | None
    value: bytes
    record: Record
    cause_position: int
    cause: Record | None


class LineDigest:
    """SHA-256 over keys and values, each with its length: the content of a topic partition, whatever its offsets."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._heads: dict[bytes | None, bytes] = {}

    def add(self, key: bytes | None, value: bytes) -> None:
        """Take the next record."""
        head = self._heads.get(key)
        if head is None:
            head = b"-" if key is None else len(key).to_bytes(4, "big") + key
            if len(self._heads) < HEADS_MAX:
                self._heads[key] = head
        self._parts += (head, len(value).to_bytes(4, "big"), value)
        if len(self._parts) > HASH_PARTS:
            self._flush()

    def hexdigest(self) -> str:
        """The digest so far."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(b"".join(self._parts))
        self._parts.clear()


class TopicCheck:
    """One output partition, against what the fold says must come next."""

    def __init__(
        self,
        topic: str,
        partition: int,
        lines: Iterator[LogLine],
        codec: Codec,
        place: Callable[[Record], Place],
        cause_name: str = "market position",
    ) -> None:
        self._place_of = place
        self._cause_name = cause_name
        self._topic = topic
        self._partition = partition
        self._lines = lines
        self._codec = codec
        self._digest = LineDigest()
        self._owed: deque[Expected] = deque()
        self._ahead: deque[LogLine] = deque()
        self._in_step = True
        self._search_at = 1
        self._number = 0
        self.compared = 0
        self.mismatches = 0
        self.first_difference: Difference | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over keys and values found, each with its length."""
        return self._digest.hexdigest()

    def expect(self, expected: Expected) -> None:
        """The next record must be this one."""
        if self._in_step:
            line = next(self._lines, None)
            if line is not None:
                if line.value == expected.value and line.key == expected.key:
                    self._digest.add(line.key, line.value)
                    self._number += 1
                    self.compared += 1
                    return
                self._ahead.append(line)
        self._owed.append(expected)
        self._catch_up()

    def end(self, limit_position: int, market_end: int | None = None) -> None:
        """Nothing more may stand there, but what a running stage wrote meanwhile: at places from `limit_position` on.

        Such a record must have a cause too: its position lies below `market_end`, where that is given.
        """
        self._settle_owed(limit_position)
        past = 0
        for line in chain(self._ahead, self._lines):
            position = self._place(line)[0]
            if position < limit_position:
                self._extra(line, "")
                past = 0
            elif market_end is not None and position >= market_end:
                self._extra(line, f"market ends before position {market_end}: its cause does not exist")
            past += 1
            if past > PATIENCE:
                break
        self._ahead.clear()

    def pass_over(self, begin_position: int, end_position: int | None = None) -> int:
        """Take the records of causes from one position up to another (None: all that follow) as they are; return how many there were.

        What stands before them is compared first: nothing more may be expected there.
        """
        self._settle_owed(begin_position)
        passed = 0
        waiting, self._ahead = self._ahead, deque()
        while (line := waiting.popleft() if waiting else next(self._lines, None)) is not None:
            position = self._place(line)[0]
            if position < begin_position:
                self._extra(line, "")
            elif end_position is None or position < end_position:
                passed += 1
            else:
                self._ahead.append(line)
                break
        self._ahead.extend(waiting)
        self._in_step = not self._ahead
        return passed

    # -- out of step

    def _settle_owed(self, limit_position: int) -> None:
        """Decide all that is still expected; what stands at a place from `limit_position` on is no answer to it."""
        while self._owed:
            self._ahead.extend(islice(self._lines, max(0, WINDOW - len(self._ahead))))
            self._agree()
            if not self._owed:
                break
            later = [line for line in self._ahead if self._place(line)[0] >= limit_position]
            self._ahead = deque(line for line in self._ahead if self._place(line)[0] < limit_position)
            point = self._resync_point()
            if point is None:
                self._settle(len(self._owed), len(self._ahead))
            else:
                self._settle(*point)
            self._ahead.extend(later)

    def _catch_up(self) -> None:
        """Go on in step where both sides agree; else wait for more, or give up on the older half of the window."""
        while self._owed:
            while len(self._ahead) < len(self._owed) and (line := next(self._lines, None)) is not None:
                self._ahead.append(line)
            self._agree()
            if not self._owed:
                break
            # Looked for at growing distances only, so that a long disagreement costs time in proportion to its length.
            if len(self._owed) < self._search_at:
                break
            point = self._resync_point()
            if point is not None:
                self._search_at = 1
                self._settle(*point)
            elif len(self._owed) >= WINDOW:
                self._settle(WINDOW // 2, min(WINDOW // 2, len(self._ahead)))
            else:
                self._search_at = len(self._owed) + max(1, len(self._owed) // 4)
                break
        if not self._owed:
            self._search_at = 1
        self._in_step = not self._owed and not self._ahead

    def _agree(self) -> None:
        owed, ahead = self._owed, self._ahead
        while owed and ahead and owed[0].value == ahead[0].value and owed[0].key == ahead[0].key:
            owed.popleft()
            self._consume(ahead.popleft())
            self.compared += 1

    def _resync_point(self) -> tuple[int, int] | None:
        """How many of each side to give up so that both agree again; the fewest."""
        first: dict[tuple[bytes | None, bytes], int] = {}
        for number, line in enumerate(self._ahead):
            first.setdefault((line.key, line.value), number)
        best: tuple[int, int] | None = None
        for number, one in enumerate(self._owed):
            if best is not None and number >= sum(best):
                break
            at = first.get((one.key, one.value))
            if at is not None and (best is None or number + at < sum(best)):
                best = number, at
        return best

    def _settle(self, owed: int, ahead: int) -> None:
        """Count what does not agree: equal places together, the rest in order."""
        wanted = [self._owed.popleft() for _ in range(owed)]
        given = [self._ahead.popleft() for _ in range(ahead)]
        start = self._number
        places = {self._place(line): number for number, line in enumerate(given)}
        pairs: dict[int, int] = {}
        for number, one in enumerate(wanted):
            at = places.pop(self._place_of(one.record), None)
            if at is not None:
                pairs[number] = at
        taken = set(pairs.values())
        rest = [number for number in range(ahead) if number not in taken]
        alone = [number for number in range(owed) if number not in pairs]
        pairs.update(zip(alone, rest, strict=False))
        for line in given:
            self._consume(line)
        for number, one in enumerate(wanted):
            at = pairs.get(number)
            self._differ(start + (number if at is None else at), one, None if at is None else given[at], "")
        for at in rest[len(alone) :]:
            self._differ(start + at, None, given[at], "")

    def _extra(self, line: LogLine, note: str) -> None:
        self._differ(self._number, None, line, note)
        self._consume(line)

    def _consume(self, line: LogLine) -> None:
        self._digest.add(line.key, line.value)
        self._number += 1

    def _differ(self, number: int, expected: Expected | None, found: LogLine | None, note: str) -> None:
        self.compared += 1
        self.mismatches += 1
        if self.first_difference is None:
            position = -1
            if expected is not None:
                position = expected.cause_position
            elif found is not None:
                position = self._place(found)[0]
            self.first_difference = Difference(
                topic=self._topic,
                partition=self._partition,
                number=number,
                expected=None if expected is None else expected.record,
                found=None if found is None else self._decoded(found),
                key_expected=None if expected is None else expected.key,
                key_found=None if found is None else found.key,
                offset_found=-1 if found is None else found.offset,
                cause_position=position,
                cause=None if expected is None else expected.cause,
                note=note,
                cause_name=self._cause_name,
            )

    def _place(self, line: LogLine) -> Place:
        found = self._decoded(line)
        return (-1, -1) if isinstance(found, str) else self._place_of(found)

    def _decoded(self, line: LogLine) -> Record | str:
        try:
            return self._codec.decode(line.value)
        except SchemaError as error:
            return f"unreadable: {error}"
