"""A log in memory: what the tests copy, cut and forge, behind the `Log` protocol of `crossbook.log.reading`."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import Record
from schemas.topics import TOPICS

Place = tuple[str, int]


class MemoryLog:
    """Lines by topic and partition; the offsets may have holes, as on a transactional topic.

    Every declared topic is there, but those named in `without`. `decided`: the end of what decide has written, by partition; where
    none is given, decide has written nothing. `first`: where a partition begins, if not at its first line.
    """

    def __init__(
        self,
        lines: Mapping[Place, Iterable[LogLine]],
        *,
        partitions: int = 1,
        decided: Mapping[int, int] | None = None,
        first: Mapping[Place, int] | None = None,
        without: Iterable[str] = (),
        name: str = "a log in memory",
    ) -> None:
        self.lines = {place: list(given) for place, given in lines.items()}
        self.decided = dict(decided or {})
        self.first = dict(first or {})
        self._without = frozenset(without)
        self._partitions = partitions
        self._name = name

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self._name

    @property
    def partitions(self) -> int:
        """How many partitions `market` has."""
        return self._partitions

    def extent(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end offset. Raises LogError when the topic or partition is not there."""
        declared = topic in TOPICS and topic not in self._without
        if not declared or not 0 <= partition < TOPICS[topic].partition_count(self._partitions):
            raise LogError(f"{self._name} holds no {topic} partition {partition}")
        lines = self.lines.get((topic, partition))
        first = self.first.get((topic, partition), lines[0].offset if lines else 0)
        return first, lines[-1].offset + 1 if lines else first

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Lines in order, up to the end that there is when reading begins."""
        self.extent(topic, partition)
        lines = self.lines.get((topic, partition), [])
        low = 0 if start is None else bisect_left(lines, start, key=itemgetter(0))
        high = len(lines) if end is None else bisect_left(lines, end, key=itemgetter(0))
        yield from lines[low:high]

    def decided_end(self, partition: int) -> int:
        """End of what decide has written."""
        return self.decided.get(partition, self.extent("market", partition)[0])

    def copy(self) -> "MemoryLog":
        """A log of its own with the same lines."""
        return MemoryLog(
            self.lines,
            partitions=self._partitions,
            decided=self.decided,
            first=self.first,
            without=self._without,
            name=self._name,
        )

    def append(self, topic: str, partition: int, record: Record | bytes, key: str | None = None) -> None:
        """Write one more line at the end."""
        value = record if isinstance(record, bytes) else load_codec().encode(record)
        raw_key = None if key is None else key.encode()
        line = LogLine(self.extent(topic, partition)[1], 0, raw_key, value)
        self.lines.setdefault((topic, partition), []).append(line)
