"""What was read from the log and is not in the tables yet. Pure.

Decides for each record: a row, a count, nothing, or a dead letter. It must never drop a record silently: what cannot be decoded, or
stands on a topic where its type has no business, becomes a dead letter.
"""

from typing import Any, NamedTuple

from crossbook.domain.dead_letters import PAYLOAD_BYTES_MAX
from projections.activity import COLUMNS as ACTIVITY_COLUMNS
from projections.activity import TABLE as ACTIVITY_TABLE
from projections.activity import ActivityCounter
from projections.port import Rows
from projections.rows import HANDLERS, TABLE_COLUMNS, Coordinates
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import RECORDS, BookDelta, BookSnapshot, PublicTrade, Record, ReferencePrice
from schemas.topics import TOPICS


class Unusable(NamedTuple):
    """A record that no table can take, and why; of its bytes only what a dead letter keeps."""

    topic: str
    partition: int
    offset: int
    error: str
    payload: bytes


class Batch:
    """Rows by table, and the positions that they stand for."""

    def __init__(self, log_id: str, codec: Codec) -> None:
        self._log_id = log_id
        self._codec = codec
        self._activity = ActivityCounter(log_id)
        self._allowed: dict[str, frozenset[type[Record]]] = {
            name: frozenset(RECORDS[record] for record in topic.records) for name, topic in TOPICS.items()
        }
        self.clear()

    def clear(self) -> None:
        """Forget everything but the counts of open blocks; call it when the batch is in the tables."""
        self.records = 0
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self.positions: dict[tuple[str, int], int] = {}
        self.unusable: list[Unusable] = []
        self._taken: list[tuple[Any, ...]] = []

    def add(self, topic: str, partition: int, offset: int, ts_append_ms: int, payload: bytes) -> None:
        """Take one record; `topic` is without the prefix. Records of a partition come in order."""
        self.records += 1
        self.positions[topic, partition] = offset + 1
        try:
            record = self._codec.decode(payload)
        except SchemaError as error:
            self.unusable.append(Unusable(topic, partition, offset, str(error), payload[:PAYLOAD_BYTES_MAX]))
            return
        cls = type(record)
        if cls not in self._allowed[topic]:
            why = f"{cls.__name__} has no business on {topic}; it holds {', '.join(TOPICS[topic].records)}"
            self.unusable.append(Unusable(topic, partition, offset, why, payload[:PAYLOAD_BYTES_MAX]))
        elif isinstance(record, BookDelta | BookSnapshot | PublicTrade | ReferencePrice):
            self._activity.add(record, partition, offset)
        elif (handler := HANDLERS.get(cls)) is not None:
            at = Coordinates(self._log_id, topic, partition, offset, ts_append_ms)
            self._rows.setdefault(handler.table, []).append((*at, *handler.values(record)))

    def tables(self) -> list[Rows]:
        """Rows of everything; the same again until `clear`."""
        self._taken.extend(self._activity.take())
        found = [Rows(table, TABLE_COLUMNS[table], rows) for table, rows in self._rows.items()]
        if self._taken:
            found.append(Rows(ACTIVITY_TABLE, ACTIVITY_COLUMNS, self._taken))
        return found
