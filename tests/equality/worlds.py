"""Seeded sandbox worlds as records of one `market` partition: the same records for a seed, on any machine and at any speed.

The world runs in simulated time. What it says goes through the sandbox's own wire text into the producers' own protocols, and the
universe of producers lists and groups. What goes wrong depends on the seed: lost frames, a lost connection, a venue's pause.
"""

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable

import msgspec

from crossbook.domain.names import KALSHI, POLYMARKET, instrument_id
from crossbook.market.configuration import Configuration
from crossbook.market.feed_clock import RECORDED
from crossbook.runtime.settings import DecideSettings, FrictionSettings
from deploy.sandbox.binance import wire as binance_wire
from deploy.sandbox.binance.price import SYMBOL, SpotQuote
from deploy.sandbox.faults import FaultBoard, FaultRequest
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.kalshi.socket import KalshiHub
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.polymarket.socket import PolymarketHub
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TickChanged, TradeDone, WorldEvent
from deploy.sandbox.world.world import World
from processors.decide.code_digest import decision_digest
from processors.decide.settings import announcement
from producers.binance.protocol import BinanceProtocol
from producers.feeds.fields import parse_json
from producers.feeds.protocol import FetchBook, Output, ProbeBooks, Reconnect, RefreshListing
from producers.kalshi import catalog as kalshi_catalog
from producers.kalshi.protocol import KalshiProtocol
from producers.market_writer import friction_pack
from producers.polymarket import catalog as polymarket_catalog
from producers.polymarket.protocol import PolymarketProtocol
from producers.universe.universe import ShowBook, Step, Universe
from schemas.records import (
    BookDelta,
    BookSnapshot,
    DeadLetter,
    InstrumentListed,
    InstrumentSettled,
    LogOpened,
    PairApproved,
    PayoutCell,
    PublicTrade,
    Record,
    VenueStatus,
)
from tests.equality.wire import Line, kalshi_book, polymarket_book

T0 = 1_780_000_000_000_000_000
MS = 1_000_000
S = 1_000 * MS
MICROS = 1_000_000
#: Books are there before the world moves.
LEAD_NS = 500 * MS
TIMER_NS = 50 * MS
STATUS_NS = 500 * MS
KEYFRAME_NS = 10 * S
REST_NS = 30 * MS
REDIAL_NS = 700 * MS


def world_records(seed: int, seconds: int, rate: int) -> list[Record]:
    """Records of a world: so many simulated seconds at so many book updates a second."""
    return Ingested(seed, seconds, rate).run()


class Ingested:
    """A world, the venues' hubs over it, the feeds that listen, and the records that they gave."""

    def __init__(self, seed: int, seconds: int, rate: int) -> None:
        self.seed, self.seconds = seed, seconds
        preset = "worldcup" if seed % 5 == 4 else "eventful"
        self.world = World(preset=preset, seed=seed, rate_updates_per_s=rate, spot_lead_ns=2 * S if seed % 2 else 0)
        self.settings = DecideSettings(min_edge_micros=2_000 if preset == "worldcup" else 25_000)
        self.now_ns = T0
        self.records: list[Record] = []
        self.universe = Universe()
        self.boards = {POLYMARKET: FaultBoard(), KALSHI: FaultBoard()}
        self.markets: dict[str, Market] = {}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._pushed = 0
        self._keyframed = 0
        self.lines = {POLYMARKET: self._polymarket(), KALSHI: self._kalshi()}
        self.spot = BinanceProtocol((SYMBOL,), interval_ns=100 * MS)

    def _polymarket(self) -> Line:
        tokens: dict[str, tuple[Market, bool]] = {}
        for market in self.world.markets:
            if market.venue == POLYMARKET:
                listing = polymarket_wire.listing_of(market)
                tokens |= {listing.token_yes: (market, True), listing.token_no: (market, False)}
                self.markets[instrument_id(POLYMARKET, listing.condition_id)] = market
        hub = PolymarketHub(tokens, self.boards[POLYMARKET], self._now, self._now)
        return Line(hub, PolymarketProtocol(), lambda market: polymarket_book(market, self.now_ns), 35 * MS)

    def _kalshi(self) -> Line:
        tickers = {kalshi_wire.listing_of(m).ticker: m for m in self.world.markets if m.venue == KALSHI}
        self.markets |= {instrument_id(KALSHI, ticker): market for ticker, market in tickers.items()}
        hub = KalshiHub(tickers, self.boards[KALSHI], self._now, self._now)
        return Line(hub, KalshiProtocol(), lambda market: kalshi_book(market, self.now_ns), 22 * MS)

    def _now(self) -> int:
        return self.now_ns

    # -- time

    def run(self) -> list[Record]:
        """Run to the end and return every record."""
        self._head()
        self._plan()
        for events in self.world.steps(self.seconds * S):
            self._until(T0 + LEAD_NS + self.world.floor.now_ns)
            self._publish(events)
        self._until(T0 + LEAD_NS + self.seconds * S)
        for line in self.lines.values():
            self._emit(line, line.protocol.disconnect("stopped", self.now_ns))
        return self.records

    def _at(self, ts_ns: int, do: Callable[[], None]) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (ts_ns, self._pushed, do))

    def _every(self, interval_ns: int, do: Callable[[], None]) -> None:
        def again() -> None:
            do()
            self._at(self.now_ns + interval_ns, again)

        self._at(self.now_ns + interval_ns, again)

    def _until(self, ts_ns: int) -> None:
        while self._queue and self._queue[0][0] <= ts_ns:
            self.now_ns, _, do = heapq.heappop(self._queue)
            do()
        self.now_ns = max(self.now_ns, ts_ns)

    # -- what happens when

    def _head(self) -> None:
        log_id = hashlib.sha256(f"equality:{self.seed}".encode()).hexdigest()[:32]
        announced = announcement(self.settings, decision_digest(), ts_ns=T0, operator="test")
        self.records += [
            LogOpened(ts_received_ns=T0, log_id=log_id, partition=0, partitions=1, base_offset=0, clock=RECORDED),
            friction_pack(FrictionSettings(), T0),
            *Configuration.of(announced, ts_received_ns=T0, control_offset=-1).records,
        ]
        for pair in approvals(self.world):
            self._do(self.universe.approve(pair, T0))
        self._do(self.universe.list_instruments([self._listing(one) for one in self.markets], T0))
        for line in self.lines.values():
            self._dial(line)
        self._emit(None, self.spot.connect(T0, T0))
        self.spot.to_send()
        self.spot.assume_subscribed()

    def _plan(self) -> None:
        """Timers, and what goes wrong."""
        self._every(TIMER_NS, self._tick)
        self._every(STATUS_NS, self._status)
        self._every(KEYFRAME_NS // len(self.markets), self._keyframe)
        self._every(100 * MS, self._publish_spot)
        at = {share: T0 + LEAD_NS + self.seconds * S * share // 100 for share in range(0, 100, 5)}
        kalshi, polymarket = self.lines[KALSHI], self.lines[POLYMARKET]
        if self.seed % 3 == 1:
            self._at(at[25], lambda: self._lose(kalshi if self.seed % 2 else polymarket))
        if self.seed % 3 == 2:
            self._at(at[35], lambda: self._spoil(POLYMARKET, "drop_delta", 3))
            self._at(at[40], lambda: self._spoil(KALSHI, "drop_delta", 2))
        if self.seed % 4 == 3:
            self._at(at[50], lambda: self._trading(active=False))
            self._at(at[55], lambda: self._trading(active=True))
        self._at(at[80], lambda: self._settle(0, paid=MICROS if self.seed % 2 else 0))
        self._at(
            at[85], lambda: self._do(self.universe.revoke(self.world.pairs[1][0].subject.key, "test", self.now_ns))
        )

    def _lose(self, line: Line) -> None:
        line.close()
        self._emit(line, line.protocol.disconnect("lost", self.now_ns))
        self._at(self.now_ns + REDIAL_NS, lambda: self._dial(line))

    def _spoil(self, venue: str, fault: str, count: int) -> None:
        request = FaultRequest(venue=venue, fault=fault, count=count, seconds=0.0, instrument=None, kind="")
        self.boards[venue].arm(request, None, self.now_ns)

    def _trading(self, *, active: bool) -> None:
        self.records.append(
            VenueStatus(
                ts_received_ns=self.now_ns, venue=KALSHI, exchange_active=True, trading_active=active, shards_halted=(),
                pauses=(), reason="" if active else "test", keyframe=False,
            )
        )  # fmt: skip

    def _settle(self, number: int, *, paid: int) -> None:
        for market in self.world.pairs[number]:
            name = next(key for key, one in self.markets.items() if one is market)
            closed = msgspec.structs.replace(
                self.universe.instruments[name], ts_received_ns=self.now_ns, status="closed", ts_close_ns=self.now_ns
            )
            self._do(self.universe.tell(closed, self.now_ns))
            settled = InstrumentSettled(
                ts_received_ns=self.now_ns, instrument_id=name, payout_yes_micros=paid, source="test"
            )
            self._do(self.universe.settle(settled))
            self.lines[market.venue].protocol.unfollow(name)
            self.lines[market.venue].say()

    def _tick(self) -> None:
        for line in self.lines.values():
            if line.socket is not None:
                self._emit(line, line.protocol.tick(self.now_ns))
        self._emit(None, self.spot.tick(self.now_ns))

    def _status(self) -> None:
        for line in self.lines.values():
            self._emit(line, [line.protocol.status(self.now_ns)])
        self._emit(None, [self.spot.status(self.now_ns)])

    def _keyframe(self) -> None:
        self._keyframed = (self._keyframed + 1) % len(self.markets)
        name = list(self.markets)[self._keyframed]
        self._do(list(self.universe.keyframes(name, self.now_ns)))
        book = self.lines[self.markets[name].venue].protocol.keyframe(name, self.now_ns)
        self.records += [] if book is None else [book]

    # -- the venues

    def _publish(self, events: Iterable[WorldEvent]) -> None:
        """Tell both venues' subscribers, in order; books after trades follow the happening that traded."""
        traded: dict[int, None] = {}
        hubs = {venue: line.hub for venue, line in self.lines.items()}
        for event in events:
            if not isinstance(event, LevelSet | TradeDone | TickChanged):
                continue
            market = self.world.markets[event.market]
            hub, wall_ns = hubs[market.venue], T0 + LEAD_NS + event.t_ns
            if isinstance(event, LevelSet):
                hub.publish_level(market, event, wall_ns)
            elif isinstance(event, TradeDone):
                hub.publish_trade(market, event, wall_ns)
                traded |= {event.market: None} if market.venue == POLYMARKET else {}
            else:
                hub.publish_tick(market, event, wall_ns)
        for index in traded:
            hubs[POLYMARKET].publish_books(self.world.markets[index], self.now_ns)
        for line in self.lines.values():
            self._deliver(line)

    def _publish_spot(self) -> None:
        if self.now_ns <= T0 + LEAD_NS:
            return
        for event in self.world.spot.take(self.now_ns - T0 - LEAD_NS):
            if isinstance(event, SpotQuote):
                payload = binance_wire.combined(binance_wire.stream_of(binance_wire.QUOTES), binance_wire.quote(event))
                self._emit(None, self.spot.receive(payload, self.now_ns))

    def _deliver(self, line: Line) -> None:
        """What the hub sent arrives after the line's delay, unless the connection is lost before."""
        if line.socket is None:
            return
        for payload in line.socket.take():

            def arrive(payload: bytes = payload, connection: int = line.connection) -> None:
                if connection == line.connection:
                    self._emit(line, line.protocol.receive(payload, self.now_ns))

            self._at(self.now_ns + line.delay_ns, arrive)

    # -- what the feeds give

    def _dial(self, line: Line) -> None:
        line.open()
        self._emit(line, line.protocol.connect(self.now_ns, self.now_ns))

    def _emit(self, line: Line | None, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case BookDelta() | BookSnapshot() | PublicTrade():
                    if output.instrument_id in self.universe.instruments:
                        self.records.append(output)
                case InstrumentListed():
                    self._do(self.universe.tell(output, self.now_ns))
                case DeadLetter():
                    pass
                case Record():
                    self.records.append(output)
                case _:
                    self._command(line, output)
        if line is not None:
            line.say()
            self._deliver(line)

    def _command(self, line: Line | None, command: Output) -> None:
        match command:
            case Reconnect() if line is not None:
                self._lose(line)
            case FetchBook() if line is not None:
                body, name = line.book(self.markets[command.instrument_id]), command.instrument_id
                self._answer(line, lambda: line.protocol.rest_book(name, body, self.now_ns))
            case ProbeBooks() if line is not None:
                bodies = {name: line.book(self.markets[name]) for name in command.instrument_ids}
                for name, body in bodies.items():
                    self._answer(line, lambda name=name, body=body: line.protocol.probed(name, body, self.now_ns))
                self._answer(line, lambda: line.protocol.probes_over(self.now_ns))
            case RefreshListing() if command.instrument_id is not None:
                self._do(self.universe.list_instruments([self._listing(command.instrument_id)], self.now_ns))
            case _:
                pass

    def _answer(self, line: Line, take: Callable[[], list[Output]]) -> None:
        connection = line.connection
        self._at(self.now_ns + REST_NS, lambda: self._emit(line, take() if connection == line.connection else []))

    def _do(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, ShowBook):
                venue = step.instrument_id.partition(":")[0]
                book = self.lines[venue].protocol.keyframe(step.instrument_id, self.now_ns, keyframe=False)
                self.records += [] if book is None else [book]
                continue
            self.records.append(step.record)
            if isinstance(step.record, InstrumentListed) and not step.record.keyframe:
                line = self.lines[step.record.venue]
                self._emit(line, line.protocol.follow(step.record, self.now_ns))

    def _listing(self, name: str) -> InstrumentListed:
        market, opened_s = self.markets[name], T0 // S
        if market.venue == POLYMARKET:
            row = polymarket_wire.gamma_market(market, opened_s=opened_s, wall_ns=self.now_ns)
            row["events"] = [polymarket_wire.gamma_event(market.subject, [], opened_s=opened_s)]
            clob = polymarket_wire.clob_market(market, opened_s=opened_s, wall_ns=self.now_ns)
            return polymarket_catalog.listing(_read(row), _read(clob), "half_up", self.now_ns)
        event = kalshi_wire.event_row(market, opened_s=opened_s, nested=False, wall_ns=self.now_ns)
        found = kalshi_wire.market_row(market, opened_s=opened_s, wall_ns=self.now_ns)
        series = kalshi_wire.series_row(market, wall_ns=self.now_ns)
        return kalshi_catalog.listing(_read(event), _read(found), _read(series), "direct", self.now_ns)


def _read(row: dict[str, object]) -> dict[str, object]:
    """The row as a catalogue reads it from the wire."""
    found: dict[str, object] = parse_json(json.dumps(row).encode(), "test")
    return found


def approvals(world: World) -> list[PairApproved]:
    """Approvals of the world's pairs: both venues state the same rule for each subject."""
    amounts = {"yes": MICROS, "no": 0} | dict.fromkeys(("void", "tie", "cancelled", "postponed"), MICROS // 2)
    payouts = tuple(
        PayoutCell(outcome=outcome, payout_a_micros=paid, payout_b_micros=paid, admissible=True, evidence="test")
        for outcome, paid in amounts.items()
    )
    return [
        PairApproved(
            ts_ns=T0, operator="test", pair_id=mine.subject.key, relation="identity",
            instrument_a=instrument_id(POLYMARKET, polymarket_wire.listing_of(mine).condition_id),
            instrument_b=instrument_id(KALSHI, kalshi_wire.listing_of(theirs).ticker),
            payouts=payouts, haircut_micros=0, evidence="test",
        )
        for mine, theirs in world.pairs
    ]  # fmt: skip
