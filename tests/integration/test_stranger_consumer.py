"""A stranger's consumer: Confluent's own deserializer decodes every topic, knowing the registry's address alone."""

from collections.abc import Iterator

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, DeserializingConsumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from crossbook.runtime.kafka import RecordProducer, create_topics
from crossbook.runtime.settings import KafkaSettings
from deploy.registry.server import serving
from deploy.stack.kafka.child import KafkaServer
from schemas.codec import load_codec
from schemas.records import Record
from schemas.registry import load_registry, read_avsc
from schemas.topics import TOPICS
from tests.contract.record_strategies import sample

PREFIX = "stranger."


@pytest.fixture(scope="module")
def client() -> Iterator[SchemaRegistryClient]:
    """Confluent's client, pointed at our face."""
    with serving(PREFIX) as url, SchemaRegistryClient({"url": url}) as opened:
        yield opened


def plain(record: Record) -> object:
    """The record as dicts and lists, as a deserializer makes them."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record))


@pytest.mark.parametrize(("topic", "name"), [(topic.name, name) for topic in TOPICS.values() for name in topic.records])
def test_the_bytes_of_every_record_are_decoded(client: SchemaRegistryClient, topic: str, name: str) -> None:
    context = SerializationContext(TOPICS[topic].full_name(PREFIX), MessageField.VALUE)
    decoded = AvroDeserializer(client)(load_codec().encode(sample(name)), context)
    assert decoded == plain(sample(name))


def test_every_topic_on_a_real_broker_is_decoded(kafka: KafkaServer, client: SchemaRegistryClient) -> None:
    settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix=PREFIX)
    create_topics(settings)
    producer = RecordProducer(settings, load_codec(), "test")
    for topic in TOPICS.values():
        for name in topic.records:
            producer.send(topic.name, sample(name), partition=0)
    producer.flush()
    consumer = DeserializingConsumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "a-stranger",
            "auto.offset.reset": "earliest",
            "value.deserializer": AvroDeserializer(client),
        }
    )
    consumer.assign([TopicPartition(t.full_name(PREFIX), 0, OFFSET_BEGINNING) for t in TOPICS.values()])
    decoded: dict[str, list[object]] = {}
    for _ in range(sum(len(topic.records) for topic in TOPICS.values())):
        message = consumer.poll(20)
        assert message is not None, f"after {decoded}"
        assert message.error() is None
        decoded.setdefault(message.topic() or "", []).append(message.value())
    consumer.close()
    assert decoded == {t.full_name(PREFIX): [plain(sample(name)) for name in t.records] for t in TOPICS.values()}


def test_a_strangers_serializer_finds_our_ids_and_registers_none(client: SchemaRegistryClient) -> None:
    text = msgspec.json.encode(read_avsc("PairRevoked")).decode()
    conf = {"auto.register.schemas": False, "subject.name.strategy.type": "TOPIC_RECORD"}
    context = SerializationContext(f"{PREFIX}control", MessageField.VALUE)
    data = AvroSerializer(client, text, conf=conf)(plain(sample("PairRevoked")), context)
    assert data == load_codec().encode(sample("PairRevoked")), "one encoding, by anybody"
    registering = AvroSerializer(client, text, conf=conf | {"auto.register.schemas": True})
    with pytest.raises(SchemaRegistryError, match="read-only mode"):
        registering(plain(sample("PairRevoked")), SerializationContext(f"{PREFIX}elsewhere", MessageField.VALUE))


def test_the_clients_other_questions_are_answered(client: SchemaRegistryClient) -> None:
    name = f"{PREFIX}fills-crossbook.Fill"
    assert name in client.get_subjects()
    assert client.get_versions(name) == [1]
    latest = client.get_latest_version(name)
    assert latest.schema_id == load_registry().newest["Fill"].id
    assert client.lookup_schema(name, latest.schema).schema_id == latest.schema_id
    assert client.get_subjects_by_schema_id(latest.schema_id) == [name]
    assert client.test_compatibility(name, latest.schema)
    assert client.get_compatibility() == "FULL_TRANSITIVE"
    assert client.get_global_mode() == "READONLY"
    assert client.get_schema_types() == ["AVRO"]
