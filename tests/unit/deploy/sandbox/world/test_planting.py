"""Planted edges are what they claim to be, and nothing else is."""

import itertools
from collections import defaultdict

import pytest

from deploy.sandbox.world.floor import Market, package_nets
from deploy.sandbox.world.happenings import EdgeEnded, EdgeStarted, PlantedEdge
from deploy.sandbox.world.planting import YES_KALSHI
from deploy.sandbox.world.world import World

SECOND = 1_000_000_000
THRESHOLD, CLEARLY_BELOW = 35_000, 15_000


def tops(mine: Market, theirs: Market, package: str) -> tuple[int, int]:
    """Displayed sizes of the two tops that the package takes."""
    if package == YES_KALSHI:
        return mine.book.bids.get(mine.book.best_bid, 0), theirs.book.asks.get(theirs.book.best_ask, 0)
    return mine.book.asks.get(mine.book.best_ask, 0), theirs.book.bids.get(theirs.book.best_bid, 0)


@pytest.mark.parametrize("seed", [7, 11])
@pytest.mark.parametrize("rate", [300, 2_000])
def test_inside_windows_the_edge_holds_and_outside_none_does(seed: int, rate: int) -> None:
    world = World(preset="eventful", seed=seed, rate_updates_per_s=rate)
    pairs = {mine.subject.key: (mine, theirs) for mine, theirs in world.pairs}
    active: dict[str, PlantedEdge] = {}
    seen = 0
    for step in world.steps(20 * SECOND):
        for event in step:
            if isinstance(event, EdgeStarted):
                assert event.edge.pair not in active, "never two at once on one pair"
                active[event.edge.pair] = event.edge
                mine, theirs = pairs[event.edge.pair]
                assert min(tops(mine, theirs, event.edge.package)) >= event.edge.quantity >= 20_000_000
            elif isinstance(event, EdgeEnded):
                del active[event.edge.pair]
        for key, (mine, theirs) in pairs.items():
            nets = dict(zip((YES_KALSHI, "no_kalshi_yes_polymarket"), package_nets(mine, theirs), strict=True))
            edge = active.get(key)
            if edge is not None:
                seen += 1
                net = nets.pop(edge.package)
                assert net is not None
                assert net == edge.net_micros_per_contract >= THRESHOLD
                if not edge.fragile:
                    assert min(tops(mine, theirs, edge.package)) >= edge.quantity
            assert max((net for net in nets.values() if net is not None), default=0) <= CLEARLY_BELOW
    assert seen


@pytest.fixture(scope="module")
def minute_of_truth() -> list[PlantedEdge]:
    world = World(preset="eventful", seed=7, rate_updates_per_s=200)
    world.advance(180 * SECOND)
    return [world.planter.ended.get(edge.id, edge) for edge in world.planter.started]


def test_density_is_about_two_in_three_seconds(minute_of_truth: list[PlantedEdge]) -> None:
    assert 95 <= len(minute_of_truth) <= 130


def test_dwell_and_spacing(minute_of_truth: list[PlantedEdge]) -> None:
    by_pair: dict[str, list[PlantedEdge]] = defaultdict(list)
    for edge in minute_of_truth:
        by_pair[edge.pair].append(edge)
        if edge.t_end_ns is not None:
            dwell = edge.t_end_ns - edge.t_start_ns
            low = 150_000_000 if edge.fragile else 800_000_000
            assert low <= dwell <= 2_500_000_000
    assert len(by_pair) == 6, "every pair gets its share"
    for edges in by_pair.values():
        for before, after in itertools.pairwise(edges):
            assert before.t_end_ns is not None
            assert after.t_start_ns - before.t_end_ns >= 6 * SECOND


def test_both_packages_both_venues_and_some_fragile(minute_of_truth: list[PlantedEdge]) -> None:
    assert len({(edge.package, edge.moved_venue) for edge in minute_of_truth}) == 4
    fragile = sum(edge.fragile for edge in minute_of_truth)
    assert 0.12 * len(minute_of_truth) <= fragile <= 0.4 * len(minute_of_truth)
    assert any(e.fragile and e.t_end_ns and e.t_end_ns - e.t_start_ns <= 400_000_000 for e in minute_of_truth)


def test_ids_are_unique_and_ordered(minute_of_truth: list[PlantedEdge]) -> None:
    ids = [edge.id for edge in minute_of_truth]
    assert ids == sorted(set(ids))
