"""What a life of the producers reads of a real log: open trades from committed journals, and where everything stands in `market`."""

import os

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import Outgoing, RecordProducer, TransactionalProducer, create_topics, open_consumer
from crossbook.runtime.settings import KafkaSettings, Settings
from producers.catalogue.moves import KafkaJournals
from producers.market_writer import MarketWriter, read_log_head
from producers.universe.universe import ShowBook, Universe
from schemas.codec import load_codec
from tests.builders.producers.moves import BOTH, plan, update
from tests.builders.producers.universes import JOINING, LOW, PAIR, A, B

CODEC = load_codec()


def settings_of(bootstrap: str, name: str) -> Settings:
    found = Settings(kafka=KafkaSettings(bootstrap=bootstrap, prefix=f"moves-{os.getpid()}-{name}.", partitions=3))
    create_topics(found.kafka)
    return found


def test_trades_are_open_until_their_journal_says_otherwise(kafka) -> None:
    settings = settings_of(kafka.bootstrap, "trades").kafka
    journals = KafkaJournals(settings)
    assert journals.read().on(BOTH) == []
    producer, consumer = TransactionalProducer(settings, "test"), open_consumer(settings, "test")
    consumer.assign([TopicPartition(f"{settings.prefix}orders", 0, 0)])
    producer.init()
    for record, open_trades in (
        (plan("t1", *BOTH), ["t1"]),
        (update("t1", "hedged"), ["t1"]),
        (update("t1", "closed"), []),
    ):
        producer.commit([Outgoing(f"{settings.prefix}orders", 0, b"t1", CODEC.encode(record))], [], consumer)
        assert journals.read().on(BOTH) == open_trades, "behind a transaction's marker too"
        assert journals.read().on(BOTH) == open_trades, "nothing new"
    consumer.close()


def test_a_life_that_begins_in_the_middle_of_a_move_finds_where_everything_stands(kafka) -> None:
    settings = settings_of(kafka.bootstrap, "places")
    writer = MarketWriter(RecordProducer(settings.kafka, CODEC, "test"), 3, 1_000)
    writer.open(read_log_head(settings.kafka, CODEC, "ab" * 16), 1)
    before = Universe()
    for steps in (before.list_instruments([A, B, LOW], 1), before.approve(PAIR, 2)):
        for step in steps:
            if not isinstance(step, ShowBook):
                writer.write(step.record, step.group)
    writer.flush()
    head = read_log_head(settings.kafka, CODEC, "never drawn")
    assert head.placements == {one.instrument_id: one.group for one in before.open_instruments()}
    assert set(head.pairs_listed) == {"p"}
    universe = Universe(head.placements, head.pairs_listed)
    for pair in (PAIR, JOINING):
        universe.approve(pair, 3)
    universe.list_instruments([A, B, LOW], 4)
    assert set(universe.waiting) == {B.event_id}
