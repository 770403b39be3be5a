"""Price grids, taker fees and wire text of the sandbox, in integer micros (10^-6 dollar or contract).

Decides what a legal price is and what a package of two legs nets. It is written apart from ``crossbook.domain``
on purpose: a second reading of both venues' rules. It must never use a float for a price, a size or a fee.
"""

from dataclasses import dataclass
from functools import lru_cache

MICROS = 1_000_000
SIZE_STEP = 10_000  # 0.01 contract or share, the step of both venues
CENT = 10_000
NO_BID = 0  # best bid of an empty side
NO_ASK = MICROS  # best ask of an empty side

POLYMARKET = "polymarket"
KALSHI = "kalshi"
BINANCE = "binance"


@dataclass(frozen=True, slots=True)
class Grid:
    """Legal prices as ``(start, end, step)`` ranges in micros, ascending and touching; 0 and 1 dollar are not legal."""

    ranges: tuple[tuple[int, int, int], ...]

    @property
    def lowest(self) -> int:
        return self.ranges[0][2]

    @property
    def highest(self) -> int:
        return MICROS - self.ranges[-1][2]

    def floor(self, price: int) -> int:
        """Largest legal price at or below ``price``, clamped into the legal band."""
        for start, end, step in self.ranges:
            if price < end:
                return max(self.lowest, min(self.highest, start + (price - start) // step * step))
        return self.highest

    def ceil(self, price: int) -> int:
        """Smallest legal price at or above ``price``, clamped into the legal band."""
        for start, end, step in self.ranges:
            if price <= end:
                return max(self.lowest, min(self.highest, start - (start - price) // step * step))
        return self.highest

    def below(self, price: int, distance: int = 1) -> int:
        """Largest legal price at least ``distance`` micros below ``price``."""
        return self.floor(price - distance)

    def above(self, price: int, distance: int = 1) -> int:
        """Smallest legal price at least ``distance`` micros above ``price``."""
        return self.ceil(price + distance)

    def contains(self, price: int) -> bool:
        return self.lowest <= price <= self.highest and self.floor(price) == price


def even_grid(step: int) -> Grid:
    """One step over the whole band: every Polymarket tick, Kalshi's ``linear_cent`` and ``deci_cent``."""
    return Grid(((0, MICROS, step),))


# Kalshi names the structure, the ranges decide (kalshi.md 2.5).
KALSHI_STRUCTURES: dict[str, Grid] = {
    "linear_cent": even_grid(10_000),
    "deci_cent": even_grid(1_000),
    "tapered_deci_cent": Grid(((0, 100_000, 1_000), (100_000, 900_000, 10_000), (900_000, MICROS, 1_000))),
}

KALSHI_TAKER_RATE = 70_000  # 0.07, times the series multiplier


@lru_cache(maxsize=65_536)
def taker_fee(rate: int, price: int) -> int:
    """Fee in micros for one contract: rate x p x (1 - p), rounded up; ``rate`` in micros (0.07 = 70,000)."""
    return -(-rate * price * (MICROS - price) // (MICROS * MICROS))


def net_edge(bid: int, bid_rate: int, ask: int, ask_rate: int) -> int:
    """Net micros per contract of buying YES at ``ask`` on one venue and NO at ``1 - bid`` on the other, both as taker."""
    return bid - ask - taker_fee(bid_rate, bid) - taker_fee(ask_rate, ask)


@lru_cache(maxsize=65_536)
def dollars(price: int) -> str:
    """Kalshi's price text: four digits after the point."""
    return f"{price // MICROS}.{price % MICROS // 100:04d}"


def contracts(size: int) -> str:
    """Kalshi's count text, signed, two digits after the point."""
    sign, size = ("-", -size) if size < 0 else ("", size)
    return f"{sign}{size // MICROS}.{size % MICROS // 10_000:02d}"


@lru_cache(maxsize=65_536)
def plain(amount: int) -> str:
    """Polymarket's number text: no trailing zeros, no point for whole numbers."""
    whole, rest = divmod(amount, MICROS)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
