"""A sender in memory."""

import hashlib

from crossbook.runtime.errors import BufferFullError, RecordTooLargeError
from crossbook.runtime.kafka import RECORD_BYTES_MAX
from schemas.codec import load_codec
from schemas.records import Record


class MemorySender:
    """A sender that keeps what it is given; `room` bounds it like librdkafka's buffer, and no record is larger than a topic takes."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.sent: list[tuple[str, int, str | None, Record]] = []
        self.waiting = 0
        self._codec = load_codec()
        self._digest = hashlib.sha256()

    def send(self, topic: str, record: Record, *, key: str | None = None, partition: int = -1) -> None:
        if self.waiting >= self.room:
            raise BufferFullError("full")
        value = self._codec.encode(record)
        if len(value) > RECORD_BYTES_MAX:
            raise RecordTooLargeError(f"a record of {len(value)} bytes for {topic} is too large")
        self.waiting += 1
        self.sent.append((topic, partition, key, record))
        self._digest.update(repr((topic, partition, key)).encode() + value)

    def poll(self, timeout_s: float = 0.0) -> None:
        pass

    def flush(self, timeout_s: float = 10.0) -> None:
        self.waiting = 0

    def digest(self) -> str:
        return self._digest.hexdigest()

    def records(self, topic: str = "market") -> list[Record]:
        return [record for name, _, _, record in self.sent if name == topic]
