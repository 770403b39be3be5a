"""Comparisons count every record once and name the first difference."""

import msgspec

from deploy.lab.compare.bytes import compare_executions, compare_intents, compare_opportunities
from executors.journal import topic_of
from schemas.codec import load_codec
from schemas.records import LatencyObserved, OrderRequested
from tests.builders.executors.worlds import intent
from tests.builders.logs.live import decided, executed, market

CODEC = load_codec()
JOURNAL = [r for r in executed(decided(market(700, settle=False))) if topic_of(r) == "orders"]


def counts(found):
    return found.equal, found.different, found.missing, found.extra


def test_intents_byte_for_byte():
    ours = [intent(n) for n in range(1, 5)]
    live = {one.intent_id: CODEC.encode(one) for one in ours}
    assert counts(compare_intents(live, ours, CODEC)) == (4, 0, 0, 0)
    other = [msgspec.structs.replace(ours[0], quantity_micros=1), *ours[2:], intent(9)]
    found = compare_intents(live, other, CODEC)
    assert counts(found) == (2, 1, 1, 1) and "quantity_micros" in found.first_difference


def test_journals_by_trade_without_what_the_wall_clock_wrote():
    seen = LatencyObserved(sequence=0, ts_ns=0, trade_id="x", kind="hedge", ts_start_ns=0, ts_end_ns=1, latency_ns=1)
    assert counts(compare_executions("orders", [seen, *JOURNAL], JOURNAL)) == (len(JOURNAL), 0, 0, 0)
    at = next(n for n, r in enumerate(JOURNAL) if isinstance(r, OrderRequested))
    changed = [*JOURNAL[:at], msgspec.structs.replace(JOURNAL[at], quantity_micros=1), *JOURNAL[at + 1 :]]
    found = compare_executions("orders", JOURNAL, changed)
    assert counts(found) == (len(JOURNAL) - 1, 1, 0, 0) and "quantity_micros" in found.first_difference
    assert counts(compare_executions("orders", JOURNAL, JOURNAL[:-1]))[2:] == (1, 0)
    assert counts(compare_executions("orders", JOURNAL[:-1], JOURNAL))[2:] == (0, 1)
    assert counts(compare_executions("orders", [], JOURNAL)) == (0, 0, 0, len(JOURNAL))


def test_opportunities_by_package_and_time():
    live = [intent(1, ts_ns=10**9), intent(2, ts_ns=20 * 10**9), intent(3, ts_ns=40 * 10**9)]
    here = [intent(7, ts_ns=11 * 10**8), intent(8, ts_ns=21 * 10**9, quantity=5_000_000), intent(9, ts_ns=90 * 10**9)]
    found = compare_opportunities(live, here)
    assert counts(found) == (1, 1, 1, 1) and "only live" not in found.first_difference
    assert counts(compare_opportunities([], [])) == (0, 0, 0, 0)
