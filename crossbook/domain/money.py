"""Turns venue decimals into integer micros and back, exactly.

Decides which texts are amounts: ASCII digits with an optional point and minus sign, at most six places that count, at most
twelve whole digits (so every amount fits a signed 64-bit field). Must never round on the way in, never build a number from
exponent notation, never touch a float.

Units: 1 dollar = 1 contract = 1,000,000 micros. A price is micros of a dollar a contract.
"""

from typing import NoReturn

from crossbook.domain.errors import MoneyError

MICROS = 1_000_000
MICROS_PER_CENT = 10_000
PLACES = 6
WHOLE_DIGITS_MAX = 12  # 10^12 × 10^6 micros = 10^18 < 2^63
TEXT_LENGTH_MAX = 40  # sign, 12 digits, point, 6 places, and room for the zeros that venues pad with
_SHORT = WHOLE_DIGITS_MAX + 1  # a text this short with a point cannot hold too many whole digits
_SCALE = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)  # micros of one unit in the n-th place


def parse_micros(text: str) -> int:
    """Micros of a venue's decimal string: "0.4700", "374.34", "-3.00", ".48".

    Raises MoneyError for anything else: empty, NaN, infinity, exponents, spaces, underscores, other scripts' digits, a
    seventh place that is not zero, more than twelve whole digits, and for values that are no text (a JSON number has
    already been through a float).
    """
    try:
        if len(text) <= _SHORT:
            whole, _, fraction = text.partition(".")
            if whole.isdigit() and fraction.isdigit() and len(fraction) <= PLACES and text.isascii():
                return int(whole + fraction) * _SCALE[len(fraction)]
        return _parse_unusual(text)
    except (AttributeError, TypeError):
        _refuse(text, "not text; take the venue's decimal string, not a number")


def parse_price(text: str) -> int:
    """Price in micros of a dollar, 0 to 1,000,000. Raises MoneyError outside, and where `parse_micros` does."""
    price_micros = parse_micros(text)
    if not 0 <= price_micros <= MICROS:
        _refuse(text, "outside 0..1; a price is dollars a contract")
    return price_micros


def parse_size(text: str) -> int:
    """Quantity in micros of a contract, not negative. Raises MoneyError below zero, and where `parse_micros` does."""
    quantity_micros = parse_micros(text)
    if quantity_micros < 0:
        _refuse(text, "negative; a size is zero or more (parse signed changes with parse_micros)")
    return quantity_micros


def format_micros(value_micros: int, places: int | None = None) -> str:
    """Exact decimal text: the shortest, or with exactly `places` (0..6) digits after the point.

    Raises MoneyError if `places` would drop a digit, so a price on the wire is never silently moved.
    """
    sign = "-" if value_micros < 0 else ""
    whole, fraction = divmod(abs(value_micros), MICROS)
    digits = f"{fraction:06d}"
    kept = digits.rstrip("0")
    if places is not None:
        if not 0 <= places <= PLACES:
            raise MoneyError(f"places was {places}; use 0..{PLACES}")
        if len(kept) > places:
            raise MoneyError(
                f"{sign}{whole}.{kept} needs {len(kept)} places, {places} were allowed; put it on the grid first"
            )
        kept = digits[:places]
    return f"{sign}{whole}.{kept}" if kept else f"{sign}{whole}"


def format_rounded(value_micros: int, places: int) -> str:
    """Dollars or contracts for people to read, rounded half away from zero to `places` (0..6). Never for a wire."""
    if not 0 <= places <= PLACES:
        raise MoneyError(f"places was {places}; use 0..{PLACES}")
    unit = _SCALE[places]
    magnitude = (2 * abs(value_micros) + unit) // (2 * unit) * unit
    return format_micros(-magnitude if value_micros < 0 else magnitude, places)


def format_cents(value_micros: int, places: int | None = None) -> str:
    """Cents without the sign ¢, for people: exact ("1.0031"), or rounded half away from zero to `places` (0..4)."""
    if places is None:
        return format_micros(value_micros * 100)
    if not 0 <= places <= PLACES - 2:
        raise MoneyError(f"places was {places}; micros hold 0..{PLACES - 2} places of a cent")
    return format_rounded(value_micros * 100, places)


def ceil_div(numerator: int, denominator: int) -> int:
    """Quotient rounded towards +infinity; `denominator` positive."""
    return -(-numerator // denominator)


def floor_div(numerator: int, denominator: int) -> int:
    """Quotient rounded towards -infinity; `denominator` positive."""
    return numerator // denominator


def cost_micros(price_micros: int, quantity_micros: int) -> int:
    """Dollars of a quantity at a price, rounded up to a micro: what must be there to pay for it."""
    return -(-price_micros * quantity_micros // MICROS)


def cost_micros_exact(price_micros: int, quantity_micros: int) -> int:
    """Dollars of a quantity at a price. Raises MoneyError if that is no whole number of micros."""
    cost, rest = divmod(price_micros * quantity_micros, MICROS)
    if rest:
        raise MoneyError(
            f"{format_micros(quantity_micros)} contracts at {format_micros(price_micros)} are no whole micros of a dollar; "
            "use a quantity on the venue's step, or cost_micros to round up"
        )
    return cost


def _parse_unusual(text: str) -> int:
    """Signs, whole numbers, a leading point, padding, and every refusal."""
    if len(text) > TEXT_LENGTH_MAX:
        _refuse(text, f"longer than {TEXT_LENGTH_MAX} characters")
    negative = text.startswith("-")
    whole, point, fraction = text.removeprefix("-").partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()) or (point and not fraction):
        _refuse(text, "not a plain decimal such as 0.4700")
    fraction = fraction.rstrip("0")
    if len(fraction) > PLACES:
        _refuse(text, f"more than {PLACES} places; nothing is rounded on the way in")
    if len(whole.lstrip("0")) > WHOLE_DIGITS_MAX:
        _refuse(text, f"more than {WHOLE_DIGITS_MAX} whole digits")
    magnitude = int(whole or "0") * MICROS + int(fraction or "0") * _SCALE[len(fraction)]
    return -magnitude if negative else magnitude


def _refuse(text: object, why: str) -> NoReturn:
    shown = text[:TEXT_LENGTH_MAX] if isinstance(text, str) else type(text).__name__
    raise MoneyError(f"amount {shown!r} was {why}") from None
