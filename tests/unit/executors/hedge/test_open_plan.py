"""An open plan keeps what it was given, and no input can end the executor through a trade."""

import msgspec
import pytest

from crossbook.domain.limits import bounds_of, limit_names
from deploy.operate.trading import trading_of
from executors.engine import refold
from executors.hedge.plan import order_ids
from executors.journal import FILLS
from executors.recovery.image import restore_state, state_image
from executors.terms import ExecuteTerms, PaperTerms, Terms, with_limit
from schemas.records import PriceRange, TradePlan, TradeUpdate
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import CONTRACT, KA, MICROS, MS, PM, T0, TERMS, intent, leg

Q = 10 * CONTRACT
#: Another value of every limit that a trade keeps, each far from the default.
OTHERS = {
    "hedge_attempts_max": 9,
    "unwind_attempts_max": 1,
    "hedge_timeout_ms": 9_000,
    "backoff_first_ms": 7_000,
    "backoff_max_ms": 9_000,
    "adverse_micros": 400_000,
    "adverse_ms": 60_000,
    "max_loss_per_trade_micros": 0,
    "mismatch_max_micros": 10**12,
    "cost_per_leg_micros": 0,
    "category_cost_micros": 0,
    "cash_micros.kalshi": 0,
    "cash_micros.polymarket": 0,
    "send_window_ms": 1,
}


def changed_by_an_operator(desk, names):
    for name in names:
        desk.limit(name, OTHERS[name])


def changed_by_a_restart(desk, names):
    terms = TERMS
    for name in names:
        terms = with_limit(terms, name, OTHERS[name])
    desk.configure(terms)


CHANGES = (changed_by_an_operator, changed_by_a_restart)


def live(desk):
    """Tell a naked trade that every order misses, until it ends; what it did and when."""
    for _ in range(60):
        trade = desk.trade()
        if trade.live_order is not None:
            desk.report(desk.sent[-1], "canceled")
        elif trade.timers:
            due = min(trade.timers, key=lambda t: t.due_ns)
            desk.fire(due.kind, due.order_id)
        else:
            break
    moves = [(o.state, o.reason, o.ts_ns) for o in desk.outputs if isinstance(o, TradeUpdate)]
    held = dict(desk.state.standing.halts.held)
    return [(o.order_id, o.ts_ns, o.price_limit_micros, o.send_before_ns) for o in desk.sent], moves, held


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "names", [*[(name,) for name in OTHERS], tuple(OTHERS)], ids=lambda names: "+".join(names)[:30]
)
@pytest.mark.parametrize("when", range(4))
def test_an_open_trade_does_what_it_would_have_done_whatever_limits_change_meanwhile(change, names, when):
    lives = []
    for changes in (False, True):
        desk = Desk()
        desk.open(intent())
        steps = [
            lambda d: d.report(d.sent[0], "filled", Q),
            lambda d: d.report(d.sent[-1], "canceled"),
            lambda d: d.fire("retry"),
        ]
        for number, one in enumerate([*steps, None]):
            if changes and number == when:
                change(desk, names)
            if one is not None:
                one(desk)
        lives.append(live(desk))
    assert lives[0] == lives[1]


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_trade_is_planned_under_the_new_limits(change):
    desk = Desk()
    desk.open(intent())
    desk.report(desk.sent[0], "canceled")
    change(desk, ("hedge_attempts_max", "unwind_attempts_max"))
    desk.open(intent(2))
    plan = next(o for o in reversed(desk.outputs) if isinstance(o, TradePlan))
    roles = [bound.role for bound in order_ids(plan).values()]
    assert (roles.count("hedge"), roles.count("unwind")) == (18, 4)


def test_a_refold_and_a_checkpoint_keep_the_terms_of_an_open_trade():
    desk = Desk()
    desk.open(intent())
    desk.limit("hedge_attempts_max", 9)
    again, _ = refold(journal(desk))
    assert again.trades == desk.state.trades and again.trades["main-i1"].terms.hedge_attempts_max == 3
    restored = restore_state(state_image(desk.state, desk.state.trades))
    assert restored.trades == desk.state.trades and restored.terms.execute.hedge_attempts_max == 9


def journal(desk):
    """Inputs and outputs of a desk as they stand on `orders`."""
    kept = [one for one in desk.outputs if not isinstance(one, FILLS)]
    return sorted([*desk.inputs, *kept], key=lambda one: one.sequence)


def test_a_limit_out_of_bounds_that_stands_in_a_journal_changes_nothing():
    desk = Desk()
    for name, value in (("hedge_attempts_max", 0), ("hedge_attempts_max", 10**9), ("no_such_limit", 1)):
        assert desk.limit(name, value) == []
    assert desk.state.terms == TERMS and desk.state.standing.halts.fault == ""


# Errors. They are provoked by inputs that no venue should give, and by books that were damaged by hand.


def test_a_trade_that_cannot_be_worked_out_is_stuck_with_the_reason_and_all_else_goes_on():
    desk = Desk()
    desk.open(intent())
    desk.top(KA, 1_200_000, 1_210_000)  # NO for less than nothing
    outputs = desk.report(desk.sent[0], "filled", Q)
    assert desk.trade().state == "stuck" and desk.trade().reason.startswith("FeeError: ")
    assert desk.state.standing.ledger.quantity(PM, "yes") == Q, "the fill is booked all the same"
    assert [type(one).__name__ for one in outputs] == ["Fill", "TradeUpdate", "VenueHeld"]
    assert desk.state.standing.halts.held == {"polymarket": {"main-i1": None}}
    assert desk.state.standing.ledger.reservations == {}
    desk.say(state="halted")
    desk.say(state="running")
    desk.say(state="running", scope="venue", scope_value="polymarket")
    desk.open(intent(2, pair_id="other"))
    assert desk.trade("main-i2").state == "leading"
    assert [type(one).__name__ for one in desk.report(desk.sent[-1], "filled", Q)][:2] == ["Fill", "TradeUpdate"]


def test_what_is_at_a_venue_is_still_waited_for_when_its_trade_cannot_be_worked_out():
    desk = Desk()
    desk.open(intent())
    desk.report(desk.sent[0], "filled", Q)
    desk.state.trades["main-i1"] = msgspec.structs.replace(desk.trade(), timers=())  # a law broken by hand
    desk.top(KA, 500_000, 510_000)
    assert desk.trade().state == "stuck" and "no timer is armed" in desk.trade().reason
    assert set(desk.state.standing.halts.held) == {"polymarket", "kalshi"}
    desk.fire("order_timeout", "main-i1-h1")
    desk.report(desk.sent[1], "filled", Q)
    assert (desk.trade().state, desk.trade().residual) == ("stuck", 0)


def damaged_when_booked(desk):
    desk.report(desk.sent[0], "partially_filled", Q, fill_id="f", final=False)
    del desk.state.standing.ledger.positions[PM, "yes"]
    return desk.report(desk.sent[0], "filled", Q, fill_id="f", reversed_=True)


def damaged_when_requested(desk):
    place = next(iter(desk.state.standing.ledger.reservations.values())).place
    desk.state.standing.ledger.reserve("main-i1-h1", place, 1)
    return desk.report(desk.sent[0], "filled", Q)


@pytest.mark.parametrize("damaged", [damaged_when_booked, damaged_when_requested])
def test_an_error_in_the_books_makes_the_trade_a_persons_and_leaves_the_journal_without_a_gap(damaged):
    desk = Desk()
    desk.open(intent())
    damaged(desk)
    assert desk.trade().state == "stuck" and "Error: " in desk.trade().reason
    assert [order.order_id for order in desk.trade().orders] == ["main-i1-l1"], "nothing counts as sent that was not"
    numbers = [one.sequence for one in journal(desk)]
    assert numbers == list(range(len(numbers)))
    desk.open(intent(2, pair_id="other"))
    assert desk.reasons("declined") == ["reduce_only"], "the venues of the trade are held"


def test_an_intent_that_cannot_be_planned_is_declined_and_the_next_one_is_not():
    desk = Desk()
    upside_down = (PriceRange(start_micros=900_000, end_micros=100_000, tick_micros=10_000),)
    desk.open(intent(1, leg_b=leg(KA, "no", 500_000, grid=upside_down)))
    (reason,) = desk.reasons("declined")
    assert reason.startswith("GridError: ") and desk.state.standing.ledger.reservations == {}
    desk.open(intent(2))
    assert desk.trade("main-i2").state == "leading"
    numbers = [one.sequence for one in journal(desk)]
    assert numbers == list(range(len(numbers)))


def test_an_input_that_cannot_be_folded_at_all_lets_nothing_new_open_until_the_operator_resumes():
    desk = Desk()
    desk.state.standing.ledger.positions["kalshi:GONE", "yes"] = "no position"
    assert desk.pay_out("kalshi:GONE", MICROS) == []
    assert desk.state.standing.halts.fault.startswith("PayoutBooked 1: AttributeError: ")
    del desk.state.standing.ledger.positions["kalshi:GONE", "yes"]
    desk.open(intent(1))
    assert desk.reasons("declined") == ["reduce_only"]
    assert restore_state(state_image(desk.state, ())).standing.halts.fault == desk.state.standing.halts.fault
    assert [bind.what for bind in trading_of(desk.state, "main", T0).binds] == ["all"], "it is shown to the operator"
    desk.say(state="running")
    assert desk.state.standing.halts.fault == ""
    desk.open(intent(2))
    assert desk.trade("main-i2").state == "leading"


def test_a_report_about_no_order_of_ours_changes_nothing():
    desk = Desk()
    desk.open(intent())
    before = desk.state.trades["main-i1"]
    for order_id, trade_id in (("main-i1-h1", "main-i1"), ("main-i9-l1", "main-i9")):
        stranger = msgspec.structs.replace(desk.sent[0], order_id=order_id, trade_id=trade_id)
        assert desk.report(stranger, "filled", Q) == []
    assert desk.state.trades["main-i1"] == before and desk.state.standing.halts.fault == ""


def test_random_settings_under_open_trades_never_raise():
    """Every limit at both of its ends, one after the other, while a trade goes on."""
    desk = Desk(Terms(execute=ExecuteTerms(pairs_open_max=20), paper=PaperTerms()))
    number = 0
    for name in limit_names():
        bounds = bounds_of(name)
        for value in (bounds.lowest, bounds.highest, bounds.default):
            number += 1
            desk.open(intent(number, pair_id=f"p{number}"))
            desk.limit(name, value)
            if f"main-i{number}" in desk.state.trades:
                desk.report(desk.sent[-1], "filled", Q)
                desk.now += MS
                assert desk.trade(f"main-i{number}").state != "stuck"
                desk.limit(name, bounds.default)
    assert desk.state.standing.halts.fault == ""
