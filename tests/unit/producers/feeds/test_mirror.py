"""The mirror's best prices equal those of its levels after any sequence of changes."""

from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.mirror import BookMirror

changes = st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 3)), max_size=60)


@given(changes)
def test_best_prices_follow_the_levels(moves: list[tuple[bool, int, int]]) -> None:
    mirror = BookMirror()
    sides: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for is_bid, price, size in moves:
        changed = mirror.set(price, size, is_bid=is_bid)
        assert changed == (sides[is_bid].get(price, 0) != size)
        sides[is_bid][price] = size
        bids = sorted((p for p, s in sides[True].items() if s), reverse=True)
        asks = sorted(p for p, s in sides[False].items() if s)
        assert mirror.best_bid == (bids[0] if bids else None)
        assert mirror.best_ask == (asks[0] if asks else None)
        assert mirror.crossed == bool(bids and asks and bids[0] >= asks[0])
        assert mirror.levels()[0] == tuple(bids)
        assert mirror.levels()[2] == tuple(asks)
