"""Random histories of the fold: its equity is what its fills say, by an independent road, and the ledger's when all is paid out."""

import pytest

from executors.journal import trade_id_of
from schemas.records import Fill, FillReversed, TopSeen
from tests.builders.executors.histories import History
from tests.builders.oracles.equity import Bought, Terms, worth_of

SEEDS = range(60)


def oracle(history):
    """Worth of each trade from fills, tops and payouts as they were journaled."""
    gone = {record.fill_id for record in history.fills if isinstance(record, FillReversed)}
    payouts = history.payouts
    marks = {}
    for record in history.journal:
        if isinstance(record, TopSeen):
            sides = (record.bid_price_micros, record.ask_price_micros) if record.usable else (None, None)
            marks[record.partition, record.instrument_id] = sides
    found = {}
    for one in history.intents:
        legs = one.legs
        names = [each.instrument_id for each in legs]
        executions = [
            Bought(names.index(f.instrument_id), f.side, f.price_micros, f.quantity_micros, f.fee_micros)
            for f in history.fills
            if isinstance(f, Fill) and f.intent_id == one.intent_id and f.fill_id not in gone
        ]
        units = tuple(each.fee_schedule.member_precision_micros if each.venue == "kalshi" else 1 for each in legs)
        terms = Terms(tuple(each.outcome for each in legs), units, one.payout_micros, one.quantity_micros)
        shown = [marks[one.partition, name] for name in names]
        found[trade_id_of("main", one.intent_id)] = worth_of(
            terms, executions, shown, [payouts.get(name) for name in names]
        )
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_equity_is_what_the_fills_say(seed):
    history = History(seed)
    standing = history.state.standing
    expected = oracle(history)
    for trade_id, trade in standing.equity.trades.items():
        worth = standing.equity.worth(trade_id)
        assert (worth.equity_micros, worth.locked_micros, worth.marked_micros, worth.unwound_micros) == expected[
            trade_id
        ]
        assert trade.equity_micros == worth.equity_micros
    total = sum(found[0] for found in expected.values())
    for period in ("day", "week", "month"):
        assert sum(standing.changes.get(period, {}).values()) == total
    paid_out = standing.ledger.payouts
    if all(standing.equity.is_spent(name) for name in standing.equity.trades):
        assert standing.ledger.realised_micros == total
    for name, payout in history.payouts.items():
        assert paid_out[name] == payout


def test_the_histories_hold_every_kind_of_thing():
    kinds, spent = set(), 0
    for seed in SEEDS:
        history = History(seed)
        equity = history.state.standing.equity
        kinds |= {trade.state for trade in history.state.trades.values()}
        kinds |= {f"payout {payout}" for payout in history.payouts.values()}
        for trade_id in equity.trades:
            worth = equity.worth(trade_id)
            kinds |= {"partly unwound"} if worth.unwound_contracts_micros and worth.matched_micros else set()
            kinds |= {"at mark"} if worth.marked_micros else set()
        kinds |= {"reversed"} if any(isinstance(f, FillReversed) for f in history.fills) else set()
        spent += all(equity.is_spent(name) for name in equity.trades)
    assert {"closed", "flat", "stuck", "partly unwound", "at mark", "reversed"} <= kinds
    assert spent >= 10, "in some, the ledger's cash is held against equity"
    assert {"payout 0", "payout 1000000", "payout 500000", "payout 306001"} <= kinds
