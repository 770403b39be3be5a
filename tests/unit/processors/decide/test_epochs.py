"""Code epochs: from its settings on a code decides, what it was before stands, and verify proves only what its own code wrote."""

import pytest

from crossbook.log.reading import LogLine
from processors.decide.checkpoint import freeze, thaw
from processors.decide.fold import step
from processors.decide.partition import PartitionFold
from processors.decide.resume import intents_before
from processors.decide.state import DecideState
from processors.verify.verify import OUTPUT_TOPICS, Epoch, TopicCheck, compare
from schemas.codec import load_codec
from schemas.records import TradeIntent, Watermark
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()
OLD, NEW = "0" * 64, "1" * 64
#: The old code asked for more than ours would have under the same settings: so that the two count intents differently.
ASKING = 8_000
LOW = {"min_edge_micros": 0, "cooldown_ns": 300 * mr.MS}


def under(settings_of, records):
    """A market in which, by position, other settings come."""
    found = list(records)
    for at, code in settings_of.items():
        found[at:at] = mr.settings(found[at].ts_received_ns, code_digest=code, **LOW)
    return found


@pytest.fixture(scope="module")
def market():
    """OLD from the head, NEW from somewhere in the middle."""
    records = [
        one for one in lively_market(700, 3) if not isinstance(one, (mr.MarketConfigured, mr.StrategyConfigured))
    ]
    return under({350: NEW, 2: OLD}, records)


def turn_of(records, code):
    """Position from which a code decides: that of its last word."""
    return next(n for n, one in enumerate(records) if isinstance(one, mr.MarketConfigured) and one.code_digest == code)


def decide(records, code, already=()):
    """What a code writes into the log, after what stands there already; and its state."""
    log = MemoryLog({})
    for topic in OUTPUT_TOPICS:
        log.lines[topic, 0] = [line for name, line in already if name == topic]
    fold = PartitionFold(
        0, CODEC, DecideState(code), intents_before=lambda position: intents_before(log, CODEC, 0, position)
    )
    written = []
    for offset, record in enumerate(records):
        for topic, key, output in fold.take(offset, CODEC.encode(record)):
            line = LogLine(len(log.lines[topic, 0]), 0, None if key is None else key.encode(), CODEC.encode(output))
            log.lines[topic, 0].append(line)
            written.append((topic, line))
    return [*already, *written], fold.state


@pytest.fixture(scope="module")
def log(market):
    """What both codes wrote, the old one asking for more."""
    asking = [
        mr.strategy(one.ts_received_ns, code_digest=OLD, **LOW | {"min_edge_micros": ASKING})
        if isinstance(one, mr.StrategyConfigured) and one.code_digest == OLD
        else one
        for one in market
    ]
    old, _ = decide(asking, OLD)
    both, _ = decide(market, NEW, old)
    return both


def records_of(log, cls):
    return [one for one in (CODEC.decode(line.value) for _, line in log) if isinstance(one, cls)]


def test_each_code_writes_from_its_own_settings_on_and_intents_are_numbered_through(market, log):
    turn = turn_of(market, NEW)
    old, state = decide(market, OLD)
    assert max(one.position for one in records_of(old, Watermark)) < turn
    assert state.other_code == NEW
    new, state = decide(market, NEW)
    assert min(one.position for one in records_of(new, Watermark)) >= turn
    assert state.other_code == ""
    intents = records_of(log, TradeIntent)
    assert [one.number for one in intents] == list(range(1, len(intents) + 1))
    before = sum(one.position < turn for one in intents)
    assert 0 < before < len(intents)
    silent = [one for one in market[:turn] if not isinstance(one, (mr.MarketConfigured, mr.StrategyConfigured))]
    alone = mr.fold([*silent[:2], *mr.settings(mr.T0, **LOW), *silent[2:]])[1]
    assert len(mr.kinds(alone, TradeIntent)) != before, "the two codes count alike: the world proves nothing"
    for mark in records_of(log, Watermark):
        assert mark.intents == sum(one.position <= mark.position for one in intents)


def verified(market, log, code):
    checks = {
        topic: TopicCheck(topic, 0, iter([line for name, line in log if name == topic]), CODEC)
        for topic in OUTPUT_TOPICS
    }
    kept = MemoryLog({(topic, 0): [line for name, line in log if name == topic] for topic in OUTPUT_TOPICS})
    fold = PartitionFold(
        0, CODEC, DecideState(code), intents_before=lambda position: intents_before(kept, CODEC, 0, position)
    )
    lines = [LogLine(offset, 0, b"group", CODEC.encode(record)) for offset, record in enumerate(market)]
    unproven = []
    compare(fold, iter(lines), checks, CODEC, unproven=unproven)
    return checks, unproven


def test_a_code_proves_its_own_epoch_and_names_the_others(market, log):
    turn = turn_of(market, NEW)
    first = next(n for n, one in enumerate(market) if isinstance(one, mr.StrategyConfigured))
    old = [line for _, line in log if CODEC.decode(line.value).position < turn]
    checks, unproven = verified(market, log, NEW)
    assert {topic: check.mismatches for topic, check in checks.items()} == dict.fromkeys(OUTPUT_TOPICS, 0)
    assert sum(check.compared for check in checks.values()) == len(log) - len(old)
    assert unproven == [Epoch(0, first, turn, OLD, len(old))]
    assert "decided" not in str(unproven[0]) and "by code 000000000000" in str(unproven[0])
    written, _ = decide(market, OLD)
    checks, unproven = verified(market, decide(market, NEW, written)[0], OLD)
    assert {topic: check.mismatches for topic, check in checks.items()} == dict.fromkeys(OUTPUT_TOPICS, 0)
    assert sum(check.compared for check in checks.values()) == len(written)
    assert [(one.begin, one.end, one.code_digest) for one in unproven] == [(turn - 1, None, NEW)]


@pytest.mark.parametrize("lost", ["last of the old", "first of the new", "last of the new"])
def test_what_is_missing_in_ones_own_epoch_is_found(market, log, lost):
    turn = turn_of(market, NEW)
    signals = [n for n, (topic, _) in enumerate(log) if topic == "signals"]
    new = [n for n in signals if CODEC.decode(log[n][1].value).position >= turn]
    at = {
        "last of the old": signals[len(signals) - len(new) - 1],
        "first of the new": new[0],
        "last of the new": new[-1],
    }
    kept = [one for n, one in enumerate(log) if n != at[lost]]
    checks, unproven = verified(market, kept, NEW)
    assert checks["signals"].mismatches == (lost != "last of the old")
    assert unproven[0].records == len(log) - sum(CODEC.decode(one.value).position >= turn for _, one in log) - (
        lost == "last of the old"
    )


def test_codes_may_take_turns(market):
    thrice = under({560: OLD}, market)
    old, _ = decide(thrice[:560], OLD)
    both, _ = decide(thrice[:560], NEW, old)
    whole, _ = decide(thrice, OLD, both)
    extra = whole[len(both) :]
    again = extra[len(old) :]
    log = [*both, *again]
    numbers = [one.number for one in records_of(log, TradeIntent)]
    assert numbers == list(range(1, len(numbers) + 1))
    for code, turns in ((NEW, 2), (OLD, 1)):
        checks, unproven = verified(thrice, log, code)
        assert sum(check.mismatches for check in checks.values()) == 0
        assert len(unproven) == turns


def test_settings_that_mean_nothing_here_are_no_hindrance(market):
    """Another code's strategy, and settings that ours would refuse, stop nobody; ours begins when its own settings come."""
    turn = turn_of(market, NEW)
    strange = mr.strategy(mr.T0, name="tomorrow", code_digest=OLD)
    unfit = mr.strategy(mr.T0, code_digest=OLD, min_edge_micros="much")
    records = [*market[:4], strange, unfit, *market[4:]]
    state, outputs = mr.fold(records[: turn + 1], DecideState(NEW))
    assert outputs == []
    assert set(state.strategies) <= {"cross_venue"}
    outputs = [one for n, record in enumerate(records[turn + 1 :], turn + 1) for one in step(state, n, record)]
    assert mr.kinds(outputs, Watermark)
    assert set(state.strategies) == {"cross_venue"}


@pytest.mark.parametrize("cut", [3, 4, 5, 120, 349, 351, 352, 353, 500])
def test_a_checkpoint_in_any_epoch_goes_on_alike(market, cut):
    whole, outputs = mr.fold(market, DecideState(NEW))
    half, first = mr.fold(market[:cut], DecideState(NEW))
    again = thaw(freeze(half), NEW)
    assert freeze(again) == freeze(half)
    rest = [one for n, record in enumerate(market[cut:], cut) for one in step(again, n, record)]
    assert [*first, *rest] == outputs
    assert freeze(again) == freeze(whole)
