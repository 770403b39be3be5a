"""What the world tells its venues: the events of ``World.advance``, in order, in simulated nanoseconds since the start.

Decides the shape only. Prices and sizes are micros; books are in YES terms (a bid for NO at q is an ask of YES at 1-q).
Named tuples, because thousands are made each second.
"""

from dataclasses import dataclass
from typing import NamedTuple


class LevelSet(NamedTuple):
    """One price level took a new absolute size (0: gone); the best prices are those right after it."""

    t_ns: int
    market: int
    is_bid: bool
    price: int
    size: int
    delta: int
    best_bid: int
    best_ask: int


class TradeDone(NamedTuple):
    """A public trade; ``taker_buys_yes`` when the taker lifted an ask of YES."""

    t_ns: int
    market: int
    taker_buys_yes: bool
    price: int
    size: int


class TickChanged(NamedTuple):
    """A Polymarket market moved to another tick."""

    t_ns: int
    market: int
    old_tick: int
    new_tick: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedEdge:
    """One planted dislocation: the truth against which found and false edges are counted.

    ``quantity`` (micro contracts) is what both tops display at the start; ``net_micros_per_contract`` is after both
    taker fees. ``t_end_ns`` is None while the window is open. ``fragile``: the Kalshi (hedge) side thins out early.
    """

    id: str
    pair: str
    package: str
    moved_venue: str
    t_start_ns: int
    t_end_ns: int | None
    net_micros_per_contract: int
    quantity: int
    fragile: bool


class EdgeStarted(NamedTuple):
    t_ns: int
    edge: PlantedEdge


class EdgeEnded(NamedTuple):
    t_ns: int
    edge: PlantedEdge


WorldEvent = LevelSet | TradeDone | TickChanged | EdgeStarted | EdgeEnded
