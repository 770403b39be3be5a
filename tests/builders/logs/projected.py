"""A small log with every kind of trade in it, written as the stages would; the truth that the projection is held against.

`synthetic_log(trades, ticks)` yields (topic, partition, record). Trades go round: hedged, unwound by a sale, unwound by buying the
complement, declined, reversed fill, partly filled and stuck, unfilled. One instrument of each venue settles if asked.
"""

import random
from typing import Any, NamedTuple

import msgspec

from schemas.records import (
    BookDelta,
    BookSnapshot,
    EdgeStatistics,
    EdgeUpdate,
    FeedStatus,
    Fill,
    FillConfirmed,
    FillReversed,
    InstrumentListed,
    InstrumentSettled,
    LatencyObserved,
    LogOpened,
    OrderReport,
    OrderRequested,
    PairListed,
    PayoutBooked,
    PublicTrade,
    Record,
    TopOfBook,
    TopSeen,
    TradeIntent,
    TradePlan,
    TradeUpdate,
    TradingStateChanged,
    Watermark,
)
from tests.contract.record_strategies import sample

MICROS = 1_000_000
LOG_ID = "0123456789abcdef0123456789abcdef"
T0 = 1_900_000_000_000_000_000
KINDS = ("hedged", "sold", "complement", "declined", "reversed", "stuck", "unfilled")


class Placed(NamedTuple):
    """A record and the topic partition it goes to."""

    topic: str
    partition: int
    record: Record


def like(cls: type[Record], **fields: Any) -> Any:
    """A sample record of a class with some fields set."""
    return msgspec.structs.replace(sample(cls.__name__), **fields)


class SyntheticLog:
    """Draws a log from a seed; `records` in the order in which a topic must hold them."""

    def __init__(
        self, *, trades: int = 14, ticks: int = 100, seed: int = 1, settle: bool = False, log_id: str = LOG_ID
    ) -> None:
        self.random = random.Random(seed)
        self.log_id = log_id
        self.sequence = 0
        self.now = T0
        self.updates = self.keyframes = self.public_trades = 0
        self.records: list[Placed] = []
        self._head()
        for tick in range(ticks):
            self._tick(tick)
        for number in range(trades):
            self._trade(number)
        for instrument, bid in (("polymarket:0xA", 437_000), ("kalshi:B", 512_000)):
            self._journal(
                TopSeen,
                instrument_id=instrument,
                partition=0,
                usable=True,
                bid_price_micros=bid,
                ask_price_micros=bid + 20_000,
            )
        if settle:
            for instrument, payout in (("polymarket:0xA", 0), ("kalshi:B", MICROS // 3)):
                self._put(
                    "market",
                    like(
                        InstrumentSettled, instrument_id=instrument, payout_yes_micros=payout, ts_received_ns=self.now
                    ),
                )
                self._journal(
                    PayoutBooked,
                    instrument_id=instrument,
                    payout_yes_micros=payout,
                )
        self._put(
            "control", like(TradingStateChanged, state="halted", scope="venue", scope_value="kalshi", operator="ann")
        )

    def _put(self, topic: str, record: Record) -> None:
        self.records.append(Placed(topic, 0, record))

    def _journal(self, cls: type[Record], topic: str = "orders", **fields: Any) -> Any:
        record = like(cls, sequence=self.sequence, ts_ns=self.now, **fields)
        self.sequence += 1
        self._put(topic, record)
        return record

    def _head(self) -> None:
        opened = LogOpened(ts_received_ns=T0, log_id=self.log_id, partition=0, partitions=1, base_offset=0)
        self._put("market", opened)
        for instrument in ("polymarket:0xA", "kalshi:B"):
            venue = instrument.partition(":")[0]
            self._put(
                "market",
                like(
                    InstrumentListed, instrument_id=instrument, venue=venue, title=f"Will {instrument}?", keyframe=False
                ),
            )
            self._put("market", like(FeedStatus, feed=venue, venue=venue, state="live"))
        self._put(
            "market",
            like(
                PairListed, pair_id="pair", instrument_a="polymarket:0xA", instrument_b="kalshi:B", relation="identity"
            ),
        )

    def _tick(self, tick: int) -> None:
        self.now += 37_000_000
        instrument = ("polymarket:0xA", "kalshi:B")[tick % 2]
        book = {"instrument_id": instrument, "ts_received_ns": self.now}
        if tick % 10 == 0:
            self._put("market", like(BookSnapshot, keyframe=tick % 20 == 0, **book))
            self.keyframes += tick % 20 == 0
            self.updates += tick % 20 != 0
        elif tick % 10 == 5:
            self._put("market", like(PublicTrade, quantity_micros=3 * MICROS, **book))
            self.public_trades += 1
        else:
            self._put("market", like(BookDelta, **book))
            self.updates += 1
        caused = {"ts_ns": self.now, "log_id": self.log_id, "partition": 0, "position": tick + 10}
        bid = self.random.randrange(40, 50) * 10_000
        sides = {
            "bid_price_micros": bid,
            "ask_price_micros": bid + 20_000 if tick % 7 else None,
            "ask_size_micros": 5 * MICROS,
        }
        self._put(
            "signals", like(TopOfBook, instrument_id=instrument, valid=tick % 11 != 0, fresh=True, **caused, **sides)
        )
        for index, package in enumerate(("yes_a_no_b", "no_a_yes_b")):
            edge = {"pair_id": "pair", "package": package, "index": index, **caused}
            net = self.random.randrange(-50_000, 50_000)
            self._put(
                "signals",
                like(
                    EdgeUpdate,
                    state="changed",
                    quantity_micros=MICROS,
                    net_per_contract_micros=net,
                    distance_micros=net - 25_000,
                    **edge,
                ),
            )
            self._put(
                "signals",
                like(
                    EdgeStatistics,
                    evaluations=tick + 1,
                    gross_positive=tick,
                    episodes=tick // 3,
                    net_best_micros=net,
                    **edge,
                ),
            )
        self._put("signals", like(Watermark, **caused))

    def _trade(self, number: int) -> None:
        self.now += 5_000_000
        kind = KINDS[number % len(KINDS)]
        trade, intent_id = f"t{number}", f"i{number}"
        quantity = self.random.randrange(500, 5_000) * 10_000
        prices = (self.random.randrange(300, 600) * 1_000, self.random.randrange(300, 600) * 1_000)
        intent = self._intent(number, intent_id, quantity, prices)
        ids = {"trade_id": trade, "intent_id": intent_id, "pair_id": "pair"}
        self._journal(TradePlan, quantity_micros=quantity, **ids)
        if kind == "declined":
            self._update(intent, ids, "declined", 0, 0, reason="risk: pairs_open_max")
            return
        if kind == "unfilled":
            self._order(ids, "polymarket:0xA", "yes", "buy", "leader", quantity, (), prices[0])
            self._update(intent, ids, "flat", 0, 0, reason="leader_not_filled")
            return
        self._order(ids, "polymarket:0xA", "yes", "buy", "leader", quantity, (quantity,), prices[0])
        half = quantity // 20_000 * 10_000
        match kind:
            case "hedged":
                self._order(ids, "kalshi:B", "no", "buy", "hedge", quantity, (half, quantity - half), prices[1])
                self._journal(LatencyObserved, trade_id=trade, kind="tick_to_plan", latency_ns=4_000_000 + number)
                self._journal(LatencyObserved, trade_id=trade, kind="hedge", latency_ns=9_000_000 + number)
                self._update(intent, ids, "hedged", quantity, quantity)
            case "sold":
                self._order(
                    ids, "polymarket:0xA", "yes", "sell", "unwind", quantity, (half, quantity - half), prices[0] - 7_001
                )
                self._update(intent, ids, "flat", 0, 0, reason="hedge_failed")
            case "complement":
                self._order(
                    ids, "polymarket:0xA", "no", "buy", "unwind", quantity, (quantity,), MICROS - prices[0] + 9_001
                )
                self._update(intent, ids, "flat", 0, 0, reason="hedge_failed")
            case "reversed":
                fill_ids = self._order(ids, "kalshi:B", "no", "buy", "hedge", quantity, (quantity,), prices[1])
                self._journal(FillReversed, "fills", fill_id=fill_ids[0], trade_id=trade, reason="FAILED")
                self._update(intent, ids, "stuck", quantity, 0, reason="reversed")
            case _:
                self._order(ids, "kalshi:B", "no", "buy", "hedge", quantity, (half,), prices[1])
                self._update(intent, ids, "stuck", quantity, half, reason="attempts")

    def _intent(self, number: int, intent_id: str, quantity: int, prices: tuple[int, int]) -> TradeIntent:
        base = sample("TradeIntent")
        assert isinstance(base, TradeIntent)
        leg_a = msgspec.structs.replace(
            base.legs[0],
            instrument_id="polymarket:0xA",
            venue="polymarket",
            outcome="yes",
            cost_micros=prices[0] * quantity // MICROS,
        )
        leg_b = msgspec.structs.replace(
            base.legs[0],
            instrument_id="kalshi:B",
            venue="kalshi",
            outcome="no",
            cost_micros=prices[1] * quantity // MICROS,
        )
        intent = msgspec.structs.replace(
            base, intent_id=intent_id, log_id=self.log_id, position=1_000 + number, number=number + 1, pair_id="pair", package="yes_a_no_b",
            quantity_micros=quantity, legs=(leg_a, leg_b), payout_micros=quantity, net_micros=30_000, friction_micros=17, lockup_micros=19,
            ts_ns=self.now,
        )  # fmt: skip
        self._put("intents", intent)
        return intent

    def _order(
        self,
        ids: dict[str, str],
        instrument: str,
        outcome: str,
        side: str,
        role: str,
        quantity: int,
        fills: tuple[int, ...],
        price: int,
    ) -> list[str]:
        order = f"{ids['trade_id']}-{role}"
        venue = instrument.partition(":")[0]
        place = {
            "instrument_id": instrument,
            "venue": venue,
            "outcome": outcome,
            "side": side,
            "role": role,
            "order_id": order,
        }
        self._journal(OrderRequested, trade_id=ids["trade_id"], attempt=1, quantity_micros=quantity, **place)
        done = 0
        fill_ids = []
        for index, size in enumerate(fills):
            done += size
            fill_ids.append(f"{order}-{index}")
            fee = self.random.randrange(-100, 20_000)
            worse = self.random.randrange(-3, 3) * 1_000
            self._journal(
                Fill, "fills", fill_id=fill_ids[-1], price_micros=price + worse, price_planned_micros=price, quantity_micros=size,
                fee_micros=fee, finality="provisional", **place, **ids,
            )  # fmt: skip
            if venue == "polymarket":
                self._journal(FillConfirmed, "fills", fill_id=fill_ids[-1], trade_id=ids["trade_id"])
        status = "filled" if done == quantity else "canceled"
        self._journal(
            OrderReport, order_id=order, report_id=f"{order}-r", trade_id=ids["trade_id"], order_status=status,
            cumulative_quantity_micros=done, leaves_quantity_micros=0,
        )  # fmt: skip
        return fill_ids

    def _update(
        self, intent: TradeIntent, ids: dict[str, str], state: str, held_a: int, held_b: int, reason: str = ""
    ) -> None:
        self._journal(
            TradeUpdate, package=intent.package, state=state, reason=reason, quantity_a_micros=held_a, quantity_b_micros=held_b,
            residual_micros=held_a - held_b, cost_micros=sum(leg.cost_micros for leg in intent.legs), fee_micros=123,
            edge_micros=intent.net_micros, **ids,
        )  # fmt: skip


def fills_that_stand(records: list[Placed]) -> list[Fill]:
    """Executions that were not reversed."""
    gone = {placed.record.fill_id for placed in records if isinstance(placed.record, FillReversed)}
    return [
        placed.record for placed in records if isinstance(placed.record, Fill) and placed.record.fill_id not in gone
    ]
