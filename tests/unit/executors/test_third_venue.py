"""A venue that only a plug-in knows, from its listing through decide, gate, machine and paper venue to its fills."""

import msgspec
import pytest

from crossbook.runtime.settings import ExecuteSettings
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from schemas.records import Fill, FillConfirmed, TradeIntent, TradePlan, TradeUpdate
from tests.builders import market_records as mr
from tests.builders.market_records import CONTRACT, MS, T0, A
from tests.builders.plugin.acme import POLICY, listing, plugged_in
from tests.equality.decided import HeldLog, under_this_code

ONE = "acme:ONE"


@pytest.fixture(autouse=True)
def plug_in():
    with plugged_in():
        yield


def market(policy=POLICY):
    """YES at the plug-in's venue for 40 cents, NO at Kalshi for 50, and three seconds for the trade."""
    listed = msgspec.structs.replace(listing("ONE", T0), group="group", policy=policy)
    records = [
        mr.opened(), *mr.settings(), mr.friction(), mr.instrument(A), listed, mr.pair(a=ONE, b=A),
        mr.status("kalshi", T0), mr.status("acme", T0),
        mr.snapshot(ONE, T0, 1, bids=[(380_000, 20 * CONTRACT)], asks=[(400_000, 20 * CONTRACT)]),
        mr.snapshot(A, T0, 1, bids=[(500_000, 30 * CONTRACT)], asks=[(510_000, 30 * CONTRACT)]),
    ]  # fmt: skip
    for number in range(1, 60):
        ts_ns = T0 + number * 50 * MS
        records += [mr.status("kalshi", ts_ns), mr.status("acme", ts_ns)]
    return [under_this_code(record) for record in records]


def traded(cash, **changes):
    outcome = run_backtest(HeldLog(market(**changes)), BacktestOptions(execute=ExecuteSettings(cash_micros=cash)))
    return outcome, {kind: [r for r in outcome.journal if isinstance(r, kind)] for kind in (TradePlan, TradeUpdate)}


def test_it_is_intended_planned_filled_and_hedged():
    outcome, journal = traded({"acme": 1_000 * CONTRACT})
    (intent,) = (record for record in outcome.intents if isinstance(record, TradeIntent))
    assert {leg.instrument_id: leg.lead_rank for leg in intent.legs} == {ONE: 2, A: 1}
    (plan,) = journal[TradePlan]
    assert plan.leader.venue == "kalshi", "of two legs the one with the smaller rank is sent first"
    assert plan.quantity_micros % CONTRACT == 0, "the plug-in's step is a whole contract"
    fills = {fill.instrument_id: fill for fill in outcome.fills}
    assert {name: fill.quantity_micros for name, fill in fills.items()} == dict.fromkeys((ONE, A), 20 * CONTRACT)
    assert fills[ONE].price_micros == 400_000
    assert fills[ONE].fee_micros == 20 * 20_000, "two cents a contract"
    assert journal[TradeUpdate][-1].state in {"hedged", "closed"}


def test_its_listing_says_who_leads_and_whether_a_fill_is_final():
    policy = msgspec.structs.replace(POLICY, lead_rank=0, fill_finality="provisional")
    outcome, journal = traded({"acme": 1_000 * CONTRACT}, policy=policy)
    assert journal[TradePlan][0].leader.venue == "acme"
    fills = [record for record in outcome.fills if isinstance(record, Fill)]
    assert {fill.instrument_id: fill.finality for fill in fills} == {ONE: "provisional", A: "final"}
    assert sum(isinstance(record, FillConfirmed) for record in outcome.fills) == 1


def test_without_capital_there_nothing_is_sent_and_the_venue_is_named():
    outcome, journal = traded({})
    assert outcome.intents
    assert (journal[TradePlan], list(outcome.fills)) == ([], [])
    assert {update.reason for update in journal[TradeUpdate]} == {"no_capital_at_acme"}
