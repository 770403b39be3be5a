"""A log in memory: what the tests copy, cut and forge, behind the `Log` protocol of `crossbook.log.reading`."""

from collections.abc import Iterable, Iterator, Mapping

from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import Record


class MemoryLog:
    """Lines by topic and partition; the offsets may have holes, as on a transactional topic.

    `decided` is the end of what decide has written, by partition; without it everything is decided.
    """

    def __init__(
        self,
        lines: Mapping[tuple[str, int], Iterable[LogLine]],
        *,
        partitions: int = 1,
        decided: Mapping[int, int] | None = None,
        name: str = "a log in memory",
    ) -> None:
        self.lines = {place: list(given) for place, given in lines.items()}
        self.decided = dict(decided or {})
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
        """First offset and end offset; (0, 0) when there is nothing."""
        lines = self.lines.get((topic, partition))
        return (lines[0].offset, lines[-1].offset + 1) if lines else (0, 0)

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Lines in order."""
        for line in self.lines.get((topic, partition), ()):
            if (start is None or line.offset >= start) and (end is None or line.offset < end):
                yield line

    def decided_end(self, partition: int) -> int:
        """End of what decide has written."""
        return self.decided.get(partition, self.extent("market", partition)[1])

    def copy(self) -> "MemoryLog":
        """A log of its own with the same lines."""
        return MemoryLog(self.lines, partitions=self._partitions, decided=self.decided, name=self._name)

    def append(self, topic: str, partition: int, record: Record | bytes, key: str | None = None) -> None:
        """Write one more line at the end."""
        value = record if isinstance(record, bytes) else load_codec().encode(record)
        raw_key = None if key is None else key.encode()
        line = LogLine(self.extent(topic, partition)[1], 0, raw_key, value)
        self.lines.setdefault((topic, partition), []).append(line)
