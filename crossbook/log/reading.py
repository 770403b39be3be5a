"""The port of a log that can be read again, whatever keeps it: topics on a broker, an archive, or memory.

Decides nothing and commits nothing. An implementation must never stop early in silence: a store that gives nothing is an error.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class LogLine(NamedTuple):
    """A record as it stands in a topic partition; `append_ms` is the broker's stamp, Unix ms."""

    offset: int
    append_ms: int
    key: bytes | None
    value: bytes


class Log(Protocol):
    """A log that can be read again: the topics of a prefix, or an archive of them. Topics are named without the prefix."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def partitions(self) -> int:
        """How many partitions `market` has."""

    def extent(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end offset of what is there; equal when there is nothing. Raises LogError when it holds no such partition."""

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Committed records in order of their offsets, from `start` (or the first) up to and without `end` (or the present end).

        What is written after reading began is not read. Raises LogError when the log holds no such partition.
        """

    def decided_end(self, partition: int) -> int:
        """Offset of `market` up to and without which decide has written its outputs; the first offset when it has written none."""
