"""The port of a store that holds the projection; ClickHouse is the first that fills it.

A store is filled by one writer and may be dropped at any time: the log fills it again. What must hold whatever keeps it is in
`tests/integration/test_sinks.py`, which every implementation passes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Rows(NamedTuple):
    """Rows of one table, in the order of `columns`. `log_id` is always the first column."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Position(NamedTuple):
    """Everything of a partition below `next_offset` is in the tables. `topic` is without the prefix."""

    topic: str
    partition: int
    next_offset: int


class Sink(Protocol):
    """Where the projection of one topic prefix goes.

    A method may raise SinkAwayError (call it again later), TablesGoneError (prepare again, and start from the positions that are
    there then) or SinkRefusedError (somebody must mend something). After an error nothing is known of what was written: the caller
    writes the same again.
    """

    def prepare(self) -> bool:
        """Make what is missing. What another definition of the tables made is dropped first; return whether that was so."""

    def positions(self, log_id: str) -> dict[tuple[str, int], int]:
        """Next offset of each (topic, partition) of a log that has one: everything below it is in the tables."""

    def write(self, log_id: str, tables: Sequence[Rows], positions: Sequence[Position]) -> None:
        """Write rows, and how far they go.

        Atomic where the store can be. Where it cannot, positions become visible after every row: killed anywhere, the projection
        reads something again and misses nothing. A row written again counts once, and an older position does not take a newer one
        back.
        """

    def drop(self) -> None:
        """Drop everything."""

    def close(self) -> None:
        """Close the connection; the next call opens another."""
