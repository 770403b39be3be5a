"""The risk gate, limit by limit."""

import msgspec
import pytest

from crossbook.domain.fees import make_schedule, taker_fee
from executors.hedge.plan import make_plan
from executors.portfolio.ledger import Account, Place
from executors.portfolio.risk import (
    BREAKER_NS,
    Grant,
    Refusal,
    Standing,
    edge_at,
    gate_order,
    gate_trade,
    periods_of,
    purchase_bound,
)
from executors.terms import NS_PER_S, ExecuteTerms, capital_micros, venue_cash
from tests.builders.executors.terms import cash
from tests.builders.executors.worlds import CONTRACT, KA, LOT, MICROS, MS, PM, T0, intent, leg, top
from tests.builders.vocabularies import added_words

TERMS = ExecuteTerms()
TOPS = {PM: top(PM), KA: top(KA, 500_000, 510_000)}
DAY = 86_400 * NS_PER_S


def gate(standing=None, one=None, terms=TERMS, tops=TOPS, now_ns=T0, decide_ns=10 * MS):
    return gate_trade(standing or Standing(), one or intent(), tops, terms, now_ns=now_ns, decide_ns=decide_ns)


def test_a_sound_intent_is_granted_whole():
    assert gate() == Grant(10 * CONTRACT)


@pytest.mark.parametrize("state", ["halted", "reduce_only"])
@pytest.mark.parametrize(
    "key",
    [
        ("all", ""),
        ("venue", "kalshi"),
        ("venue", "polymarket"),
        ("category", "sports"),
        ("pair", "pair"),
        ("strategy", "cross_venue"),
        ("portfolio", "main"),
    ],
)
def test_trading_states_by_scope(key, state):
    standing = Standing()
    standing.portfolio = "main"
    standing.halts.say(*key, state)
    assert gate(standing) == Refusal(state)
    elsewhere = Standing()
    elsewhere.portfolio = "main"
    for other in (
        ("venue", "nowhere"),
        ("pair", "other"),
        ("category", "art"),
        ("strategy", "quotes"),
        ("portfolio", "twin"),
    ):
        elsewhere.halts.say(*other, "halted")
    assert isinstance(gate(elsewhere), Grant)


def _with_cost(micros, instrument="kalshi:OTHER", category="sports", venue="kalshi"):
    standing = Standing()
    standing.ledger.reserve("x", Place(Account(venue, 0), instrument, category), micros)
    return standing


def _lost(micros, ago_ns=0):
    standing = Standing()
    standing.note_equity(T0 - ago_ns, -micros)
    return standing


def _pairs(count):
    standing = Standing()
    for number in range(count):
        standing.pairs[f"p{number}"] = (f"kalshi:{number}", f"polymarket:{number}")
        place = Place(Account("kalshi", 0), f"kalshi:{number}", "art")
        standing.ledger.fill(f"t{number}", place, "yes", "buy", 100_000, CONTRACT, 0)
    return standing


def _errors(count):
    standing = Standing()
    for _ in range(count):
        standing.note_answer("kalshi", T0, rejected=True, errors_max=5)
    return standing


def _busy():
    standing = Standing()
    standing.working_pairs["pair"] = 1
    return standing


REFUSED = {
    "expired": {"now_ns": T0 + 491 * MS},
    "feed_health": {"tops": {PM: top(PM), KA: top(KA, usable=False)}},
    "depth_taken": {"tops": {PM: top(PM, ask=410_000), KA: TOPS[KA]}},
    "venue_errors": {"standing": _errors(5)},
    "daily_stop": {"standing": _lost(100 * MICROS)},
    "weekly_stop": {"standing": _lost(300 * MICROS, DAY)},
    "monthly_stop": {"standing": _lost(500 * MICROS, 8 * DAY)},
    "pairs_open": {"standing": _pairs(8)},
    "pair_busy": {"standing": _busy()},
    "two_delayed_legs": {"one": intent(leg_a=leg(taker_delay_ms=1), leg_b=leg(KA, "no", 500_000, taker_delay_ms=1))},
    "leg_limit": {"standing": _with_cost(250 * MICROS, KA)},
    "category_limit": {"standing": _with_cost(2_500 * MICROS)},
    "cash": {"standing": _with_cost(4_990 * MICROS, category="art")},
    "below_minimum": {
        "one": intent(quantity=2 * CONTRACT, leg_a=leg(quantity=2 * CONTRACT), leg_b=leg(KA, "no", 500_000))
    },
    "quantity_step": {"one": intent(quantity=LOT // 2)},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals_have_names(reason):
    assert gate(**REFUSED[reason]) == Refusal(reason)


@pytest.mark.parametrize(
    "allowed",
    [
        {"now_ns": T0 + 490 * MS},
        {"standing": _errors(4)},
        {"standing": _errors(5), "now_ns": T0 + BREAKER_NS, "one": intent(valid_until_ns=T0 + 2 * BREAKER_NS)},
        {"standing": _lost(100 * MICROS - 1)},
        {"standing": _lost(100 * MICROS, DAY)},
        {"standing": _pairs(7)},
    ],
)
def test_just_inside_the_limit_is_granted(allowed):
    assert isinstance(gate(**allowed), Grant)


def test_a_success_resets_the_row_of_rejections():
    standing = _errors(4)
    standing.note_answer("kalshi", T0, rejected=False, errors_max=5)
    standing.note_answer("kalshi", T0, rejected=True, errors_max=5)
    assert isinstance(gate(standing), Grant)


def test_the_quantity_shrinks_to_the_head_room_and_never_past_it():
    one = intent()
    standing = _with_cost(247 * MICROS, KA)
    grant = gate(standing, one)
    assert isinstance(grant, Grant) and 0 < grant.quantity_micros < 10 * CONTRACT
    bound = purchase_bound(one.legs[1], one.legs[1].price_limit_micros, grant.quantity_micros)
    assert bound <= 3 * MICROS
    assert purchase_bound(one.legs[1], one.legs[1].price_limit_micros, grant.quantity_micros + LOT) > 3 * MICROS


def test_what_an_earlier_order_of_ours_took_is_not_planned_again():
    tops = {PM: top(PM, size=4 * CONTRACT), KA: TOPS[KA]}
    assert gate(tops=tops) == Grant(4 * CONTRACT)


def test_periods_are_utc_days_iso_weeks_and_months():
    sunday = 1_704_067_200 - 86_400  # 2023-12-31, a Sunday
    before, after = periods_of(sunday * NS_PER_S + DAY - 1), periods_of(sunday * NS_PER_S + DAY)
    assert all(before[p] + 1 == after[p] for p in ("day", "week", "month"))
    tuesday = periods_of(sunday * NS_PER_S + 2 * DAY)
    assert (tuesday["week"], tuesday["month"]) == (after["week"], after["month"])


def test_orders_of_an_open_trade_shrink_under_reduce_only_but_not_when_halted_or_without_cash():
    one = intent()
    plan = make_plan(
        one,
        leader_is_a=True,
        quantity_micros=CONTRACT,
        terms=TERMS,
        ts_ns=T0,
        position=1,
        sequence=0,
        portfolio="main",
        life=0,
    )
    hedge = next(s for s in plan.bounds if s.role == "hedge")
    sale = next(s for s in plan.bounds if s.side == "sell")

    def ask(standing, bound, capital=10_000 * MICROS):
        source = one.legs[0] if bound.instrument_id == PM else one.legs[1]
        return gate_order(
            standing,
            bound,
            source,
            500_000,
            CONTRACT,
            pair_id="pair",
            strategy="cross_venue",
            spare=0,
            terms=msgspec.structs.replace(TERMS, cash_micros=cash(capital)),
        )

    standing = Standing()
    standing.halts.say("all", "", "reduce_only")
    assert ask(standing, hedge) == ask(standing, sale) == ""
    standing.halts.say("all", "", "halted")
    assert ask(standing, hedge) == ask(standing, sale) == "halted"
    assert ask(Standing(), hedge, capital=500_000) == "cash"
    assert ask(Standing(), sale, capital=0) == ""


def test_terms_with_zero_limits_refuse_everything():
    for name, value, reason in (
        ("cost_per_leg_micros", 0, "leg_limit"),
        ("cash_micros", cash(0), "cash"),
        ("pairs_open_max", 0, "pairs_open"),
    ):
        assert gate(terms=msgspec.structs.replace(TERMS, **{name: value})) == Refusal(reason)


def test_nothing_is_bought_at_a_venue_without_capital():
    without = msgspec.structs.replace(TERMS, cash_micros=venue_cash({"kalshi": 5_000 * MICROS}))
    assert gate(terms=without) == Refusal("no_capital_at_polymarket")
    with added_words("venue", "acme"):
        one = intent(leg_a=msgspec.structs.replace(leg(PM), venue="acme", instrument_id="acme:x"))
        assert gate(one=one, tops={**TOPS, "acme:x": TOPS[PM]}) == Refusal("no_capital_at_acme")


def test_a_word_more_in_the_vocabulary_changes_no_stop():
    capital = capital_micros(TERMS)
    with added_words("venue", "acme", "predictit"):
        assert capital_micros(ExecuteTerms()) == capital_micros(TERMS) == capital
        assert gate(_lost(100 * MICROS)) == Refusal("daily_stop")
        assert isinstance(gate(_lost(100 * MICROS - 1)), Grant)


def test_stops_are_measured_by_the_sum_configured():
    richer = msgspec.structs.replace(
        TERMS, cash_micros=venue_cash({"polymarket": 5_000 * MICROS, "kalshi": 15_000 * MICROS})
    )
    assert gate(_lost(200 * MICROS), terms=richer) == Refusal("daily_stop")
    assert isinstance(gate(_lost(200 * MICROS - 1), terms=richer), Grant)


def test_a_cut_quantity_still_has_to_clear_what_decide_demanded():
    """Ten contracts clear 2.5 cents with 50 cents of gas between them; four do not."""
    one = intent(
        friction_micros=500_000, friction_fixed_micros=500_000, edge_min_micros=25_000, payout_micros=10_100_000
    )
    assert edge_at(one, 10 * CONTRACT) >= 250_000
    assert gate(one=one) == Grant(10 * CONTRACT)
    tops = {PM: top(PM, size=4 * CONTRACT), KA: TOPS[KA]}
    assert edge_at(one, 4 * CONTRACT) < 100_000
    assert gate(one=one, tops=tops) == Refusal("edge_of_cut")
    spread = msgspec.structs.replace(one, friction_fixed_micros=0)  # the same friction, but shrinking with the quantity
    assert gate(one=spread, tops=tops) == Grant(4 * CONTRACT)


@pytest.mark.parametrize("precision", [100, 10_000])
@pytest.mark.parametrize("gas", [0, 4_000, 250_000])
def test_the_edge_of_a_cut_is_never_flattered(precision, gas):
    """At most what whole fills at the displayed prices leave, at every quantity."""
    fees = make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=70_000,
        ts_effective_ns=0,
        source="t",
        member_precision_micros=precision,
    )
    whole = 10 * CONTRACT
    legs = [
        leg(
            name,
            outcome,
            price,
            whole,
            fee_schedule=fees,
            fee_micros=taker_fee(fees, price, whole),
            cost_micros=price * 10,
        )
        for name, outcome, price in ((PM, "yes", 400_000), (KA, "no", 500_000))
    ]
    one = intent(leg_a=legs[0], leg_b=legs[1], friction_micros=gas + 7, friction_fixed_micros=gas, lockup_micros=13)
    for lots in range(1, 1_001, 37):
        quantity = lots * LOT
        costs = sum(price * quantity // MICROS + taker_fee(fees, price, quantity) for price in (400_000, 500_000))
        assert edge_at(one, quantity) <= quantity - costs - gas
    assert edge_at(one, whole) == whole - 9 * CONTRACT - sum(each.fee_micros for each in legs) - gas - 20
