"""How makers quote, the public trades and rivals take: the everyday behaviour of the floor.

Decides prices from each maker's own lagged view. Its law: no quote may raise the net edge against the other venue's top
above the preset's cap; a maker that would is held back until the other venue has moved. Only improvements of a top can
raise an edge, so guarding each placement is enough, and planted windows are the only exceptions.
"""

from deploy.sandbox.world.floor import Floor, Maker, Market, package_nets
from deploy.sandbox.world.pricing import NO_ASK, NO_BID, net_edge


def requote(floor: Floor, market: Market, maker: Maker) -> None:
    """Move one maker's ladder to its own view of the price: pull what is too bold, take what is stale, then place."""
    view = market.view_at(floor.now_ns - maker.lag_ns)
    grid = market.grid
    bid = guarded_bid(floor, market, grid.floor(view - maker.half_spread))
    ask = guarded_ask(floor, market, grid.ceil(view + maker.half_spread))
    if ask <= bid:
        ask = grid.above(bid)
    before = floor.updates
    for price in [p for p in maker.bids if p > bid]:
        floor.quote(market, maker, price, 0, is_bid=True)
    for price in [p for p in maker.asks if p < ask]:
        floor.quote(market, maker, price, 0, is_bid=False)
    bid, ask = _clear_the_way(floor, market, bid, ask)
    if bid:
        _place(floor, market, maker, bid, is_bid=True)
    if ask < NO_ASK:
        _place(floor, market, maker, ask, is_bid=False)
    if floor.updates == before:
        resize(floor, market, maker)


def _clear_the_way(floor: Floor, market: Market, bid: int, ask: int) -> tuple[int, int]:
    """Stale quotes of the own venue in the way: take the top level half of the time, else stand back behind it.

    Returns the bid and the ask that cross nothing, or ``NO_BID`` and ``NO_ASK`` where there is no room left.
    """
    book, grid = market.book, market.grid
    if bid >= book.best_ask:
        if floor.rng.random() < 0.5:
            floor.take(market, book.best_ask, book.asks[book.best_ask], taker_buys_yes=True)
        if bid >= book.best_ask:
            bid = grid.below(book.best_ask) if book.best_ask > grid.lowest else NO_BID
    if ask <= book.best_bid:
        if floor.rng.random() < 0.5:
            floor.take(market, book.best_bid, book.bids[book.best_bid], taker_buys_yes=False)
        if ask <= book.best_bid:
            ask = grid.above(book.best_bid) if book.best_bid < grid.highest else NO_ASK
    if ask <= bid:  # the quote before may have moved under this one: the ask yields
        ask = grid.above(bid) if bid < grid.highest else NO_ASK
    return bid, ask


def _place(floor: Floor, market: Market, maker: Maker, best: int, *, is_bid: bool) -> None:
    """The best level if it is not there, one deeper level if the ladder is short, and none beyond the depth."""
    own, grid = (maker.bids, market.grid) if is_bid else (maker.asks, market.grid)
    if best not in own:
        floor.quote(market, maker, best, floor.draw_size(maker.size_base), is_bid=is_bid)
    while len(own) > maker.depth:
        floor.quote(market, maker, min(own) if is_bid else max(own), 0, is_bid=is_bid)
    if len(own) < maker.depth:
        deeper = grid.below(min(own), maker.stride) if is_bid else grid.above(max(own), maker.stride)
        if deeper not in own:
            floor.quote(market, maker, deeper, floor.draw_size(2 * maker.size_base), is_bid=is_bid)


def resize(floor: Floor, market: Market, maker: Maker) -> None:
    """Another size at one of the maker's own levels; in a frozen subject never at a top."""
    is_bid = floor.rng.random() < 0.5
    own = maker.bids if is_bid else maker.asks
    prices = list(own)
    if market.subject.key in floor.frozen:
        book = market.book
        prices = [p for p in prices if p not in {book.best_bid, book.best_ask}]
    if not prices:
        return
    price = prices[int(floor.rng.random() * len(prices))]
    floor.quote(market, maker, price, floor.draw_size(maker.size_base), is_bid=is_bid)


def guarded_bid(floor: Floor, market: Market, bid: int) -> int:
    """The highest legal bid up to ``bid`` whose net edge against the other venue's ask keeps to the cap."""
    twin = market.twin
    if twin is None or twin.book.best_ask == NO_ASK:
        return bid
    cap, ask, grid = floor.preset.net_cap_micros, twin.book.best_ask, market.grid
    while bid > grid.lowest and net_edge(bid, market.rate, ask, twin.rate) > cap:
        bid = grid.below(bid)
    return bid


def guarded_ask(floor: Floor, market: Market, ask: int) -> int:
    """The lowest legal ask from ``ask`` up whose net edge against the other venue's bid keeps to the cap."""
    twin = market.twin
    if twin is None or twin.book.best_bid == NO_BID:
        return ask
    cap, bid, grid = floor.preset.net_cap_micros, twin.book.best_bid, market.grid
    while ask < grid.highest and net_edge(bid, twin.rate, ask, market.rate) > cap:
        ask = grid.above(ask)
    return ask


def public_trade(floor: Floor, market: Market) -> None:
    """Somebody without a view trades a part or all of a top."""
    buys = floor.rng.random() < 0.5
    book = market.book
    price = book.best_ask if buys else book.best_bid
    if price in (NO_ASK, NO_BID):
        return
    floor.take(market, price, floor.draw_size(25), taker_buys_yes=buys)


def rival_takes(floor: Floor, polymarket: Market, kalshi: Market) -> None:
    """Rivals take the cross-venue edge that they noticed, if it is still there: the smaller top on both venues."""
    nets = package_nets(polymarket, kalshi)
    for net, seller, buyer in ((nets[0], polymarket, kalshi), (nets[1], kalshi, polymarket)):
        if net is None or net <= floor.preset.rival_net_micros:
            continue
        bid, ask = seller.book.best_bid, buyer.book.best_ask
        size = min(seller.book.bids[bid], buyer.book.asks[ask])
        floor.take(seller, bid, size, taker_buys_yes=False)
        floor.take(buyer, ask, size, taker_buys_yes=True)
