"""What every `Log` promises, held by each that there is: the one on a broker, an archive, and the one in memory."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import TopicPartition

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    admin_client,
    create_topics,
    open_consumer,
)
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from schemas.topics import TOPICS
from tests.builders.logs.archived import GARBAGE, market_lines
from tests.builders.logs.memory import MemoryLog

HEAD, LATE, DECIDED, STRANGE = ("market", 0), ("market", 1), ("signals", 0), ("control", 0)
EMPTY, DROPPED, GROWS = ("orders", 0), ("signals", 1), ("tape", 0)
ABSENT = "leadlag"
#: What is written: (key, value) by partition, in transactions of four where the topic has them.
WRITTEN = {
    HEAD: [(line.key, line.value) for line in market_lines(30)],
    LATE: [(line.key, line.value) for line in market_lines(10, seed=8)],
    DECIDED: [(b"group", line.value) for line in market_lines(20, seed=9)],
    DROPPED: [(None, b"old")] * 3,
    STRANGE: [(None, value) for value in GARBAGE.values()],
    GROWS: [(None, b"first")],
}
TRANSACTION = 4
#: Records at the head of a partition that are gone again.
GONE = {LATE: 4, DROPPED: 3}
#: How far decide has come in `market`; in partition 1 it has written nothing.
REACHED = {0: 12}


def written(place):
    """What is there still."""
    return WRITTEN.get(place, [])[GONE.get(place, 0) :]


class MemoryCase:
    """Lines in memory, with the holes of transactions."""

    def __init__(self):
        lines = {place: [LogLine(self.offset(place, n), 7, *one) for n, one in enumerate(all_)][GONE.get(place, 0) :] for place, all_ in WRITTEN.items()}  # fmt: skip
        self.log = MemoryLog(lines, partitions=2, decided=REACHED, first=GONE, without=[ABSENT])

    def offset(self, place, number):
        return number + number // TRANSACTION if place == DECIDED else number

    def append(self, place, value):
        self.log.append(*place, value)


class ArchiveCase:
    """An archive of the log in memory."""

    def __init__(self, folder):
        self._folder, self._memory = folder, MemoryCase()
        self._write()
        self.log = ArchiveLog(folder)

    def append(self, place, value):
        self._memory.append(place, value)
        self._write()

    def _write(self):
        write_archive(self._memory.log, self._folder, topics=[topic for topic in TOPICS if topic != ABSENT])


class KafkaCase:
    """Topics of a prefix on a broker."""

    def __init__(self, kafka):
        self._settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix="logs.", partitions=2)
        create_topics(self._settings)
        self._plain = RecordProducer(self._settings, load_codec(), "test")
        for (topic, partition), values in WRITTEN.items():
            if (topic, partition) == DECIDED:
                self._decide([Outgoing("logs." + topic, partition, *one) for one in values])
                continue
            for key, value in values:
                self._plain.send_bytes(topic, value, key=key and key.decode(), partition=partition)
        self._plain.flush()
        self._drop()
        self.log = KafkaLog(self._settings)

    def append(self, place, value):
        self._plain.send_bytes(place[0], value, partition=place[1])
        self._plain.flush()

    def _decide(self, outputs):
        producer = TransactionalProducer(self._settings, "decide")
        producer.init()
        for at in range(0, len(outputs), TRANSACTION):
            producer.commit(outputs[at : at + TRANSACTION], [], None)

    def _drop(self):
        admin = admin_client(self._settings)
        gone = [TopicPartition("logs." + topic, partition, count) for (topic, partition), count in GONE.items()]
        for future in (*admin.delete_records(gone).values(), *admin.delete_topics(["logs." + ABSENT]).values()):
            future.result(10)
        with contextlib.closing(open_consumer(self._settings, "decide", read_committed=False)) as reader:
            reached = [TopicPartition("logs.market", partition, end) for partition, end in REACHED.items()]
            reader.commit(offsets=reached, asynchronous=False)


@pytest.fixture(scope="module", params=["memory", "archive", "kafka"])
def case(request, tmp_path_factory):
    if request.param == "memory":
        return MemoryCase()
    if request.param == "archive":
        return ArchiveCase(tmp_path_factory.mktemp("archive"))
    return KafkaCase(request.getfixturevalue("kafka"))


def read(case, place, **bounds):
    return list(case.log.read(*place, **bounds))


def test_it_has_a_name_and_says_how_many_partitions_market_has(case):
    assert case.log.name
    assert case.log.partitions == 2


@pytest.mark.parametrize("place", [HEAD, LATE, DECIDED, STRANGE, EMPTY, DROPPED])
def test_what_was_written_is_read_in_order_and_within_the_extent(case, place):
    lines = read(case, place)
    assert [(line.key, line.value) for line in lines] == written(place)
    offsets = [line.offset for line in lines]
    assert offsets == sorted(set(offsets))
    first, end = case.log.extent(*place)
    assert first == GONE.get(place, 0)
    assert (offsets[0], offsets[-1] < end) == (first, True) if offsets else first == end
    assert all(line.append_ms > 0 for line in lines)
    assert read(case, place) == lines


@pytest.mark.parametrize("place", [LATE, DECIDED])
def test_any_cut_gives_the_lines_whose_offsets_lie_in_it(case, place):
    lines = read(case, place)
    first, end = case.log.extent(*place)
    bounds = [None, 0, first, first + 1, first + 4, first + 5, end - 1, end, end + 9]
    for start in bounds:
        for stop in bounds if start in {None, first, first + 4} else [None, first + 5]:
            wanted = [line for line in lines if (start is None or line.offset >= start) and (stop is None or line.offset < stop)]  # fmt: skip
            assert read(case, place, start=start, end=stop) == wanted, (start, stop)


def test_two_readers_do_not_disturb_each_other(case):
    one, other = case.log.read(*HEAD), case.log.read(*HEAD)
    pairs = [(next(one), next(other)) for _ in range(10)]
    assert all(a == b for a, b in pairs)
    assert [*(a for a, _ in pairs), *one] == [*(b for _, b in pairs), *other] == read(case, HEAD)


def test_what_is_written_after_reading_began_is_not_read(case):
    before = read(case, GROWS)
    reading = case.log.read(*GROWS)
    head = next(reading)
    case.append(GROWS, b"later")
    assert [head, *reading] == before


def test_decide_has_come_as_far_as_it_said_or_to_the_first_offset(case):
    assert case.log.decided_end(0) == REACHED[0]
    assert case.log.decided_end(1) == GONE[LATE]


def test_a_topic_that_it_does_not_hold_is_an_error_by_name(case):
    asked = [lambda: case.log.extent(ABSENT, 0), lambda: read(case, (ABSENT, 0)), lambda: case.log.extent("market", 2)]
    with ThreadPoolExecutor() as pool:  # a broker is asked for some seconds before that counts
        for future, name in zip([pool.submit(one) for one in asked], (ABSENT, ABSENT, "market"), strict=True):
            with pytest.raises(LogError, match=name):
                future.result()
