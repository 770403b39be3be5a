"""What a venue says about trading reaches every fold of the log in time: pauses, inactive markets, closes, fees, outcomes.

The books of the sandbox go on meanwhile, so that whoever traded through a pause would be seen to. A pause is known by the poll, the rest is told by the
socket; a close is the clock's.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import InstrumentSettled, VenueStatus
from tests.integration.sandbox_producers import World, approval


@pytest.fixture
def world(kafka, tmp_path: Path) -> Iterator[World]:
    """The sandbox and the stage, books up, the first pair approved."""
    world = World(tmp_path, kafka.bootstrap)
    try:
        world.start()
        world.say(approval(*world.pair_ids()))
        world.until("books usable", lambda: bool(world.ids) and world.all_usable())
        yield world
    finally:
        world.close()


def shut(world: World, instrument_id: str) -> str:
    return world.state.hours(instrument_id).shut


def test_what_the_venue_says_about_trading_is_in_the_log_in_time(world: World) -> None:
    polymarket, kalshi = world.pair_ids()
    ticker = kalshi.partition(":")[2]
    first = next(one for one in world.records if isinstance(one, VenueStatus))
    assert (first.trading_active, "not yet said" in first.reason) == (False, True)

    # a pause of the exchange, known by the poll; the other venue goes on
    world.fault(venue="kalshi", fault="pause", seconds=8)
    world.until("paused", lambda: shut(world, kalshi) == "venue_halted")
    assert not world.state.usable(kalshi) and shut(world, polymarket) == ""
    world.until("resumed", lambda: world.state.usable(kalshi))

    # an inactive market, told by the socket; REST says the same
    world.fault(venue="kalshi", fault="deactivate", instrument=ticker, seconds=6)
    world.until("inactive", lambda: shut(world, kalshi) == "inactive")
    world.until("active", lambda: world.state.usable(kalshi))

    # a fee override, told by the socket, holds from there on
    world.fault(venue="kalshi", fault="fee_override", instrument=ticker, count=20)
    rate = lambda: world.state.schedule(kalshi, world.state.now_ns).taker_rate_ppm  # noqa: E731 - asked again and again
    world.until("dearer", lambda: rate() == 140_000)

    # a close that moves nearer: the clock ends trading, nothing else is said
    world.fault(venue="kalshi", fault="close", instrument=ticker, seconds=4)
    close_ns = lambda: world.state.instruments[kalshi].ts_close_ns or 0  # noqa: E731 - asked again and again
    world.until("the close moved", lambda: 0 < close_ns() - world.state.now_ns < 5 * 10**9)
    assert world.state.usable(kalshi)
    world.until("closed", lambda: shut(world, kalshi) == "after_close")
    assert world.state.now_ns >= close_ns()

    # the outcome: each venue states its payout
    for instrument_id, outcome in ((kalshi, "no"), (polymarket, "yes")):
        venue, _, name = instrument_id.partition(":")
        world.fault(venue=venue, fault="settle", instrument=name, kind=outcome)
    world.until("both paid", lambda: {polymarket, kalshi} <= set(world.state.settled))
    assert (world.state.settled[kalshi], world.state.settled[polymarket]) == (0, 1_000_000)
    assert len([one for one in world.records if isinstance(one, InstrumentSettled)]) == 2
