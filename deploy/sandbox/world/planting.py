"""Planted edges: dislocations of known size, place and length, the truth that the demo is judged by.

Decides when, where and how a top is moved, and ends each window. Its laws: the net edge of a window is at least
3.5 cents after both taker fees at the stated quantity on both displayed tops; the subject is frozen meanwhile, so that
nobody else moves a top; once a window has ended the tops obey the cap again. It must never plant twice on one pair at
once or within the preset's spacing.
"""

from dataclasses import replace

from deploy.sandbox.world.floor import Floor, Market
from deploy.sandbox.world.happenings import EdgeEnded, EdgeStarted, PlantedEdge
from deploy.sandbox.world.pricing import CENT, KALSHI, NO_ASK, NO_BID, SIZE_STEP, net_edge

YES_KALSHI = "yes_kalshi_no_polymarket"
NO_KALSHI = "no_kalshi_yes_polymarket"


class Window:
    """A planted edge under way: the truth record, and what has to be taken back at its end."""

    __slots__ = ("buyer", "edge", "end_ns", "fragile_ns", "moved", "seller", "vanishes")

    def __init__(self, edge: PlantedEdge, *, seller: Market, buyer: Market, moved: Market) -> None:
        self.edge = edge
        self.seller = seller  # the venue whose YES bid is hit (NO is bought there)
        self.buyer = buyer  # the venue whose YES ask is lifted
        self.moved = moved
        self.end_ns = 0
        self.fragile_ns = 0  # 0: sturdy
        self.vanishes = False


class Planter:
    """Plants on a floor; the world calls it at the times it returns."""

    def __init__(self, floor: Floor, pairs: list[tuple[Market, Market]]) -> None:
        self._floor = floor
        self._pairs = pairs
        self._free_from_ns = {polymarket.subject.key: 0 for polymarket, _ in pairs}
        self._count = 0
        self.started: list[PlantedEdge] = []
        self.ended: dict[str, PlantedEdge] = {}

    def plant(self) -> Window | None:
        """Start a window on a random free pair; None when none is free or none has room."""
        floor, draw = self._floor, self._floor.rng
        free = [p for p in self._pairs if self._free_from_ns[p[0].subject.key] <= floor.now_ns]
        draw.shuffle(free)
        for polymarket, kalshi in free:
            choices = [(s, b, m) for s, b in ((polymarket, kalshi), (kalshi, polymarket)) for m in (s, b)]
            draw.shuffle(choices)
            for seller, buyer, moved in choices:
                window = self._try(seller, buyer, moved)
                if window is not None:
                    return window
        return None

    def _try(self, seller: Market, buyer: Market, moved: Market) -> Window | None:
        """Move ``moved``'s top against the other venue's; None when the other side is empty or the band has no room."""
        floor, preset = self._floor, self._floor.preset
        wanted = floor.rng.randint(*preset.planted_net_micros)
        if moved is seller:
            fixed, price = buyer.book.best_ask, _bid_for(seller, buyer, wanted)
        else:
            fixed, price = seller.book.best_bid, _ask_for(seller, buyer, wanted)
        if price is None or fixed in (NO_ASK, NO_BID):
            return None
        low, high = preset.planted_quantity_contracts
        quantity = floor.rng.randint(low * 100, high * 100) * SIZE_STEP
        floor.frozen.add(seller.subject.key)
        still = buyer if moved is seller else seller
        self._top_up(still, fixed, quantity, is_bid=still is seller)
        self._sweep(moved, price, is_bid=moved is seller)
        displayed = quantity + floor.rng.randint(0, high * 100) * SIZE_STEP
        floor.quote(moved, moved.visitor, price, displayed, is_bid=moved is seller)
        net = net_edge(seller.book.best_bid, seller.rate, buyer.book.best_ask, buyer.rate)
        return self._open(seller, buyer, moved, net, quantity)

    def _top_up(self, market: Market, price: int, quantity: int, *, is_bid: bool) -> None:
        shown = (market.book.bids if is_bid else market.book.asks)[price]
        if shown < quantity:
            floor = self._floor
            own = market.visitor.bids if is_bid else market.visitor.asks
            floor.quote(market, market.visitor, price, own.get(price, 0) + quantity - shown, is_bid=is_bid)

    def _sweep(self, market: Market, price: int, *, is_bid: bool) -> None:
        """The impatient trader behind the dislocation takes what stands in its way."""
        book = market.book
        if is_bid:
            while book.best_ask <= price:
                self._floor.take(market, book.best_ask, book.asks[book.best_ask], taker_buys_yes=True)
        else:
            while book.best_bid >= price:
                self._floor.take(market, book.best_bid, book.bids[book.best_bid], taker_buys_yes=False)

    def _open(self, seller: Market, buyer: Market, moved: Market, net: int, quantity: int) -> Window:
        floor, preset = self._floor, self._floor.preset
        self._count += 1
        edge = PlantedEdge(
            id=f"edge-{self._count:05d}",
            pair=seller.subject.key,
            package=YES_KALSHI if buyer.venue == KALSHI else NO_KALSHI,
            moved_venue=moved.venue,
            t_start_ns=floor.now_ns,
            t_end_ns=None,
            net_micros_per_contract=net,
            quantity=quantity,
            fragile=floor.rng.random() < preset.fragile_share,
        )
        window = Window(edge, seller=seller, buyer=buyer, moved=moved)
        window.end_ns = floor.now_ns + floor.rng.randint(*preset.planted_dwell_ns)
        if edge.fragile:
            window.fragile_ns = floor.now_ns + floor.rng.randint(*preset.fragile_after_ns)
            window.vanishes = floor.rng.random() < 0.6
        self._free_from_ns[edge.pair] = window.end_ns + preset.planted_spacing_ns
        self.started.append(edge)
        floor.emitted.append(EdgeStarted(floor.now_ns, edge))
        return window

    def thin_out(self, window: Window) -> bool:
        """A fragile window's moment: the Kalshi side goes, or shrinks to a few contracts. True when the edge is dead."""
        kalshi_sells = window.seller.venue == KALSHI
        market = window.seller if kalshi_sells else window.buyer
        book = market.book
        if window.vanishes:
            self._pull_until_capped(window, market)
            self._record_end(window)
            return True
        price = book.best_bid if kalshi_sells else book.best_ask
        shown = (book.bids if kalshi_sells else book.asks)[price]
        leave = self._floor.rng.randint(300, 900) * SIZE_STEP
        self._floor.take(market, price, max(0, shown - leave), taker_buys_yes=not kalshi_sells)
        return False

    def finish(self, window: Window) -> None:
        """End the window: rivals take or makers pull the dislocated top, the topped-up size goes, the pair thaws."""
        moved = window.moved
        is_bid = moved is window.seller
        own = moved.visitor.bids if is_bid else moved.visitor.asks
        for price in list(own):
            if self._floor.rng.random() < 0.6:
                self._floor.take(moved, price, own[price], taker_buys_yes=not is_bid)
            if price in own:
                self._floor.quote(moved, moved.visitor, price, 0, is_bid=is_bid)
        self._pull_until_capped(window, moved)
        still = window.buyer if is_bid else window.seller
        for price in list(still.visitor.asks if is_bid else still.visitor.bids):
            self._floor.quote(still, still.visitor, price, 0, is_bid=not is_bid)
        if window.edge.id not in self.ended:
            self._record_end(window)
        self._floor.frozen.discard(window.edge.pair)
        self._free_from_ns[window.edge.pair] = self._floor.now_ns + self._floor.preset.planted_spacing_ns

    def _pull_until_capped(self, window: Window, market: Market) -> None:
        """Owners cancel ``market``'s tops of the package until the net edge obeys the cap."""
        floor = self._floor
        is_bid = market is window.seller
        cap = floor.preset.net_cap_micros
        while True:
            bid, ask = window.seller.book.best_bid, window.buyer.book.best_ask
            if bid == NO_BID or ask == NO_ASK or net_edge(bid, window.seller.rate, ask, window.buyer.rate) <= cap:
                return
            price = bid if is_bid else ask
            for owner in (*market.makers, market.visitor):
                if price in (owner.bids if is_bid else owner.asks):
                    floor.quote(market, owner, price, 0, is_bid=is_bid)

    def _record_end(self, window: Window) -> None:
        ended = replace(window.edge, t_end_ns=self._floor.now_ns)
        self.ended[ended.id] = ended
        self._floor.emitted.append(EdgeEnded(self._floor.now_ns, ended))


def _bid_for(seller: Market, buyer: Market, wanted: int) -> int | None:
    """The lowest legal bid of ``seller`` that nets ``wanted`` against ``buyer``'s ask; None beyond the band."""
    ask, grid = buyer.book.best_ask, seller.grid
    bid = grid.ceil(min(grid.highest, ask + wanted))
    while net_edge(bid, seller.rate, ask, buyer.rate) < wanted:
        if bid >= grid.highest - CENT:
            return None
        bid = grid.above(bid)
    return bid if bid > seller.book.best_bid else None


def _ask_for(seller: Market, buyer: Market, wanted: int) -> int | None:
    """The highest legal ask of ``buyer`` that nets ``wanted`` against ``seller``'s bid; None beyond the band."""
    bid, grid = seller.book.best_bid, buyer.grid
    ask = grid.floor(max(grid.lowest, bid - wanted))
    while net_edge(bid, seller.rate, ask, buyer.rate) < wanted:
        if ask <= grid.lowest + CENT:
            return None
        ask = grid.below(ask)
    return ask if ask < buyer.book.best_ask else None
