"""The spot walk: a function of its seed alone, and a lead that is as long as it says."""

import hashlib
import math

import numpy as np
import pytest

from deploy.sandbox.binance.price import START_CENTS, STEP_NS, Lead, Spot, SpotQuote, SpotTrade
from deploy.sandbox.world.presets import SECOND
from deploy.sandbox.world.world import World

MINUTE = 60 * SECOND
LED = "bitcoin-above-strike"


def digest(step_ns: int, seed: str = "a") -> str:
    spot = Spot(seed)
    h = hashlib.sha256()
    for t_ns in range(step_ns, 8 * SECOND + 1, step_ns):
        spot.log_at(t_ns - SECOND)  # a reader of the past changes nothing
        for event in spot.take(t_ns):
            assert event.t_ns <= t_ns
            h.update(repr(event).encode())
    return h.hexdigest()


def test_step_sizes_do_not_show_and_seeds_do() -> None:
    assert len({digest(step) for step in (8 * SECOND, SECOND, 5_000_000)}) == 1
    assert digest(SECOND) != digest(SECOND, "b")


def test_quotes_and_trades_make_sense() -> None:
    events = Spot("a").take(2 * MINUTE)
    quotes = [e for e in events if isinstance(e, SpotQuote)]
    trades = [e for e in events if isinstance(e, SpotTrade)]
    assert 2_000 < len(quotes) < 7_000
    assert 300 < len(trades) < 2_000
    assert all(q.ask == q.bid + 1 and q.bid_size > 0 and q.ask_size > 0 for q in quotes)
    ids = [q.update_id for q in quotes]
    assert ids == sorted(set(ids))
    numbers = [t.trade_id for t in trades]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(abs(math.log(q.bid / START_CENTS)) < 0.05 for q in quotes)


def test_the_past_is_read_as_it_was() -> None:
    spot, later = Spot("a"), Spot("a")
    then = [spot.log_at(t) for t in range(0, 5 * SECOND, STEP_NS)]
    later.log_at(10 * SECOND)
    assert [later.log_at(t) for t in range(0, 5 * SECOND, STEP_NS)] == then
    assert spot.log_at(-1) == 0.0


def test_pushes_add_up_to_the_move_of_then() -> None:
    spot, lead = Spot("a"), Lead(subject="x", lead_ns=SECOND // 2)
    total = sum(lead.push(spot, t) for t in range(0, 20 * SECOND, 100_000_000))
    assert total == pytest.approx(lead.gain * Spot("a").log_at(19_900_000_000 - SECOND // 2))


def test_a_world_without_a_lead_is_untouched_by_its_spot() -> None:
    plain = World(preset="eventful", seed=7, rate_updates_per_s=300)
    read = World(preset="eventful", seed=7, rate_updates_per_s=300)
    read.spot.take(5 * SECOND)
    assert plain.lead is None
    assert plain.advance(5 * SECOND) == read.advance(5 * SECOND)
    assert World(preset="worldcup", seed=7, rate_updates_per_s=300, spot_lead_ns=SECOND).lead is None  # no crypto there
    with pytest.raises(ValueError, match="lead"):
        World(preset="eventful", seed=7, rate_updates_per_s=300, spot_lead_ns=MINUTE)


def test_both_venues_follow_the_spot_after_the_lead_and_their_makers_lags() -> None:
    """Three minutes of mids: they move with the spot of a second ago (lead, makers' lags, their turn), and not with that of now."""
    world = World(preset="eventful", seed=7, rate_updates_per_s=300, spot_lead_ns=SECOND // 2)
    markets = [m for m in world.markets if m.subject.key == LED]
    step, span, lags = 50_000_000, 20, 60
    mids: list[list[float]] = [[], []]
    log: list[float] = []
    for t_ns in range(step, 3 * MINUTE, step):
        world.advance(t_ns)
        log.append(world.spot.log_at(t_ns))
        for market, found in zip(markets, mids, strict=True):
            found.append((market.book.best_bid + market.book.best_ask) / 2)
    assert world.planter.started
    assert all(edge.pair != LED for edge in world.planter.started)
    spot = np.array(log)[span:] - np.array(log)[:-span]
    for found in mids:
        moves = np.array(found)[span:] - np.array(found)[:-span]
        n = len(moves) - lags
        correlation = [
            float(np.corrcoef(moves[lags : lags + n], spot[lags - i : lags - i + n])[0, 1]) for i in range(lags)
        ]
        best = int(np.argmax(correlation))
        assert 700 <= best * 50 <= 1_500
        assert correlation[best] > 0.6
        assert abs(correlation[0]) < 0.3


@pytest.mark.parametrize("lead_ms", [500, 2_000])
def test_the_latent_probability_follows_the_spot_by_the_stated_time(lead_ms: int) -> None:
    """Over five minutes, moves of the logit correlate with those of the spot at the lead (the walk steps every 100 ms), not elsewhere."""
    world = World(preset="eventful", seed=11, rate_updates_per_s=60, spot_lead_ns=lead_ms * 1_000_000)
    assert world.lead is not None
    assert world.lead.subject == LED
    step = 100_000_000
    logit, log = [], []
    for t_ns in range(step, 5 * MINUTE, step):
        world.advance(t_ns)
        p = world.probability_of(LED) / 1_000_000
        logit.append(math.log(p / (1 - p)))
        log.append(world.spot.log_at(t_ns))
    moves, spot = np.diff(logit), np.diff(log)
    n = len(moves) - 40
    correlation = [float(np.corrcoef(moves[40 : 40 + n], spot[40 - lag : 40 - lag + n])[0, 1]) for lag in range(40)]
    best = int(np.argmax(correlation))
    assert lead_ms // 100 <= best <= lead_ms // 100 + 1
    assert correlation[best] > 0.6
    assert max(abs(c) for lag, c in enumerate(correlation) if abs(lag - best) > 1) < 0.2
