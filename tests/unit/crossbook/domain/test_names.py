"""Names of venues and instruments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.errors import SymbolError
from crossbook.domain.names import (
    KALSHI,
    POLYMARKET,
    VENUES,
    complement,
    instrument_id,
    parse_instrument_id,
    parse_venue,
)

symbols = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)


def test_the_venues_are_named_once():
    assert tuple(VENUES) == (POLYMARKET, KALSHI) == ("polymarket", "kalshi")


@given(st.sampled_from(tuple(VENUES)), symbols)
def test_an_id_parses_to_what_made_it(venue, symbol):
    assert parse_instrument_id(instrument_id(venue, symbol)) == (venue, symbol)


def test_a_symbol_may_hold_a_colon():
    assert parse_instrument_id("kalshi:KX:A-B") == ("kalshi", "KX:A-B")


@pytest.mark.parametrize("symbol", ["", "a b", "a\n", "é", "x" * 201, "\t", "\x7f"])
def test_a_symbol_that_no_venue_writes_is_refused(symbol):
    with pytest.raises(SymbolError):
        instrument_id("kalshi", symbol)
    with pytest.raises(SymbolError):
        parse_instrument_id(f"kalshi:{symbol}")


@pytest.mark.parametrize("text", ["", "kalshi", "Kalshi:A", ":A", "binance:A", "kalshi :A"])
def test_an_id_without_a_known_venue_is_refused(text):
    with pytest.raises(SymbolError):
        parse_instrument_id(text)


def test_an_unknown_venue_is_refused_by_name():
    with pytest.raises(SymbolError, match="polymarket, kalshi"):
        parse_venue("nyse")


@given(st.integers(0, 1_000_000))
def test_complement_is_its_own_inverse(price):
    assert complement(complement(price)) == price
    assert price + complement(price) == 1_000_000
