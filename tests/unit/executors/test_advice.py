"""Lead-lag advice: the newest that was said by now about exactly the two legs, journaled with the intent that it was used for."""

import pytest

from executors.advice import Advice, AdviceBook
from executors.engine import Engine, refold
from executors.journal import comparable
from executors.terms import Terms
from schemas.records import IntentSeen, LeadLag, OrderRequested
from tests.builders.executors.journals import journal_of
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    MS,
    PM,
    T0,
    S,
    feed_all,
    head,
    intent,
    leg,
    listed,
    snapshot,
    status,
)

OTHER = "kalshi:OTHER"


def said(leader=KA, end_ns=T0, a=KA, b=PM, **changes):
    values = {
        "lead_lag_id": f"{a}/{b}/{end_ns}",
        "ts_ns": end_ns,
        "log_id": "",
        "partition": 0,
        "group": "g",
        "instrument_a": a,
        "instrument_b": b,
        "ts_window_start_ns": end_ns - 600 * S,
        "ts_window_end_ns": end_ns,
        "bar_ns": 5 * S,
        "bars": 120,
        "votes": 3,
        "leader": leader,
    }
    return LeadLag(**(values | changes))


@pytest.mark.parametrize(
    ("records", "now_ns", "leader"),
    [
        ([], T0, None),
        ([said()], T0, KA),
        ([said()], T0 + 60 * S, KA),
        ([said()], T0 + 60 * S + 1, None),  # too old
        ([said()], T0 - 1, None),  # not said yet
        ([said(ts_ns=T0 + 5)], T0, None),  # the window is over, but it was told later
        ([said(), said(PM, T0 + S)], T0 + S, PM),
        ([said(), said(PM, T0 + S)], T0 + S - 1, KA),
        ([said(PM, T0 + S), said()], T0 + S, PM),  # an older window that comes late changes nothing
        ([said(), said()], T0, KA),  # at least once
        ([said(), said(None, T0 + S)], T0 + S, None),  # withdrawn
        ([said(KA, b="binance:BTCUSDT")], T0, None),  # about something else
        ([said("binance:BTCUSDT")], T0, None),
    ],
)
def test_which_advice_counts(records, now_ns, leader):
    book = AdviceBook(60 * S)
    for record in records:
        book.put(record)
    for legs in ((KA, PM), (PM, KA)):
        found = book.about(legs, now_ns)
        assert (found.leader if found else None) == leader


def test_without_an_age_none_is_used():
    book = AdviceBook(0)
    book.put(said())
    assert book.about((KA, PM), T0 + 1) is None


def kalshi_world():
    """Two Kalshi books and an intent on both; the thinner one is leg a."""
    records = [*head(), listed(OTHER)]
    for one, price in ((KA, 400_000), (OTHER, 500_000)):
        levels = ([(price - 10_000, 50 * CONTRACT)], [(price, 50 * CONTRACT)])
        records.append(snapshot(one, T0 + MS, *levels))
    records.append(status("kalshi", T0 + 2 * MS))
    quantity = 10 * CONTRACT
    legs = {
        "leg_a": leg(KA, "yes", 400_000, quantity, depth_micros=50 * CONTRACT),
        "leg_b": leg(OTHER, "no", 510_000, quantity, depth_micros=90 * CONTRACT),
    }
    position = len(records) - 1
    one = intent(1, quantity, position=position, ts_ns=T0 + 2 * MS, valid_until_ns=T0 + S, **legs)
    records += [status("kalshi", T0 + 400 * MS), status("polymarket", T0 + 400 * MS)]
    return records, [one], []


def led(heard=(), age_max_ns=60 * S, **put):
    """What is journaled and who leads, under some advice."""
    engine = Engine([0], advice_age_max_ns=age_max_ns)
    engine.configure(Terms(), portfolio="main", code_digest="d")
    for record in heard:
        engine.lanes[0].put_advice(record)
    records, intents, marks = kalshi_world()
    if put:
        engine.lanes[0].put_intent(intents[0], 1, 0, **put)
    written = engine.take_and_send() + feed_all(engine, records, intents, marks)
    seen = next(r for r in written if isinstance(r, IntentSeen))
    leader = next(r for r in written if isinstance(r, OrderRequested))
    return written, (seen.leader_advised, seen.advice_id), leader.instrument_id


def test_the_advised_leg_leads_and_the_journal_says_so():
    assert led()[1:] == ((None, None), KA)
    advice = said(OTHER, T0, KA, OTHER)
    written, journaled, leader = led([advice])
    assert (journaled, leader) == ((OTHER, advice.lead_lag_id), OTHER)
    assert led([advice], age_max_ns=1)[1:] == ((None, None), KA)
    state, _ = refold(journal_of(written))  # a refold needs no topic
    assert [trade.leader_is_a for trade in state.trades.values()] == [False]


def test_advice_of_a_journal_outranks_what_was_heard():
    given = Advice(OTHER, "x")
    assert led([said(KA, T0, KA, OTHER)], advice=given)[1:] == ((OTHER, "x"), OTHER)


def test_advice_is_masked_where_runs_are_compared_but_not_what_was_done_on_it():
    plain, advised = led()[0], led([said(OTHER, T0, KA, OTHER)])[0]
    pairs = [(comparable(a), comparable(b)) for a, b in zip(plain, advised, strict=False)]
    first = next(n for n, (a, b) in enumerate(pairs) if a != b)
    assert isinstance(plain[first - 1], IntentSeen)
    assert [type(r).__name__ for r in (plain[first], advised[first])] == ["TradePlan", "TradePlan"]
