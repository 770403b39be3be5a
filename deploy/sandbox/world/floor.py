"""The trading floor: venue markets, their books and who owns which quote, and the only functions that change a book.

Decides nothing about behaviour (``makers.py``, ``planting.py``). It keeps the laws: one book never crosses, every price
is on its grid, every change is emitted with the book's tops right after it. It must never read a clock.
"""

import random
from collections import deque

from deploy.sandbox.listing import Subject
from deploy.sandbox.standing import Standing
from deploy.sandbox.world.happenings import LevelSet, TradeDone, WorldEvent
from deploy.sandbox.world.presets import Preset
from deploy.sandbox.world.pricing import KALSHI, NO_ASK, NO_BID, POLYMARKET, SIZE_STEP, Grid, net_edge

# Views older than the slowest maker's lag are never asked for; 10 views a second are kept.
VIEWS_KEPT = 24


class Book:
    """Levels of one market in YES terms, price -> size, with the best prices kept."""

    __slots__ = ("asks", "best_ask", "best_bid", "bids")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid = NO_BID
        self.best_ask = NO_ASK

    def set_bid(self, price: int, size: int) -> None:
        if size:
            self.bids[price] = size
            self.best_bid = max(self.best_bid, price)
        else:
            self.bids.pop(price, None)
            if price == self.best_bid:
                self.best_bid = max(self.bids, default=NO_BID)

    def set_ask(self, price: int, size: int) -> None:
        if size:
            self.asks[price] = size
            self.best_ask = min(self.best_ask, price)
        else:
            self.asks.pop(price, None)
            if price == self.best_ask:
                self.best_ask = min(self.asks, default=NO_ASK)


class Maker:
    """One independent quoter of one market: its temper and its own resting sizes."""

    __slots__ = ("asks", "bids", "depth", "half_spread", "lag_ns", "size_base", "stride")

    def __init__(self, *, lag_ns: int, half_spread: int, depth: int, stride: int, size_base: int) -> None:
        self.lag_ns = lag_ns
        self.half_spread = half_spread
        self.depth = depth
        self.stride = stride
        self.size_base = size_base
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}


class Market:
    """One venue's market of one subject."""

    __slots__ = (
        "book",
        "grid",
        "index",
        "last_price",
        "makers",
        "offset",
        "rate",
        "standing",
        "subject",
        "tick",
        "traded",
        "twin",
        "venue",
        "views",
        "visitor",
    )

    def __init__(self, *, index: int, venue: str, subject: Subject, grid: Grid, rate: int, tick: int) -> None:
        self.index = index
        self.venue = venue
        self.subject = subject
        self.grid = grid
        self.rate = rate
        self.tick = tick
        self.book = Book()
        self.makers: list[Maker] = []
        # The visitor owns what planted edges put into the book; it is no maker and never re-quotes.
        self.visitor = Maker(lag_ns=0, half_spread=0, depth=0, stride=tick, size_base=0)
        self.twin: Market | None = None
        self.offset = 0.0
        self.standing = Standing()
        self.views: deque[tuple[int, int]] = deque(maxlen=VIEWS_KEPT)
        self.last_price = 0
        self.traded = 0

    @property
    def key(self) -> str:
        """The name operators use: Polymarket's condition id, Kalshi's ticker."""
        listing = self.subject.polymarket if self.venue == POLYMARKET else None
        if listing is not None:
            return listing.condition_id
        assert self.subject.kalshi is not None
        return self.subject.kalshi.ticker

    def view_at(self, t_ns: int) -> int:
        """The venue's fair price as it was known at ``t_ns`` (the oldest kept, if that is younger)."""
        for seen_ns, price in reversed(self.views):
            if seen_ns <= t_ns:
                return price
        return self.views[0][1]


class Floor:
    """All markets, the one random stream, and the events of the step under way."""

    def __init__(self, subjects: tuple[Subject, ...], preset: Preset, rng: random.Random) -> None:
        self.preset = preset
        self.rng = rng
        self.now_ns = 0
        self.emitted: list[WorldEvent] = []
        self.updates = 0
        self.trades = 0
        self.markets: list[Market] = []
        self.frozen: set[str] = set()
        for subject in subjects:
            self._list(subject)

    def _list(self, subject: Subject) -> None:
        listed: list[Market] = []
        for venue, listing in ((POLYMARKET, subject.polymarket), (KALSHI, subject.kalshi)):
            if listing is None:
                continue
            grid = listing.grid
            market = Market(
                index=len(self.markets) + len(listed),
                venue=venue,
                subject=subject,
                grid=grid,
                rate=listing.fee_rate,
                tick=grid.ranges[0][2],
            )
            market.makers = [self._maker(grid) for _ in range(3)]
            listed.append(market)
        if len(listed) == 2:
            listed[0].twin, listed[1].twin = listed[1], listed[0]
        self.markets += listed

    def _maker(self, grid: Grid) -> Maker:
        draw, preset = self.rng, self.preset
        tick = max(step for _, _, step in grid.ranges)
        return Maker(
            lag_ns=draw.randint(*preset.lag_ns),
            half_spread=draw.randint(*preset.half_spread_micros),
            depth=draw.randint(4, 7),
            stride=tick if tick >= 10_000 else tick * draw.randint(1, 3),
            size_base=draw.choice((30, 60, 120, 240)),
        )

    def quote(self, market: Market, owner: Maker, price: int, size: int, *, is_bid: bool) -> None:
        """Set ``owner``'s resting size at ``price``; the caller has made sure that it crosses nothing."""
        own = owner.bids if is_bid else owner.asks
        delta = size - own.get(price, 0)
        if not delta:
            return
        if size:
            own[price] = size
        else:
            del own[price]
        self._move(market, price, delta, is_bid=is_bid)

    def take(self, market: Market, price: int, size: int, *, taker_buys_yes: bool) -> int:
        """A taker trades against the resting level at ``price``, oldest owner first; returns what was traded."""
        book = market.book
        levels = book.asks if taker_buys_yes else book.bids
        size = min(size, levels.get(price, 0))
        if size <= 0:
            return 0
        left = size
        for owner in (*market.makers, market.visitor):
            own = owner.asks if taker_buys_yes else owner.bids
            resting = own.get(price, 0)
            if not resting:
                continue
            used = min(resting, left)
            left -= used
            if used == resting:
                del own[price]
            else:
                own[price] = resting - used
            if not left:
                break
        assert not left, "a level holds exactly what its owners hold"
        market.last_price = price
        market.traded += size
        self.trades += 1
        self.emitted.append(TradeDone(self.now_ns, market.index, taker_buys_yes, price, size))
        self._move(market, price, -size, is_bid=not taker_buys_yes)
        return size

    def _move(self, market: Market, price: int, delta: int, *, is_bid: bool) -> None:
        book = market.book
        if is_bid:
            size = book.bids.get(price, 0) + delta
            book.set_bid(price, size)
        else:
            size = book.asks.get(price, 0) + delta
            book.set_ask(price, size)
        assert size >= 0, f"{market.key}: a level fell below zero"
        assert book.best_bid < book.best_ask, f"{market.key}: a quote crossed its own book"
        self.updates += 1
        self.emitted.append(
            LevelSet(self.now_ns, market.index, is_bid, price, size, delta, book.best_bid, book.best_ask)
        )

    def draw_size(self, base_contracts: int) -> int:
        """A resting size in micros around ``base_contracts``: often whole, always a multiple of 0.01, never below 1."""
        size = base_contracts * (0.25 + 1.5 * self.rng.random())
        hundredths = int(size) * 100 if self.rng.random() < 0.4 else int(size * 100)
        return max(100, hundredths) * SIZE_STEP


def package_nets(polymarket: Market, kalshi: Market) -> tuple[int | None, int | None]:
    """Net micros per contract at the tops of ``yes_kalshi_no_polymarket`` and ``no_kalshi_yes_polymarket``.

    None where a side is empty.
    """
    mine, theirs = polymarket.book, kalshi.book
    first = second = None
    if mine.best_bid != NO_BID and theirs.best_ask != NO_ASK:
        first = net_edge(mine.best_bid, polymarket.rate, theirs.best_ask, kalshi.rate)
    if theirs.best_bid != NO_BID and mine.best_ask != NO_ASK:
        second = net_edge(theirs.best_bid, kalshi.rate, mine.best_ask, polymarket.rate)
    return first, second
