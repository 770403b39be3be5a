"""The fold of the journal: what follows from each input, and which inputs are of no journal of ours. Errors: `test_open_plan.py`."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.engine import refold
from executors.errors import JournalError
from executors.fold import step
from executors.journal import trade_id_of
from executors.recovery.image import state_image
from executors.terms import ExecuteTerms
from schemas.records import (
    Fill,
    IntentSeen,
    LatencyObserved,
    ListingSeen,
    OrderReport,
    OrderSent,
    TimerFired,
    TradePlan,
    TradeUpdate,
)
from tests.builders.executors.desk import Desk
from tests.builders.executors.journals import journal_of
from tests.builders.executors.worlds import (  # fmt: skip
    CONTRACT,
    GRID,
    KA,
    KA_FEES,
    LOT,
    PM,
    T0,
    TERMS,
    intent,
    leg,
    make_world,
    run_world,
    top,
)


def kinds(outputs):
    return [type(one).__name__ for one in outputs]


def sent(order_id, **changes):
    values = {
        "sequence": -1,
        "ts_ns": T0,
        "partition": 0,
        "position": 10,
        "trade_id": "i1",
        "lag_ns": 0,
        "withheld": False,
    }
    return OrderSent(order_id=order_id, **(values | changes))


def listing(instrument_id=KA, **changes):
    values = {
        "quantity_step_micros": LOT, "quantity_minimum_micros": LOT, "notional_minimum_micros": 0, "taker_delay_ms": 0,
        "grid": GRID, "fee_schedule": KA_FEES,
    }  # fmt: skip
    return ListingSeen(
        sequence=-1,
        ts_ns=T0,
        partition=0,
        position=10,
        trade_id="main-i1",
        instrument_id=instrument_id,
        **(values | changes),
    )


# What is no journal of ours


@pytest.mark.parametrize("number", [0, 2, 7])
def test_an_input_out_of_its_number_is_no_journal_of_ours(number):
    desk = Desk()
    with pytest.raises(JournalError, match=rf"has number {number}, the journal is at 1"):
        step(desk.state, top(PM, sequence=number))
    assert desk.state.next_sequence == 1


@pytest.mark.parametrize("order_id", ["main-i1-h1", "main-i2-l1"])
def test_an_order_that_left_and_was_never_requested_is_no_journal_of_ours(order_id):
    desk = Desk()
    desk.open(intent(1))
    with pytest.raises(JournalError, match="which the journal never requested"):
        desk.put(sent(order_id, trade_id=order_id[:2]))


# What follows


def test_an_intent_becomes_plan_update_and_the_leaders_request_numbered_on():
    desk = Desk()
    outputs = desk.open(intent(1))
    assert kinds(outputs) == ["TradePlan", "TradeUpdate", "OrderRequested"]
    before = desk.inputs[-1].sequence
    assert [one.sequence for one in outputs] == [before + 1, before + 2, before + 3]
    assert desk.state.next_sequence == before + 4
    assert (desk.state.intents_seen, desk.state.positions) == ({0: 1}, {0: 10})
    assert list(desk.state.working[0]) == list(desk.state.timed[0]) == ["main-i1"]
    assert desk.state.standing.working_pairs == {"pair": 1}
    assert desk.state.tops_before == {}, "the tops were the intent's"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (intent(1, valid_until_ns=T0 - 1), "expired"),
        (intent(1, leg_a=leg(PM, taker_delay_ms=3_000), leg_b=leg(KA, "no", 500_000, taker_delay_ms=1_000)), "two_delayed_legs"),
        (intent(1, leg_a=leg(PM, grid=())), "GridError"),
    ],
)  # fmt: skip
def test_an_intent_that_cannot_be_traded_is_declined_with_the_reason_and_leaves_nothing(one, reason):
    desk = Desk()
    (update,) = desk.open(one)
    assert (update.state, update.trade_id, update.edge_micros) == ("declined", "main-i1", one.net_micros)
    assert reason in update.reason
    assert desk.state.trades == {} and desk.state.working == {}
    assert not any(map(desk.state.standing.ledger.reserved_under, ("main-i1-l1", "i1-hedge")))
    assert kinds(desk.open(intent(2, pair_id="other")))[0] == "TradePlan", "the next one is opened"


def test_an_intent_is_seen_once():
    desk = Desk()
    desk.open(intent(1))
    (update,) = desk.open(intent(1))
    assert (update.state, "an intent is seen once" in update.reason) == ("declined", True)
    assert desk.trade().state == "leading", "the trade that there is goes on"


def test_what_the_market_listed_before_the_intent_counts_for_its_legs():
    desk = Desk()
    desk.put(listing(quantity_step_micros=CONTRACT))
    desk.open(intent(1))
    assert desk.trade().leg("hedge").quantity_step_micros == CONTRACT
    assert desk.trade().leg("leader").quantity_step_micros == LOT
    desk.put(listing(quantity_step_micros=5 * LOT))
    assert desk.trade().leg("hedge").quantity_step_micros == 5 * LOT, "and later listings for an open trade"
    assert desk.state.listings_before == {}


def test_a_fill_takes_the_number_of_its_report_and_the_hedge_follows():
    desk = Desk()
    desk.open(intent(1))
    outputs = desk.report(desk.sent[0], "filled", 10 * CONTRACT, fee=5)
    assert kinds(outputs) == ["Fill", "TradeUpdate", "OrderRequested"]
    fill = outputs[0]
    assert (fill.sequence, fill.quantity_micros, fill.fee_micros) == (desk.inputs[-1].sequence, 10 * CONTRACT, 5)
    outputs = desk.report(desk.sent[1], "filled", 10 * CONTRACT)
    assert kinds(outputs)[0] == "Fill" and outputs[-1].state == "closed"
    assert desk.state.working[0] == {} and desk.state.standing.working_pairs == {"pair": 0}


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(lambda desk: desk.report(msgspec.structs.replace(desk.sent[0], trade_id="i9"), "filled", CONTRACT), id="report of no trade"),
        pytest.param(lambda desk: desk.report(msgspec.structs.replace(desk.sent[0], order_id="i1-x9"), "filled", CONTRACT), id="report of no order"),
        pytest.param(lambda desk: desk.put(TimerFired(sequence=-1, ts_ns=T0, partition=0, position=10, trade_id="i9", timer="retry", order_id="")), id="timer of no trade"),
        pytest.param(lambda desk: desk.put(LatencyObserved(sequence=-1, ts_ns=T0, trade_id="main-i1", kind="hedge", ts_start_ns=1, ts_end_ns=2, latency_ns=1)), id="a measurement"),
        pytest.param(lambda desk: desk.limit("no such limit", 5), id="a limit that there is not"),
        pytest.param(lambda desk: desk.limit("pairs_open_max", -5), id="a limit out of its bounds"),
    ],
)  # fmt: skip
def test_what_concerns_no_trade_changes_none(told):
    desk = Desk()
    desk.open(intent(1))
    before, number = dict(desk.state.trades), desk.state.next_sequence
    assert told(desk) == []
    assert desk.state.trades == before
    assert desk.state.terms == TERMS
    assert desk.state.next_sequence == number + 1


# Operators' words


def test_an_operators_limit_outlives_a_new_configuration():
    desk = Desk()
    desk.limit("pairs_open_max", 3)
    assert desk.state.terms.execute.pairs_open_max == 3
    desk.configure(msgspec.structs.replace(TERMS, execute=ExecuteTerms(pairs_open_max=9, adverse_ms=77)))
    assert (desk.state.terms.execute.pairs_open_max, desk.state.terms.execute.adverse_ms) == (3, 77)


def test_a_halt_holds_the_hedge_back_and_a_resume_sends_it():
    desk = Desk()
    desk.open(intent(1))
    desk.say(state="halted")
    desk.report(desk.sent[0], "filled", 10 * CONTRACT)
    assert (desk.trade().held_back, len(desk.sent)) == (True, 1)
    outputs = desk.say(state="running")
    assert "OrderRequested" in kinds(outputs)
    assert not desk.trade().held_back


@pytest.mark.parametrize("offset", [0, 4])
def test_a_word_is_counted_as_applied_by_its_place_on_control(offset):
    desk = Desk()
    desk.put(msgspec.structs.replace(_word(desk), control_offset=offset))
    assert desk.state.controls_applied == offset + 1
    desk.put(msgspec.structs.replace(_word(desk), control_offset=-1))
    assert desk.state.controls_applied == offset + 1, "what nobody said on `control` moves nothing"


def _word(desk):
    desk.say(state="running")
    return desk.inputs[-1]


# Laws


@settings(max_examples=15)
@given(seed=st.integers(0, 500))
def test_a_journal_refolds_to_the_same_state_and_its_numbers_have_no_gap(seed):
    engine, written = run_world(make_world(seed, 300))
    journal = journal_of(written)
    assert [one.sequence for one in journal] == list(range(len(journal)))
    state, _ = refold(journal)
    assert state_image(state, list(state.trades)) == state_image(engine.state, list(engine.state.trades))
    reports = {one.sequence for one in journal if isinstance(one, OrderReport)}
    assert {one.sequence for one in written if isinstance(one, Fill)} <= reports
    plans = {one.trade_id for one in journal if isinstance(one, TradePlan)}
    declined = {one.trade_id for one in journal if isinstance(one, TradeUpdate) and one.state == "declined"}
    seen = {trade_id_of("main", one.intent.intent_id) for one in journal if isinstance(one, IntentSeen)}
    assert plans | declined == seen and not plans & declined


def test_a_journal_of_other_code_or_one_cut_behind_an_input_is_refused():
    desk = Desk()
    outputs = desk.open(intent(1))
    journal = [*desk.inputs, *outputs]
    forged = msgspec.structs.replace(journal[-1], quantity_micros=1)
    with pytest.raises(JournalError, match="does not follow from its inputs"):
        refold([*journal[:-1], forged])
    with pytest.raises(JournalError, match="ends before"):
        refold(journal[:-1])


def test_an_intent_of_a_strategy_that_the_portfolio_does_not_follow_is_declined_and_the_others_are_acted_on():
    desk = Desk()
    desk.put(msgspec.structs.replace(desk.state.configured, strategies=("quotes", "cross_venue")))
    desk.open(intent(1))
    desk.open(intent(2, pair_id="other", strategy="bundles"))
    assert desk.trade().state == "leading" and desk.reasons("declined") == ["strategy_not_followed"]


def test_settings_are_those_that_were_journaled():
    desk = Desk()
    assert (desk.state.configured.execute, desk.state.configured.paper) == (TERMS.execute, TERMS.paper)
    assert desk.state.terms == TERMS
