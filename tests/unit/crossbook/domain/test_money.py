"""Money: text to micros and back, exact to the last digit."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossbook.domain.errors import MoneyError
from crossbook.domain.money import (
    MICROS,
    ceil_div,
    cost_micros,
    cost_micros_exact,
    floor_div,
    format_cents,
    format_micros,
    format_rounded,
    parse_micros,
    parse_price,
    parse_size,
)

amounts = st.integers(-(10**18) + 1, 10**18 - 1)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.4700", 470_000),
        ("374.34", 374_340_000),
        ("-3.00", -3_000_000),
        ("0", 0),
        ("-0.00", 0),
        ("1", 1_000_000),
        ("25", 25_000_000),
        (".48", 480_000),
        ("-.5", -500_000),
        ("007.10", 7_100_000),
        ("0.000001", 1),
        ("0.0000010000", 1),
        ("123456.123456", 123_456_123_456),
        ("999999999999.999999", 10**18 - 1),
        ("0000000000000000001.5", 1_500_000),
        ("0.0123450000000000000000", 12_345),
    ],
)
def test_venue_decimals_become_exact_micros(text, micros):
    assert parse_micros(text) == micros


REFUSED = [
    "",
    ".",
    "-",
    "-.",
    "5.",
    "+1",
    "--1",
    "1-",
    "1.2.3",
    "1,000",
    "1_000",
    "0.1_0",
    " 1",
    "1 ",
    "1\n",
    "0. 5",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "1e400",
    "1E5",
    "1e-7",
    "0x10",
    "0.0000001",
    "0.12345678",
    "１.5",
    "0.٥",
    "²",
    "1.²",
    "½",
    "1000000000000",
    "1000000000000.0",
    "9" * 41,
    "0." + "0" * 41,
    "1" * 1_000_000,
    "null",
    "\x00",
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:20])
def test_anything_else_is_refused(text):
    for parse in (parse_micros, parse_price, parse_size):
        with pytest.raises(MoneyError) as caught:
            parse(text)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "value",
    [None, 0.47, 1, True, b"0.47", Decimal("0.47"), math.inf, [], {}, b"0.47000000000000", ["0.47"] * 20],
    ids=repr,
)
def test_only_text_is_an_amount(value):
    for parse in (parse_micros, parse_price, parse_size):
        with pytest.raises(MoneyError, match="not text"):
            parse(value)


def test_a_price_is_between_nothing_and_a_dollar():
    assert (parse_price("0.0000"), parse_price("1.0000"), parse_price("0.9999")) == (0, MICROS, 999_900)
    for text in ("1.000001", "-0.01", "47"):
        with pytest.raises(MoneyError, match=r"0\.\.1"):
            parse_price(text)


def test_a_size_is_not_negative():
    assert (parse_size("0"), parse_size("0.01"), parse_size("-0.00")) == (0, 10_000, 0)
    with pytest.raises(MoneyError, match="negative"):
        parse_size("-0.01")


@given(amounts)
def test_formatting_and_parsing_are_inverse(micros):
    assert parse_micros(format_micros(micros)) == micros
    assert parse_micros(format_micros(micros, 6)) == micros
    assert Decimal(format_micros(micros)) * MICROS == micros


@given(amounts, st.integers(0, 12))
def test_padding_with_zeros_changes_nothing(micros, zeros):
    assert parse_micros(format_micros(micros, 6) + "0" * zeros) == micros


@given(st.text(max_size=24))
@example("1e5")
@example("١")
def test_parsing_is_exact_or_a_named_error(text):
    try:
        micros = parse_micros(text)
    except MoneyError:
        return
    assert Fraction(text) * MICROS == micros


@given(st.text("0123456789.-", max_size=24))
def test_parsing_agrees_with_decimals_where_both_speak(text):
    try:
        micros = parse_micros(text)
    except MoneyError:
        return
    assert Decimal(text) * MICROS == micros


def test_exact_formatting_pads_and_never_drops_a_digit():
    assert format_micros(470_000) == "0.47"
    assert format_micros(470_000, 4) == "0.4700"
    assert format_micros(-3_000_000, 2) == "-3.00"
    assert format_micros(-1) == "-0.000001"
    assert format_micros(5_000_000) == format_micros(5_000_000, 0) == "5"
    assert format_micros(0) == "0"
    with pytest.raises(MoneyError, match="needs 3 places"):
        format_micros(475_000 - 500_000, 2)
    with pytest.raises(MoneyError, match=r"0\.\.6"):
        format_micros(1, 7)


def test_formatting_for_people_rounds_half_away_from_zero():
    assert format_rounded(1_005_000, 2) == "1.01"
    assert format_rounded(-1_005_000, 2) == "-1.01"
    assert format_rounded(-4, 2) == "0.00"
    assert format_rounded(1_004_999, 2) == "1.00"
    assert format_rounded(7, 6) == "0.000007"
    assert format_cents(10_031) == "1.0031"
    assert format_cents(-25_000) == "-2.5"
    assert format_cents(20_445, 2) == "2.04"
    assert format_cents(20_450, 2) == "2.05"
    for places in (-1, 7):
        with pytest.raises(MoneyError):
            format_rounded(1, places)
    with pytest.raises(MoneyError):
        format_cents(1, 5)


@given(st.integers(), st.integers(1, 10**30))
def test_divisions_bracket_the_quotient(numerator, denominator):
    assert ceil_div(numerator, denominator) == math.ceil(Fraction(numerator, denominator))
    assert floor_div(numerator, denominator) == math.floor(Fraction(numerator, denominator))


@given(st.integers(0, MICROS), st.integers(0, 10**12))
def test_cost_covers_the_exact_amount_by_less_than_a_micro(price, quantity):
    exact = Fraction(price * quantity, MICROS)
    cost = cost_micros(price, quantity)
    assert 0 <= cost - exact < 1
    if exact.denominator == 1:
        assert cost_micros_exact(price, quantity) == cost
    else:
        with pytest.raises(MoneyError, match="no whole micros"):
            cost_micros_exact(price, quantity)
