"""The relay of `control` into `market`: what operators and a starting decide say takes effect at a position of the log.

Decides which words of `control` concern the producers and how they follow each other: DecideAnnounced becomes a Configuration
(StrategyConfigured, MarketConfigured) in every partition, unless it says what is in force already; PairApproved and PairRevoked change the universe. It must never
reorder words, and never take a word twice: the caller tells it which were written.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from confluent_kafka import Consumer, TopicPartition

from crossbook.domain.dead_letters import dead_letter
from crossbook.market.configuration import Configuration
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.kafka import offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from producers.feeds.protocol import STAGE
from producers.market_writer import MarketWriter
from producers.router import Router
from producers.universe.pairs import PairsFileError, load_pairs_file
from producers.universe.universe import Universe
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import DecideAnnounced, PairApproved, PairRevoked, Record
from schemas.topics import TOPICS

BATCH = 200
IDLE_S = 0.05
PAIRS_FILE_OPERATOR: Final = "pairs file"


class Word(NamedTuple):
    """One record of `control`; None for bytes that are none."""

    offset: int
    record: Record | None
    payload: bytes


class ControlReader:
    """Reads `control` from its beginning, in order."""

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._codec = codec
        self._name = TOPICS["control"].full_name(kafka.prefix)
        self._consumer: Consumer = open_consumer(kafka, "relay")
        self._consumer.assign([TopicPartition(self._name, 0, 0)])
        self.end = offset_range(self._consumer, self._name, 0)[1]
        self.position = 0

    def read(self, timeout_s: float = 0.0) -> list[Word]:
        """Words that are there, at most a batch."""
        words: list[Word] = []
        for message in poll_batch(self._consumer, BATCH, timeout_s):
            payload = message.value() or b""
            offset = message.offset()
            assert offset is not None, "a consumed record has an offset"
            self.position = offset + 1
            try:
                words.append(Word(offset, self._codec.decode(payload), payload))
            except SchemaError:
                words.append(Word(offset, None, payload))
        return words

    def read_to_end(self) -> list[Word]:
        """Every word that was there when the reader was opened."""
        words: list[Word] = []
        while self.position < self.end:
            words += self.read(1.0)
        return words

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


class Relay:
    """Takes words of `control`. `in_force` is the announcement that stands in the log."""

    def __init__(
        self,
        writer: MarketWriter,
        universe: Universe,
        router: Router,
        in_force: Configuration | None,
        stamp: Callable[[], int],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.in_force = in_force
        self._wanted: Configuration | None = None
        self._writer = writer
        self._universe = universe
        self._router = router
        self._stamp = stamp
        self._log = log

    async def run(self, control: ControlReader) -> None:
        """Take what is said until cancelled."""
        while True:
            words = control.read()
            if words:
                self.hear(words)
            else:
                self.configure()
                await asyncio.sleep(IDLE_S)

    def hear(self, words: list[Word]) -> None:
        """Take words, in order."""
        for word in words:
            match word.record:
                case DecideAnnounced():
                    self._wanted = Configuration.of(
                        word.record, ts_received_ns=self._stamp(), control_offset=word.offset
                    )
                case PairApproved():
                    self._router.do(self._universe.approve(word.record, self._stamp()))
                    if self._universe.wanted():
                        self._router.listings.soon()
                case PairRevoked():
                    revoked = self._universe.revoke(word.record.pair_id, word.record.reason, self._stamp())
                    self._router.do(revoked)
                case None:
                    self._refuse(word)
                case _:
                    continue  # for the executor
        self.configure()

    def configure(self) -> None:
        """Put the newest announcement in force, unless it is; tried again while the buffer is full."""
        wanted, known = self._wanted, self.in_force
        if wanted is None or (known is not None and wanted.says_no_more_than(known)):
            return
        if all(self._writer.broadcast(record) for record in wanted.records):
            self.in_force = wanted
            self._log.info("decide.configured", control_offset=wanted.market.control_offset)

    def approve_file(self, name: str) -> None:
        """Approve the pairs of a pairs file; an empty name is none.

        Raises:
            SettingsError: it cannot be read or is no pairs file.
        """
        if not name:
            return
        try:
            pairs = load_pairs_file(Path(name))
        except (OSError, PairsFileError) as error:
            raise SettingsError(f"catalog.pairs_file {name}: {error}") from error
        for pair in pairs:
            approval = pair.approval(self._stamp(), PAIRS_FILE_OPERATOR)
            self._router.do(self._universe.approve(approval, self._stamp()))

    def _refuse(self, word: Word) -> None:
        letter = dead_letter(
            ts_ns=self._stamp(),
            stage=STAGE,
            source="control",
            partition=0,
            offset=word.offset,
            error="no record of the contract",
            payload=word.payload,
        )
        self._router.dead(letter)
