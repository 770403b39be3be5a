"""Moves of instruments between partitions."""

import msgspec

from tests.contract.record_strategies import sample


def plan(trade_id, *instruments):
    some = sample("TradePlan")
    bounds = [msgspec.structs.replace(some.leader, instrument_id=one) for one in instruments]
    return msgspec.structs.replace(some, trade_id=trade_id, leader=bounds[0], bounds=tuple(bounds[1:]))


def update(trade_id, state):
    return msgspec.structs.replace(sample("TradeUpdate"), trade_id=trade_id, state=state)


BOTH = {"polymarket:0xa", "kalshi:KXB"}
