"""The world is a pure function of its seed, and its books keep the venues' laws."""

import hashlib
import os
import statistics
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.sandbox.world.floor import package_nets
from deploy.sandbox.world.happenings import LevelSet, TickChanged, TradeDone
from deploy.sandbox.world.pricing import NO_ASK, NO_BID, SIZE_STEP
from deploy.sandbox.world.world import World

SECOND = 1_000_000_000


def digest(world: World, until_ns: int, step_ns: int) -> str:
    h = hashlib.sha256()
    for t_ns in [*range(step_ns, until_ns, step_ns), until_ns]:
        for event in world.advance(t_ns):
            h.update(repr(event).encode())
    return h.hexdigest()


def eventful(seed: int = 7, rate: int = 300) -> World:
    return World(preset="eventful", seed=seed, rate_updates_per_s=rate)


def test_step_sizes_do_not_show() -> None:
    until = 8 * SECOND
    digests = {digest(eventful(), until, step) for step in (until, SECOND, 5_000_000, 777_777)}
    assert len(digests) == 1


def test_seeds_do_show() -> None:
    assert len({digest(eventful(seed), 2 * SECOND, SECOND) for seed in (1, 2, 3)}) == 3


def test_the_hash_seed_does_not_show() -> None:
    code = (
        "import hashlib; from deploy.sandbox.world.world import World;"
        "w = World(preset='eventful', seed=3, rate_updates_per_s=300);"
        "print(hashlib.sha256(repr(w.advance(5_000_000_000)).encode()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "12345")
    ]
    assert runs[0] == runs[1]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["eventful", "worldcup"]), st.sampled_from([60, 300, 2_000]))
def test_books_rebuilt_from_events_are_the_books(seed: int, preset: str, rate: int) -> None:
    """No crossing, every price on its grid, sizes in 0.01, tops as stated, levels as in the world."""
    world = World(preset=preset, seed=seed, rate_updates_per_s=rate)
    books = [(dict(m.book.bids), dict(m.book.asks)) for m in world.markets]
    grids = [m.grid for m in world.markets]
    for step in world.steps(6 * SECOND):
        for event in step:
            if isinstance(event, TickChanged):
                grids[event.market] = world.markets[event.market].grid
            if not isinstance(event, LevelSet):
                continue
            bids, asks = books[event.market]
            side = bids if event.is_bid else asks
            assert side.get(event.price, 0) + event.delta == event.size
            assert event.size % SIZE_STEP == 0
            if event.size:
                assert grids[event.market].contains(event.price)
                side[event.price] = event.size
            else:
                del side[event.price]
            assert max(bids, default=NO_BID) == event.best_bid < event.best_ask == min(asks, default=NO_ASK)
    assert books == [(m.book.bids, m.book.asks) for m in world.markets]


@pytest.mark.parametrize("rate", [60, 300, 3_000])
def test_the_rate_is_kept_over_both_venues(rate: int) -> None:
    world = eventful(rate=rate)
    events = world.advance(20 * SECOND)
    levels = [e for e in events if isinstance(e, LevelSet)]
    assert len(levels) == world.updates
    assert abs(len(levels) / 20 - rate) < 0.06 * rate
    by_venue = {v: sum(world.markets[e.market].venue == v for e in levels) for v in ("polymarket", "kalshi")}
    assert min(by_venue.values()) > 0.35 * len(levels)


def test_trades_happen_on_both_venues_and_sizes_are_fractional() -> None:
    world = eventful()
    events = world.advance(20 * SECOND)
    trades = [e for e in events if isinstance(e, TradeDone)]
    assert {world.markets[e.market].venue for e in trades} == {"polymarket", "kalshi"}
    assert any(e.size % 1_000_000 for e in trades)


def test_one_polymarket_market_changes_its_tick_in_life() -> None:
    events = eventful().advance(21 * SECOND)
    changes = [e for e in events if isinstance(e, TickChanged)]
    assert [(e.t_ns, e.old_tick, e.new_tick) for e in changes] == [(20 * SECOND, 10_000, 1_000)]


def test_a_coarser_tick_cancels_what_is_off_the_new_grid() -> None:
    world = eventful()
    world.advance(5 * SECOND)
    market = next(m for m in world.markets if m.venue == "polymarket" and m.tick == 1_000)
    world.change_tick(market, 10_000)
    assert any(isinstance(e, TickChanged) for e in world.drain())
    assert all(market.grid.contains(p) for p in (*market.book.bids, *market.book.asks))


@pytest.mark.parametrize("seed", [1, 7])
def test_worldcup_meets_the_recorded_match(seed: int) -> None:
    """Polled every 3.7 s: about 35 % gross-crossed, 17 % net > 0, episodes of about 2 polls, none at 2.5 cents."""
    world = World(preset="worldcup", seed=seed, rate_updates_per_s=100)
    evaluations = gross = net_positive = 0
    best = -1_000_000
    running: dict[tuple[int, int], int] = {}
    episodes: list[int] = []
    for poll in range(1, 240):
        world.advance(poll * 3_700_000_000)
        for mine, theirs in world.pairs:
            tops = (mine.book.best_bid - theirs.book.best_ask, theirs.book.best_bid - mine.book.best_ask)
            for package, net in enumerate(package_nets(mine, theirs)):
                if net is None:
                    continue
                evaluations += 1
                gross += tops[package] > 0
                net_positive += net > 0
                best = max(best, net)
                key = (mine.index, package)
                if net > 0:
                    running[key] = running.get(key, 0) + 1
                elif key in running:
                    episodes.append(running.pop(key))
    assert 0.28 < gross / evaluations < 0.42
    assert 0.12 < net_positive / evaluations < 0.22
    assert 1 <= statistics.median(episodes) <= 3
    assert 0 < best <= 20_000
    assert not world.planter.started
