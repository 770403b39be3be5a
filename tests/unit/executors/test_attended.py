"""Every state of a trade that is not an end is attended: an order is asked for, a timer runs, or a resume is waited for."""

import pytest

from executors.orders.work import unattended
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import CONTRACT, KA, PM, S, intent

Q = 10 * CONTRACT
FILL = {"accepted": 0, "delayed": 0, "partially_filled": 4 * CONTRACT}


def naked():
    """A desk with the leader filled and the hedge out of sight."""
    desk = Desk()
    desk.open(intent())
    desk.report(desk.sent[0], "filled", Q)
    hedge = desk.sent[1]
    desk.fire("order_timeout", hedge.order_id)
    assert desk.trade().order(hedge.order_id).status == "unknown"
    return desk, hedge


@pytest.mark.parametrize("status", FILL)
def test_an_unknown_order_that_speaks_late_is_waited_for_again_and_the_trade_ends(status):
    desk, hedge = naked()
    desk.now += 2 * S
    desk.report(hedge, status, FILL[status])
    trade = desk.trade()
    assert (
        trade.timer("finality", hedge.order_id) is None
        and trade.timer("order_timeout", hedge.order_id).due_ns > desk.now
    )
    desk.fire("order_timeout", hedge.order_id)
    desk.fire("finality", hedge.order_id)
    assert desk.trade().order(hedge.order_id).status == "expired"
    desk.fire("retry")
    assert desk.sent[-1].quantity_micros == Q - FILL[status], "what is still missing is hedged"


@pytest.mark.parametrize("status", FILL)
def test_a_dead_order_that_comes_alive_is_waited_for(status):
    desk, hedge = naked()
    desk.fire("finality", hedge.order_id)
    desk.now += S
    desk.report(hedge, status, FILL[status])
    assert desk.trade().order(hedge.order_id).status == status
    assert unattended(desk.trade()) == ""
    sent = len(desk.sent)
    desk.fire("retry")
    assert len(desk.sent) == sent, "never a second order while one may fill"
    desk.fire("order_timeout", hedge.order_id)
    desk.fire("finality", hedge.order_id)
    desk.fire("retry")
    assert desk.sent[-1].quantity_micros == Q - FILL[status]


def test_a_late_word_while_the_trade_is_stuck_hedged_or_flat_is_attended_too():
    desk = Desk()
    desk.open(intent())
    desk.fire("order_timeout", desk.sent[0].order_id)
    desk.fire("finality", desk.sent[0].order_id)
    assert desk.trade().state == "flat"
    desk.report(desk.sent[0], "accepted")
    assert desk.trade().timer("order_timeout", desk.sent[0].order_id) is not None
    desk.fire("order_timeout", desk.sent[0].order_id)
    desk.fire("finality", desk.sent[0].order_id)
    assert (desk.trade().state, desk.trade().timers) == ("flat", ())


def test_the_end_of_an_order_is_believed_when_it_comes_with_a_fill_that_is_known():
    desk = Desk()
    desk.open(intent())
    desk.report(desk.sent[0], "partially_filled", 4 * CONTRACT, fill_id="f")
    desk.report(desk.sent[0], "canceled", 4 * CONTRACT, fill_id="f")
    assert desk.trade().held("leader") == 4 * CONTRACT
    assert (desk.sent[-1].role, desk.sent[-1].quantity_micros) == ("hedge", 4 * CONTRACT)


@pytest.mark.parametrize("gone", [True, False])
def test_what_became_of_a_fill_counts_although_it_was_told_before_the_fill(gone):
    desk = Desk()
    desk.open(intent())
    desk.report(desk.sent[0], "accepted", fill_id="f", reversed_=gone)
    desk.report(desk.sent[0], "filled", Q, fill_id="f", final=False)
    assert desk.trade().held("leader") == desk.trade().sellable("leader") == (0 if gone else Q)
    assert desk.state.standing.ledger.quantity(PM, "yes") == (0 if gone else Q)


def stuck():
    """A desk with a trade that could neither hedge nor unwind, its first hedge dead."""
    desk, hedge = naked()
    desk.fire("finality", hedge.order_id)
    while desk.trade().state != "stuck":
        if desk.trade().live_order:
            desk.report(desk.sent[-1], "canceled")
        else:
            desk.fire("retry")
    return desk, hedge


def test_a_late_fill_of_a_stuck_trade_is_shown():
    desk, hedge = stuck()
    shown = desk.report(hedge, "filled", Q)
    update = next(one for one in shown if type(one).__name__ == "TradeUpdate")
    assert (update.state, update.quantity_a_micros, update.quantity_b_micros) == ("stuck", Q, Q)
    assert update.residual_micros == 0 and desk.trade().timers == ()


def test_a_late_fill_of_a_stuck_trade_holds_the_venue_where_it_is_too_much():
    desk, hedge = stuck()
    assert set(desk.state.standing.halts.held) == {"polymarket"}
    for number in range(2):
        desk.report(hedge, "filled", Q, fill_id=f"late{number}")
    assert set(desk.state.standing.halts.held) == {"polymarket", "kalshi"}


def test_only_a_halt_holds_an_order_back_and_a_resume_lets_it_out():
    desk = Desk()
    desk.open(intent())
    desk.say(state="halted")
    desk.report(desk.sent[0], "filled", Q)
    assert desk.trade().held_back and unattended(desk.trade()) == ""
    desk.say(state="running")
    assert not desk.trade().held_back and desk.sent[-1].instrument_id == KA
