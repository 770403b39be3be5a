"""Price grids: which prices are on them, and roundings to them."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossbook.domain.errors import GridError
from crossbook.domain.grid import POLYMARKET_TICKS_MICROS, PriceGrid, complement
from crossbook.domain.money import MICROS
from schemas.records import PriceRange


def ranges(*rows):
    return tuple(PriceRange(start_micros=start, end_micros=end, tick_micros=tick) for start, end, tick in rows)


def three(edge, center, low):
    return ranges((0, low, edge), (low, MICROS - low, center), (MICROS - low, MICROS, edge))


KALSHI = {
    "linear_cent": ranges((0, MICROS, 10_000)),
    "tapered_deci_cent": three(1_000, 10_000, 100_000),
    "deci_cent": ranges((0, MICROS, 1_000)),
    "center_half_edge_half_cent": ranges((0, MICROS, 5_000)),
    "center_quint_edge_quint_cent": ranges((0, MICROS, 2_000)),
    "center_centi_edge_centi_cent": ranges((0, MICROS, 100)),
    "center_deci_edge_centi_cent": three(100, 1_000, 10_000),
}
prices = st.integers(0, MICROS)


@st.composite
def grids(draw):
    """Any list of ascending ranges that the module accepts."""
    ticks = st.sampled_from([1, 7, 100, 250, 1_000, 2_500, 10_000, 100_000])
    cuts = sorted(draw(st.sets(st.integers(0, MICROS // 100), min_size=2, max_size=6)))
    rows = [(low * 100, high * 100, draw(ticks)) for low, high in pairwise(cuts) if draw(st.booleans())]
    assume(rows)
    try:
        return PriceGrid.from_ranges(ranges(*rows))
    except GridError:
        assume(False)


any_grid = st.one_of(
    grids(),
    st.sampled_from([PriceGrid.from_ranges(one) for one in KALSHI.values()]),
    st.sampled_from([PriceGrid.linear(tick) for tick in sorted(POLYMARKET_TICKS_MICROS)]),
)


def valid_prices(grid):
    """The grid's prices by the definition of its record."""
    return sorted(
        {price for one in grid.ranges for price in range(one.start_micros, one.end_micros + 1, one.tick_micros)}
    )


@pytest.mark.parametrize("tick", sorted(POLYMARKET_TICKS_MICROS))
def test_polymarket_prices_run_from_tick_to_one_minus_tick(tick):
    grid = PriceGrid.linear(tick)
    assert valid_prices(grid) == list(range(tick, MICROS, tick))
    assert (grid.lowest_micros, grid.highest_micros, grid.tick_min_micros) == (tick, MICROS - tick, tick)
    assert not any(
        grid.contains(price) for price in (0, MICROS, tick - 1, tick + 1, MICROS - tick + 1, -tick, 2 * MICROS)
    )


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("linear_cent", 99),
        ("tapered_deci_cent", 100 + 79 + 100),
        ("deci_cent", 999),
        ("center_half_edge_half_cent", 199),
        ("center_quint_edge_quint_cent", 499),
        ("center_centi_edge_centi_cent", 9_999),
        ("center_deci_edge_centi_cent", 100 + 979 + 100),
    ],
)
def test_kalshi_structures_hold_their_prices(name, count):
    grid = PriceGrid.from_ranges(KALSHI[name])
    assert len(valid_prices(grid)) == count
    assert all(grid.contains(cent) for cent in range(10_000, MICROS, 10_000)), "whole cents are always valid"
    assert not grid.contains(0)
    assert not grid.contains(MICROS)
    assert grid.mirrored() == grid


def test_a_tapered_grid_is_fine_only_at_its_edges():
    grid = PriceGrid.from_ranges(KALSHI["tapered_deci_cent"])
    assert grid.contains(1_000)
    assert grid.contains(99_000)
    assert not grid.contains(101_000)
    assert grid.contains(901_000)
    assert (grid.floor(109_999), grid.ceil(100_001)) == (100_000, 110_000)
    assert [grid.tick_at(price) for price in (99_999, 100_000, 899_999, 900_000)] == [1_000, 10_000, 10_000, 1_000]
    assert (grid.lowest_micros, grid.highest_micros) == (1_000, 999_000)


def test_the_venue_sends_its_ranges_as_decimals():
    rows = [
        {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
        {"start": "0.1000", "end": "1.0000", "step": "0.0100"},
    ]
    assert PriceGrid.from_decimal_ranges(rows) == PriceGrid(ranges((0, 100_000, 1_000), (100_000, MICROS, 10_000)))
    for broken in (
        {"start": "0", "end": "1"},
        {"start": "0", "end": "1", "step": "1e-2"},
        {"start": "0", "end": "1", "step": 0.01},
    ):
        with pytest.raises(GridError, match="start, end and step"):
            PriceGrid.from_decimal_ranges([broken])


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ((0, MICROS, 0),),
        ((0, MICROS, -1),),
        ((0, MICROS + 1, 100),),
        ((-100, MICROS, 100),),
        ((500_000, 400_000, 100),),
        ((0, 600_000, 100), (500_000, MICROS, 100)),
        ((500_000, MICROS, 100), (0, 500_000, 100)),
        ((0, 0, 100), (100, MICROS, 100)),
        ((0, 500, 1_000),),
        ((MICROS, MICROS, 1_000),),
        ((0, MICROS, MICROS),),
    ],
    ids=str,
)
def test_an_impossible_grid_is_refused(rows):
    with pytest.raises(GridError):
        PriceGrid(ranges(*rows))


@pytest.mark.parametrize("tick", [0, -1, 3, 7_000, 2 * MICROS, MICROS])
def test_a_linear_tick_divides_a_dollar(tick):
    with pytest.raises(GridError):
        PriceGrid.linear(tick)


def test_a_gap_belongs_to_no_range():
    grid = PriceGrid(ranges((100_000, 195_500, 10_000), (400_000, 500_000, 50_000)))
    assert valid_prices(grid)[:10] == [*range(100_000, 200_000, 10_000)]
    assert (grid.floor(300_000), grid.ceil(300_000)) == (190_000, 400_000)
    assert not grid.contains(300_000)
    with pytest.raises(GridError, match="no range"):
        grid.tick_at(300_000)
    with pytest.raises(GridError, match=r"lowest is 0\.1"):
        grid.floor(99_999)
    with pytest.raises(GridError, match=r"highest is 0\.5"):
        grid.ceil(500_001)


@given(any_grid, prices)
def test_floor_and_ceil_are_the_nearest_valid_prices(grid, price):
    below = [
        one.start_micros + (min(price, one.end_micros) - one.start_micros) // one.tick_micros * one.tick_micros
        for one in grid.ranges
        if one.start_micros <= price
    ]
    above = [
        one.end_micros - (one.end_micros - max(price, one.start_micros)) // one.tick_micros * one.tick_micros
        for one in grid.ranges
        if one.end_micros >= price
    ]
    if below:
        assert grid.floor(price) == max(below)
        assert grid.contains(grid.floor(price))
    else:
        assert price < grid.lowest_micros
        with pytest.raises(GridError):
            grid.floor(price)
    if above:
        assert grid.ceil(price) == min(above)
        assert grid.contains(grid.ceil(price))
    else:
        assert price > grid.highest_micros
        with pytest.raises(GridError):
            grid.ceil(price)
    assert grid.contains(price) == (bool(below and above) and max(below) == price == min(above))


@given(any_grid, st.data())
def test_a_valid_price_stays_where_it_is_and_has_a_tick(grid, data):
    one = data.draw(st.sampled_from(grid.ranges))
    price = data.draw(st.integers(0, (one.end_micros - one.start_micros) // one.tick_micros)) * one.tick_micros
    price += one.start_micros
    assert grid.contains(price)
    assert grid.floor(price) == grid.ceil(price) == price
    assert grid.tick_min_micros <= price <= MICROS - grid.tick_min_micros
    assert grid.tick_at(price) in {
        other.tick_micros for other in grid.ranges if other.start_micros <= price <= other.end_micros
    }


@given(any_grid)
def test_a_grid_is_rebuilt_from_its_ranges(grid):
    again = PriceGrid.from_ranges(grid.ranges)
    assert again == grid
    assert hash(again) == hash(grid)
    assert again.ranges == grid.ranges


@given(any_grid, prices)
def test_the_mirror_holds_the_complements(grid, price):
    assert grid.mirrored().contains(complement(price)) == grid.contains(price)
    assert grid.mirrored().mirrored() == grid


def test_a_grid_is_a_value():
    assert PriceGrid.linear(10_000) != PriceGrid.linear(1_000)
    assert PriceGrid.linear(10_000) != object()
    assert repr(PriceGrid.linear(10_000)) == "PriceGrid(0.01..0.99 by 0.01)"
