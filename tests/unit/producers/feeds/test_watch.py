"""Silence and lateness of single books on lively sockets, both venues, judged by the fold that decide uses.

A small venue on a clock that the test moves: it has a true book of every instrument, tells of changes over the socket unless an
instrument is muted, delays what it tells, and answers REST from the truth unless REST is out.
"""

import json
from collections import Counter
from typing import Any

import pytest

from crossbook.domain.money import MICROS
from crossbook.market.market_state import MarketState
from producers.feeds.protocol import (
    PROBE_SPACING_NS,
    PROBES_MAX,
    ConfirmSettlement,
    FetchBook,
    ProbeBooks,
    Reconnect,
    VenueProtocol,
)
from producers.feeds.silence import LIMIT_LEAST_NS, LIMIT_MOST_NS, SETTLE_NS
from producers.kalshi.protocol import KalshiProtocol
from producers.polymarket.protocol import PolymarketProtocol
from schemas.records import DeadLetter, FeedStatus, Record
from tests.builders.producers.listings import make_listing

MS = 1_000_000
SECOND = 1_000 * MS
START = 1_790_000_000 * SECOND
STEP = 50 * MS
REST_TAKES = 100 * MS
REDIAL = 300 * MS


class Venue:
    """Wire of a venue; subclasses know its forms."""

    def __init__(self, count: int) -> None:
        self.sizes = [100] * count
        self.stamps_ms = [START // MS] * count

    def text(self, index: int) -> str:
        return f"{self.sizes[index]}.00"


class PolymarketWire(Venue):
    def make(self) -> VenueProtocol:
        return PolymarketProtocol()

    def listing(self, index: int) -> Any:
        return make_listing(
            "polymarket", f"0x{index:064x}", yes_token=self.token(index), no_token="9" + self.token(index)
        )

    @staticmethod
    def token(index: int) -> str:
        return f"1{index:060d}"

    def book(self, index: int) -> dict[str, Any]:
        return {
            "market": f"0x{index:064x}", "asset_id": self.token(index), "timestamp": str(self.stamps_ms[index]), "hash": "",
            "bids": [{"price": "0.45", "size": self.text(index)}], "asks": [{"price": "0.47", "size": "20"}],
            "event_type": "book",
        }  # fmt: skip

    rest = book

    def change(self, index: int, _before: int) -> dict[str, Any]:
        entry = {
            "asset_id": self.token(index), "price": "0.45", "size": self.text(index), "side": "BUY", "hash": "",
            "best_bid": "0.45", "best_ask": "0.47",
        }  # fmt: skip
        return {
            "market": f"0x{index:064x}", "price_changes": [entry], "timestamp": str(self.stamps_ms[index]),
            "event_type": "price_change",
        }  # fmt: skip

    def trade(self, index: int) -> dict[str, Any]:
        return {
            "market": f"0x{index:064x}", "asset_id": self.token(index), "price": "0.45", "size": "5", "side": "BUY",
            "timestamp": str(self.stamps_ms[index]), "event_type": "last_trade_price",
        }  # fmt: skip

    def answers(self, frame: dict[str, Any]) -> tuple[list[Any], list[int]]:
        """Acknowledgements, and the instruments whose whole books follow."""
        if frame.get("operation") == "unsubscribe":
            return [], []
        assert frame["assets_ids"]
        return [], [int(token[1:]) for token in frame["assets_ids"]]

    def sequenced(self, frame: Any) -> Any:
        return frame

    def dialled(self) -> None:
        pass


class KalshiWire(Venue):
    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.dialled()

    def dialled(self) -> None:
        self.seqs: Counter[int] = Counter()

    def make(self) -> VenueProtocol:
        return KalshiProtocol()

    def listing(self, index: int) -> Any:
        return make_listing("kalshi", self.ticker(index))

    @staticmethod
    def ticker(index: int) -> str:
        return f"KX-{index}"

    def book(self, index: int) -> dict[str, Any]:
        msg = {
            "market_ticker": self.ticker(index), "market_id": "m", "yes_dollars_fp": [["0.4500", self.text(index)]],
            "no_dollars_fp": [["0.4700", "20.00"]],
        }  # fmt: skip
        return {"type": "orderbook_snapshot", "sid": 1, "msg": msg}

    def rest(self, index: int) -> dict[str, Any]:
        return {"orderbook_fp": {"yes_dollars": [["0.4500", self.text(index)]], "no_dollars": [["0.5300", "20.00"]]}}

    def change(self, index: int, before: int) -> dict[str, Any]:
        msg = {
            "market_ticker": self.ticker(index), "market_id": "m", "price_dollars": "0.4500", "side": "yes",
            "delta_fp": f"{self.sizes[index] - before}.00", "ts_ms": self.stamps_ms[index],
        }  # fmt: skip
        return {"type": "orderbook_delta", "sid": 1, "msg": msg}

    def trade(self, index: int) -> dict[str, Any]:
        msg = {
            "trade_id": "t", "market_ticker": self.ticker(index), "yes_price_dollars": "0.4500", "count_fp": "5.00",
            "taker_outcome_side": "no", "ts_ms": self.stamps_ms[index],
        }  # fmt: skip
        return {"type": "trade", "sid": 2, "msg": msg}

    def answers(self, frame: dict[str, Any]) -> tuple[list[Any], list[int]]:
        params = frame["params"]
        if params.get("channels") == ["market_lifecycle_v2"]:
            return [], []  # it takes no market, and this world tells nothing of any
        indexes = [int(ticker.removeprefix("KX-")) for ticker in params["market_tickers"]]
        assert indexes
        if frame["cmd"] == "subscribe":
            sids = {"orderbook_delta": 1, "trade": 2}
            said = [
                {"id": frame["id"], "type": "subscribed", "msg": {"channel": c, "sid": sids[c]}}
                for c in params["channels"]
            ]
            return said, indexes
        if params["action"] == "get_snapshot":
            return [], indexes
        sid = params["sids"][0]
        return [{"id": frame["id"], "type": "ok", "sid": sid, "msg": {}}], (
            indexes if params["action"] == "add_markets" and sid == 1 else []
        )

    def sequenced(self, frame: Any) -> Any:
        if "sid" not in frame:
            return frame
        self.seqs[frame["sid"]] += 1
        return frame | {"seq": self.seqs[frame["sid"]]}


WIRES = {"polymarket": PolymarketWire, "kalshi": KalshiWire}


class World:
    """Venue, protocol and fold, moved in steps of 50 ms."""

    def __init__(self, venue: str, count: int = 3) -> None:
        self.wire = WIRES[venue](count)
        self.protocol = self.wire.make()
        self.state = MarketState()
        self.now = START
        self.muted: set[int] = set()  # the venue forgot them: nothing comes until they are subscribed to anew
        self.sticky = False  # nor does a renewed subscription bring more than a book
        self.deaf: set[int] = set()  # nor even that
        self.rest_out = False
        self.rest_reads: list[tuple[int, int]] = []  # when, how many books
        self.late_ns = 0
        self.reconnects: list[str] = []
        self.renewals = 0
        self.adopted = 0
        self.statuses: list[FeedStatus] = []
        self.wrong_ns = [0] * count  # for how long a usable book has differed from the truth
        self.wrong_most_ns = [0] * count
        self._redial_ns = 0
        self._under_way: list[tuple[int, Any]] = []
        self.ids = []
        for index in range(count):
            listed = self.wire.listing(index)
            self.ids.append(listed.instrument_id)
            self._fold(listed)
            self.protocol.follow(listed, self.now)
        self._dial()
        self.run(1.0)

    # -- the venue

    def move(self, index: int) -> None:
        """The true book of an instrument changes."""
        before = self.wire.sizes[index]
        self.wire.sizes[index] = before + 1
        self.wire.stamps_ms[index] = self.now // MS
        if index not in self.muted:
            self._tell(self.wire.change(index, before))

    def trade(self, index: int) -> None:
        self.wire.stamps_ms[index] = max(self.wire.stamps_ms[index], self.now // MS)
        self._tell(self.wire.trade(index))

    def _tell(self, frame: Any) -> None:
        if self.protocol.connected:
            self._under_way.append((self.now + self.late_ns, self.wire.sequenced(frame)))

    # -- time

    def run(
        self, seconds: float, moving: tuple[int, ...] = (), every_ms: int = 150, trading: tuple[int, ...] = ()
    ) -> None:
        """Let time pass; these instruments move this often."""
        for _ in range(round(seconds * SECOND / STEP)):
            self.now += STEP
            if self.now // MS % every_ms < STEP // MS:
                for index in moving:
                    self.move(index)
                for index in trading:
                    self.trade(index)
            if self._redial_ns and self.now >= self._redial_ns:
                self._dial()
            due = [what for at, what in self._under_way if at <= self.now]
            self._under_way = [(at, what) for at, what in self._under_way if at > self.now]
            for what in due:
                if callable(what):
                    self._take(what())
                elif self.protocol.connected:
                    self._take(self.protocol.receive(json.dumps(what), self.now))
            if self.protocol.connected:
                self._take(self.protocol.tick(self.now))
            self._take([self.protocol.status(self.now)])
            self._look()

    def _dial(self) -> None:
        self._redial_ns = 0
        self._under_way.clear()
        self.wire.dialled()
        self._take(self.protocol.connect(max(self.now, self.protocol.session + 1), self.now))

    def _take(self, outputs: list[Any]) -> None:
        for output in outputs:
            match output:
                case ProbeBooks():
                    self._read(output.instrument_ids, self._probed)
                case FetchBook():
                    one = output.instrument_id
                    self._read((one,), lambda bodies, one=one: self._adopt(one, bodies))
                case Reconnect():
                    self.reconnects.append(output.reason)
                    self._redial_ns = self.now + REDIAL
                    self._under_way.clear()
                    self._take(self.protocol.disconnect(output.reason, self.now))
                    break
                case ConfirmSettlement():
                    raise AssertionError("nothing settles here")
                case DeadLetter():
                    raise AssertionError(output.error)
                case _:
                    if isinstance(output, FeedStatus):
                        self.statuses.append(output)
                    self._fold(output)
        for text in self.protocol.to_send():
            frame = json.loads(text)
            said, indexes = self.wire.answers(frame)
            self.renewals += "delete_markets" in text or '"unsubscribe"' in text
            for answer in said:
                self._tell(answer)
            for index in indexes:
                if not self.sticky:
                    self.muted.discard(index)
                if index not in self.deaf:
                    self._tell(self.wire.book(index))

    def _probed(self, bodies: dict[str, bytes]) -> list[Any]:
        said = [output for one, body in bodies.items() for output in self.protocol.probed(one, body, self.now)]
        return said + self.protocol.probes_over(self.now)

    def _adopt(self, instrument_id: str, bodies: dict[str, bytes]) -> list[Any]:
        self.adopted += bool(bodies)
        return self.protocol.rest_book(instrument_id, bodies[instrument_id], self.now) if bodies else []

    def _read(self, ids: tuple[str, ...], then: Any) -> None:
        """REST answers with the books of the moment in which it was asked."""
        self.rest_reads.append((self.now, len(ids)))
        bodies = {} if self.rest_out else {one: json.dumps(self.wire.rest(self.ids.index(one))).encode() for one in ids}
        self._under_way.append((self.now + REST_TAKES, lambda: then(bodies)))

    def _fold(self, record: Record) -> None:
        self.state.apply(self.state.position + 1, record)

    # -- what is true

    def usable(self, index: int) -> bool:
        return self.state.usable(self.ids[index])

    def _look(self) -> None:
        for index, one in enumerate(self.ids):
            known = self.state.books.get(one)
            size = known.book.size_at("bid", 450_000) if known else 0
            wrong = self.usable(index) and size != self.wire.sizes[index] * MICROS
            self.wrong_ns[index] = self.wrong_ns[index] + STEP if wrong else 0
            self.wrong_most_ns[index] = max(self.wrong_most_ns[index], self.wrong_ns[index])
            mirrored = self.protocol.followed[one]
            assert not (mirrored.valid and mirrored.withheld)
            assert mirrored.valid is (known is not None and not known.broken)


@pytest.fixture(params=sorted(WIRES))
def world(request) -> World:
    return World(request.param)


#: A book that moves on while its instrument is mute is believed for half of the silence that its habit allows and one look at REST;
#: what is done about it waits for frames under way and a second look.
MUTE_NS = LIMIT_LEAST_NS // 2 + REST_TAKES + PROBE_SPACING_NS + 4 * STEP
SECOND_LOOK_NS = SETTLE_NS + REST_TAKES + PROBE_SPACING_NS


def test_a_mute_asset_on_a_lively_socket_is_not_believed_for_long(world: World) -> None:
    """The others flow, and its trades do; only its own book frames count. It is subscribed to anew and comes back."""
    world.run(10, moving=(0, 1, 2))
    assert all(world.usable(index) for index in range(3))
    world.muted.add(0)
    world.run(20, moving=(0, 1, 2), trading=(0,))
    assert 0 < world.wrong_most_ns[0] <= MUTE_NS
    assert world.wrong_most_ns[1:] == [0, 0]
    assert world.renewals == 1
    assert world.reconnects == []
    assert all(world.usable(index) for index in range(3))
    assert world.wrong_ns == [0, 0, 0]


def test_one_book_by_rest_does_not_stand_in_for_a_mute_stream(world: World) -> None:
    """Deaf even to a renewed subscription: the connection ends, seldom, and the book stays unusable for all of it."""
    world.run(10, moving=(0, 1, 2))
    world.sticky = True
    world.muted.add(0)
    world.deaf.add(0)
    world.run(MUTE_NS / SECOND, moving=(0, 1, 2))
    assert not world.usable(0)
    usable = 0
    for _ in range(400):
        world.run(1, moving=(0, 1, 2))
        usable += world.usable(0)
    assert usable == 0
    assert world.adopted == 0
    assert 1 <= len(world.reconnects) <= 6, (
        world.reconnects
    )  # it ends the connection for all others, so ever more seldom
    world.deaf.clear()
    world.sticky = False
    world.run(40, moving=(0, 1, 2))
    assert all(world.usable(index) for index in range(3))


def test_an_asset_that_stays_mute_after_its_renewed_subscription_ends_the_connection(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.sticky = True
    world.muted.add(0)
    world.run(20, moving=(0, 1, 2))
    assert any("stays mute" in reason for reason in world.reconnects)
    assert world.wrong_most_ns[0] <= MUTE_NS


def test_without_rest_a_book_is_withheld_when_it_is_silent_for_longer_than_its_habit(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.rest_out = True
    world.muted.add(0)
    world.run(LIMIT_LEAST_NS / SECOND + 0.3, moving=(0, 1, 2))
    assert not world.usable(0)
    assert world.usable(1)
    assert world.usable(2)
    resyncs = [s for s in world.statuses if s.state == "resync"]
    assert {s.instruments for s in resyncs} == {(world.ids[0],)}
    world.rest_out = False
    world.run(5, moving=(0, 1, 2))
    assert world.usable(0)


def test_a_quiet_market_stays_usable_while_rest_vouches_for_it_and_costs_few_looks(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.rest_reads.clear()
    for _ in range(120):
        world.run(0.5, moving=(1, 2))
        assert world.usable(0)
    assert len(world.rest_reads) <= 120
    assert world.reconnects == []
    assert world.renewals == 0
    world.move(0)
    world.run(0.2, moving=(1, 2))
    assert world.usable(0)
    assert world.wrong_ns[0] == 0


def test_a_slow_market_is_allowed_its_own_rhythm(world: World) -> None:
    """An instrument that moves every three seconds is not looked at after one."""
    world.run(60, moving=(0, 1), every_ms=3_000)
    assert world.protocol.followed[world.ids[0]].silence.limit_ns == 9 * SECOND
    assert world.protocol.followed[world.ids[2]].silence.limit_ns == LIMIT_MOST_NS  # never moved: as rare as can be


def test_a_whole_connection_that_falls_silent_is_dialled_anew(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.muted |= {0, 1, 2}
    world.sticky = True
    world.run((MUTE_NS + SECOND_LOOK_NS) / SECOND, moving=(0, 1, 2))
    assert world.reconnects == ["silent"]
    assert max(world.wrong_most_ns) <= MUTE_NS


def test_a_quiet_connection_is_not_dialled_anew(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.run(60)
    assert world.reconnects == []
    assert all(world.usable(index) for index in range(3))


@pytest.mark.parametrize("venue", sorted(WIRES))
@pytest.mark.parametrize("count", [20, 200, 400])
def test_probes_scale_with_the_assets_within_the_venue_s_limits(venue: str, count: int) -> None:
    """All quiet at once: each is looked at in its time, in batches that no venue refuses, and none becomes unusable."""
    world = World(venue, count)
    world.run(1)
    world.rest_reads.clear()
    for _ in range(40):
        world.run(1)
        assert all(world.usable(index) for index in range(count))
    assert all(books <= PROBES_MAX for _, books in world.rest_reads)
    times = [at for at, _ in world.rest_reads]
    for index, at in enumerate(times):
        # Kalshi: four requests a second of a public address; Polymarket: five hundred in ten seconds.
        assert sum(1 for other in times[index:] if other < at + 10 * SECOND) <= 20
    assert sum(books for _, books in world.rest_reads) >= 2 * count
    world.muted.add(count - 1)
    world.move(count - 1)
    world.run(LIMIT_MOST_NS / SECOND)
    assert world.wrong_most_ns[-1] <= LIMIT_MOST_NS // 2 + 3 * SECOND


# -- lateness


def test_a_feed_that_runs_behind_its_own_best_is_down_and_comes_back_by_itself(world: World) -> None:
    world.run(10, moving=(0, 1, 2))
    world.late_ns = 1_900 * MS
    world.run(4, moving=(0, 1, 2))
    assert world.statuses[-1].state == "live"
    world.late_ns = 2_600 * MS
    world.run(4, moving=(0, 1, 2))
    assert world.statuses[-1].state == "down"
    assert "later than the feed's best" in world.statuses[-1].reason
    assert not any(world.usable(index) for index in range(3))
    session = world.protocol.session
    world.late_ns = 0
    world.run(6, moving=(0, 1, 2))
    assert world.statuses[-1].state == "live"
    assert world.protocol.session == session, "nothing was missed, so nothing is dialled anew"
    assert all(world.usable(index) for index in range(3))
    assert world.wrong_ns == [0, 0, 0]


def test_a_delay_that_creeps_up_is_noticed(world: World) -> None:
    world.run(5, moving=(0, 1, 2))
    for step in range(65):
        world.late_ns = 100 * MS * step
        world.run(1, moving=(0, 1, 2))
        if world.late_ns >= 2_400 * MS:
            assert not any(world.usable(index) for index in range(3)), f"{world.late_ns // MS} ms late"


def test_a_feed_that_stays_behind_is_dialled_anew_ever_more_seldom(world: World) -> None:
    world.run(5, moving=(0, 1, 2))
    world.late_ns = 4 * SECOND
    world.run(120, moving=(0, 1, 2))
    assert 2 <= len(world.reconnects) <= 5
    assert not any(world.usable(index) for index in range(3))
