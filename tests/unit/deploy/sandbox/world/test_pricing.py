"""Grids, fees and wire text of the sandbox against independent readings."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.world.pricing import (
    KALSHI_STRUCTURES,
    KALSHI_TAKER_RATE,
    MICROS,
    Grid,
    contracts,
    dollars,
    even_grid,
    net_edge,
    plain,
    taker_fee,
)

GRIDS = [*KALSHI_STRUCTURES.values(), even_grid(10_000), even_grid(1_000), even_grid(2_500)]


@given(st.sampled_from(GRIDS), st.integers(0, MICROS))
def test_floor_and_ceil_are_the_legal_neighbours(grid: Grid, price: int) -> None:
    low, high = grid.floor(price), grid.ceil(price)
    assert grid.contains(low)
    assert grid.contains(high)
    if grid.lowest <= price <= grid.highest:
        assert low <= price <= high
        assert grid.contains(price) == (low == price == high)


@given(st.sampled_from(GRIDS), st.integers(1, 99))
def test_whole_cents_are_always_legal_on_cent_grids(grid: Grid, cents: int) -> None:
    if all(10_000 % step == 0 for _, _, step in grid.ranges):
        assert grid.contains(cents * 10_000)


def test_the_tapered_grid_is_fine_at_both_ends_only() -> None:
    grid = KALSHI_STRUCTURES["tapered_deci_cent"]
    assert [grid.above(99_000), grid.above(100_000), grid.below(100_000), grid.below(110_000)] == [
        100_000,
        110_000,
        99_000,
        100_000,
    ]
    assert [grid.above(890_000), grid.above(900_000), grid.below(900_000)] == [900_000, 901_000, 890_000]
    assert (grid.lowest, grid.highest) == (1_000, 999_000)


@pytest.mark.parametrize(
    ("rate", "price", "per_hundred"),
    [
        (70_000, 500_000, 1_750_000),  # Polymarket crypto, 100 at 0.50
        (50_000, 300_000, 1_050_000),  # sports, 100 at 0.30
        (KALSHI_TAKER_RATE, 50_000, 332_500),
        (KALSHI_TAKER_RATE, 900_000, 630_000),
        (0, 420_000, 0),  # geopolitics
    ],
)
def test_fees_meet_the_worked_examples(rate: int, price: int, per_hundred: int) -> None:
    assert taker_fee(rate, price) * 100 == per_hundred


@given(st.integers(0, 100_000), st.integers(1_000, 999_000))
def test_a_fee_is_the_exact_one_rounded_up(rate: int, price: int) -> None:
    exact = Fraction(rate * price * (MICROS - price), MICROS * MICROS)
    assert 0 <= taker_fee(rate, price) - exact < 1


def test_the_net_edge_pays_both_fees() -> None:
    assert net_edge(560_000, 40_000, 500_000, 70_000) == 560_000 - 500_000 - 9_856 - 17_500


def test_wire_text() -> None:
    assert [dollars(470_000), dollars(1_000), dollars(MICROS)] == ["0.4700", "0.0010", "1.0000"]
    assert [contracts(3_000_000), contracts(-1_230_000), contracts(10_000)] == ["3.00", "-1.23", "0.01"]
    assert [plain(100_000), plain(1_123_000_000), plain(194_220_000), plain(0)] == ["0.1", "1123", "194.22", "0"]
