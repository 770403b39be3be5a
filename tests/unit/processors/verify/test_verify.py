"""verify's comparison: longer is extra, shorter is missing, both are differences, and the first one is shown whole."""

import msgspec
import pytest

from crossbook.log.reading import LogLine
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from processors.errors import InputError
from processors.verify.verify import OUTPUT_TOPICS, TopicCheck, compare
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import EdgeUpdate, Watermark
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market

CODEC = load_codec()


@pytest.fixture(scope="module")
def records():
    return lively_market(300)


@pytest.fixture(scope="module")
def written(records):
    """What a right decide wrote: the lines of each output topic."""
    lines = {topic: [] for topic in OUTPUT_TOPICS}
    for topic, key, record in mr.fold(records)[1]:
        line = LogLine(len(lines[topic]), 0, None if key is None else key.encode(), CODEC.encode(record))
        lines[topic].append(line)
    return lines


def verified(records, lines, upto=None):
    checks = {topic: TopicCheck(topic, 0, iter(lines[topic]), CODEC) for topic in OUTPUT_TOPICS}
    market = [LogLine(offset, 0, b"group", CODEC.encode(record)) for offset, record in enumerate(records[:upto])]
    events = compare(PartitionFold(0, CODEC, DecideState(mr.DIGEST)), iter(market), checks, CODEC)
    assert events == len(market)
    return checks


def test_what_is_right_is_right(records, written):
    checks = verified(records, written)
    assert {topic: check.mismatches for topic, check in checks.items()} == dict.fromkeys(OUTPUT_TOPICS, 0)
    assert {topic: check.compared for topic, check in checks.items()} == {t: len(written[t]) for t in OUTPUT_TOPICS}


def test_a_missing_last_record_is_a_difference(records, written):
    check = verified(records, written | {"signals": written["signals"][:-1]})["signals"]
    difference = check.first_difference
    assert (check.mismatches, difference.found, difference.number) == (1, None, len(written["signals"]) - 1)
    assert "missing" in difference.describe()
    assert difference.cause == records[difference.cause_position]


def test_a_doubled_record_is_a_difference(records, written):
    signals = written["signals"]
    check = verified(records, written | {"signals": [*signals, signals[-1]]})["signals"]
    assert (check.mismatches, check.first_difference.expected) == (1, None)


@pytest.mark.parametrize("what", ["key", "value", "junk"])
def test_one_changed_record_is_one_difference(records, written, what):
    signals = list(written["signals"])
    number = next(n for n, line in enumerate(signals) if isinstance(CODEC.decode(line.value), EdgeUpdate))
    line = signals[number]
    quote = CODEC.decode(line.value)
    signals[number] = {
        "key": line._replace(key=b"another"),
        "value": line._replace(value=CODEC.encode(msgspec.structs.replace(quote, net_micros=quote.net_micros + 1))),
        "junk": line._replace(value=b"junk"),
    }[what]
    clean = verified(records, written)["signals"]
    check = verified(records, written | {"signals": signals})["signals"]
    assert (check.mismatches, check.first_difference.number, check.first_difference.expected) == (1, number, quote)
    assert check.digest != clean.digest
    if what == "junk":
        assert check.first_difference.found.startswith("unreadable")


def test_what_a_running_decide_wrote_meanwhile_is_not_extra(records, written):
    checks = verified(records, written, upto=len(records) // 2)
    assert sum(check.mismatches for check in checks.values()) == 0
    assert any(isinstance(CODEC.decode(line.value), Watermark) for line in written["signals"])


def test_a_log_that_begins_elsewhere_than_it_says_is_refused():
    fold = PartitionFold(0, CODEC, DecideState(mr.DIGEST))
    assert fold.take(3, CODEC.encode(mr.status("kalshi", mr.T0))) == ()
    with pytest.raises(InputError, match="offset 4 of market partition 0 names offset 0"):
        fold.take(4, CODEC.encode(mr.opened()))


def test_what_cannot_be_decoded_takes_its_position():
    fold = PartitionFold(0, CODEC, DecideState(mr.DIGEST))
    with pytest.raises(SchemaError):
        fold.take(6, b"junk")
    assert fold.next_offset is None
    fold.take(7, CODEC.encode(msgspec.structs.replace(mr.opened(), base_offset=7)))
    with pytest.raises(SchemaError):
        fold.take(8, None)
    assert (fold.next_offset, fold.state.market.position) == (9, 1)
