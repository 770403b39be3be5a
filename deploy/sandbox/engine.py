"""The running sandbox: one world, both venues' sockets, the truth log, and the clock that drives them.

Decides when simulated time moves (once both venues have a subscriber, or after the start delay), stamps events with
wall time, publishes them in order. REST and control read it; it must never block.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from deploy.sandbox.binance.socket import BinanceHub, is_binance
from deploy.sandbox.faults import FaultBoard
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.kalshi.socket import PATH as KALSHI_PATH
from deploy.sandbox.kalshi.socket import PING_BODY, KalshiHub
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.polymarket.socket import PATH as POLYMARKET_PATH
from deploy.sandbox.polymarket.socket import PolymarketHub
from deploy.sandbox.standing import Exchange
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import (
    EdgeEnded,
    EdgeStarted,
    LevelSet,
    PlantedEdge,
    TickChanged,
    TradeDone,
    WorldEvent,
)
from deploy.sandbox.world.pricing import BINANCE, KALSHI, POLYMARKET
from deploy.sandbox.world.world import World

# One publishing turn covers at most this much simulated time, so that a late loop never starves its sockets.
TURN_NS_MAX = 50_000_000
PING_EVERY_NS = 10_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A planted edge with wall-clock stamps and the wire ids of both legs."""

    edge: PlantedEdge
    started_wall_ns: int
    polymarket: str
    kalshi: str

    def row(self) -> dict[str, object]:
        """The JSON object of the truth file and of ``GET /sandbox/truth``."""
        edge, base = self.edge, self.started_wall_ns
        return {
            "id": edge.id,
            "pair": edge.pair,
            "package": edge.package,
            "moved_venue": edge.moved_venue,
            "polymarket_condition_id": self.polymarket,
            "kalshi_ticker": self.kalshi,
            "ts_start_ns": base + edge.t_start_ns,
            "ts_end_ns": None if edge.t_end_ns is None else base + edge.t_end_ns,
            "net_micros_per_contract": edge.net_micros_per_contract,
            "quantity_micros": edge.quantity,
            "fragile": edge.fragile,
        }


class Engine:
    """Everything but the listening sockets."""

    def __init__(self, world: World, *, start_delay_s: float | None, truth_file: Path | None) -> None:
        self.world = world
        self.boards = {POLYMARKET: FaultBoard(), KALSHI: FaultBoard(), BINANCE: FaultBoard()}
        self.exchange = Exchange()
        self.opened_wall_ns = time.time_ns()
        self._opened_ns = time.monotonic_ns()
        self._start_delay_ns = None if start_delay_s is None else int(start_delay_s * 1e9)
        self.started_wall_ns = 0
        self._started_ns = 0
        self._pinged_ns = self._opened_ns
        self.truths: dict[str, Truth] = {}
        self._truth: TextIO | None = truth_file.open("a", encoding="utf-8") if truth_file is not None else None
        self.behind_ns_max = 0
        self.tickers = {kalshi_wire.listing_of(m).ticker: m for m in world.markets if m.venue == KALSHI}
        self.tokens: dict[str, tuple[Market, bool]] = {}
        self.conditions: dict[str, Market] = {}
        for market in world.markets:
            if market.venue == POLYMARKET:
                listing = polymarket_wire.listing_of(market)
                self.tokens[listing.token_yes] = (market, True)
                self.tokens[listing.token_no] = (market, False)
                self.conditions[listing.condition_id] = market
        self.kalshi = KalshiHub(self.tickers, self.boards[KALSHI], time.time_ns, time.monotonic_ns)
        self.polymarket = PolymarketHub(self.tokens, self.boards[POLYMARKET], self.stamp_ns, time.monotonic_ns)
        self.binance = BinanceHub(world.spot, self.boards[BINANCE], time.time_ns, time.monotonic_ns)

    @property
    def started(self) -> bool:
        return self._started_ns > 0

    @property
    def opened_s(self) -> int:
        return self.opened_wall_ns // 1_000_000_000

    def stamp_ns(self) -> int:
        """Wall time of the world's now; before the start, the wall's."""
        return self.started_wall_ns + self.world.floor.now_ns if self.started else time.time_ns()

    def hub_at(self, path: str) -> PolymarketHub | KalshiHub | BinanceHub | None:
        if path == POLYMARKET_PATH:
            return self.polymarket
        if is_binance(path):
            return self.binance
        return self.kalshi if path == KALSHI_PATH else None

    def turn(self) -> bool:
        """Move the world to now, publish, flush, ping; True while the world is still behind."""
        now_ns = time.monotonic_ns()
        if now_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = now_ns
            for socket in self.kalshi.sockets:
                socket.ping(PING_BODY)
        self.binance.turn(started=self.started)
        if not self._may_run(now_ns):
            return False
        due_ns = now_ns - self._started_ns
        behind_ns = due_ns - self.world.floor.now_ns
        self.behind_ns_max = max(self.behind_ns_max, behind_ns)
        target_ns = min(due_ns, self.world.floor.now_ns + TURN_NS_MAX)
        for events in self.world.steps(target_ns):
            self.publish(events)
        self.binance.publish(self.world.spot.take(target_ns), self.started_wall_ns)
        self.flush()
        return target_ns < due_ns

    def _may_run(self, now_ns: int) -> bool:
        if self.started:
            return True
        waited = self._start_delay_ns is not None and now_ns - self._opened_ns >= self._start_delay_ns
        if waited or (self.kalshi.subscribed and self.polymarket.subscribed):
            self._started_ns = now_ns
            self.started_wall_ns = time.time_ns()
        return self.started

    def publish(self, events: list[WorldEvent]) -> None:
        """Tell both venues' subscribers, in order; books after trades follow the happening that traded."""
        base, markets = self.started_wall_ns, self.world.markets
        traded: dict[int, int] = {}
        for event in events:
            if isinstance(event, EdgeStarted | EdgeEnded):
                self._tell_truth(event)
                continue
            market, wall_ns = markets[event.market], base + event.t_ns
            if isinstance(event, LevelSet):
                if market.venue == KALSHI:
                    self.kalshi.publish_level(market, event, wall_ns)
                else:
                    self.polymarket.publish_level(market, event, wall_ns)
            elif isinstance(event, TradeDone):
                if market.venue == KALSHI:
                    self.kalshi.publish_trade(market, event, wall_ns)
                else:
                    self.polymarket.publish_trade(market, event, wall_ns)
                    traded[event.market] = wall_ns
            else:
                assert isinstance(event, TickChanged)
                self.polymarket.publish_tick(market, event, wall_ns)
        for index, wall_ns in traded.items():
            self.polymarket.publish_books(markets[index], wall_ns)

    def flush(self) -> None:
        for socket in (*self.kalshi.sockets, *self.polymarket.sockets):
            socket.flush()
        self.binance.flush()

    def change_tick(self, market: Market, tick: int) -> None:
        """A tick change on demand, published at once."""
        self.world.change_tick(market, tick)
        self.publish(self.world.drain())
        self.flush()

    def _tell_truth(self, event: EdgeStarted | EdgeEnded) -> None:
        edge = event.edge
        seller, buyer = next(pair for pair in self.world.pairs if pair[0].subject.key == edge.pair)
        truth = Truth(edge=edge, started_wall_ns=self.started_wall_ns, polymarket=seller.key, kalshi=buyer.key)
        self.truths[edge.id] = truth
        if self._truth is not None:
            row = {"event": "start" if isinstance(event, EdgeStarted) else "end", **truth.row()}
            self._truth.write(json.dumps(row) + "\n")
            self._truth.flush()

    def close(self) -> None:
        """Close every connection and the truth file; windows still open stay open in it."""
        for socket in (*self.kalshi.sockets, *self.polymarket.sockets, *self.binance.sockets):
            socket.close()
        if self._truth is not None:
            self._truth.close()
            self._truth = None
