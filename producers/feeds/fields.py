"""Fields of the venues' catalogue rows as exact values: every number is kept as the venue's text until it is a whole number of micros or ns.

Decides what counts as a number, a moment, a text or a list of rows. It must never let a number of a catalogue become a float: ticks and
fee rates come as JSON numbers at Polymarket.
"""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from crossbook.domain.money import MICROS
from producers.errors import CatalogError, ListingError

BODY_MAX = 32 * 1024 * 1024
#: Unix seconds have as many digits from 2001 to 2286.
SECONDS_DIGITS = 10


def parse_json(body: bytes, where: str) -> Any:
    """JSON with its numbers as text.

    Raises:
        CatalogError: it is none, or absurdly large.
    """
    if len(body) > BODY_MAX:
        raise CatalogError(f"{where} answered {len(body)} bytes, more than {BODY_MAX}")
    try:
        return json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{where} answered no JSON: {error}") from error


def micros(value: object, name: str) -> int:
    """A decimal of a catalogue in micros, exactly ("0.01", "1e-3", "5").

    Raises:
        ListingError: it is no such number, or has more than six places.
    """
    if not isinstance(value, str) or len(value) > 40:
        raise ListingError(f"{name} is missing or no number (was {value!r:.60})")
    try:
        scaled = Decimal(value) * MICROS
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ListingError(f"{name} is no number (was {value!r})") from error
    if scaled != whole or abs(whole) >= 10**18:
        raise ListingError(f"{name} is no whole number of micros (was {value!r})")
    return whole


def volume_micros(value: object) -> int | None:
    """A traded volume, floored to micros; None when the venue does not say."""
    if not isinstance(value, str):
        return None
    try:
        volume = Decimal(value)
        return int(volume * MICROS) if 0 <= volume < 10**12 else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def time_ns(value: object) -> int | None:
    """An ISO time ("2026-10-05T23:15:00Z", "2026-08-23 19:00:00+00") in Unix ns; None when it is none."""
    if not isinstance(value, str) or not value:
        return None
    text = value.replace("Z", "+00:00")
    if text.endswith("+00"):
        text += ":00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int(moment.timestamp()) if moment.year >= 1971 else 0
    return whole * 1_000_000_000 or None


def moment_ns(value: object) -> int | None:
    """A moment as ISO text or as Unix seconds or milliseconds, in Unix ns; None when it is none of these."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        scale = {SECONDS_DIGITS: 1_000_000_000, SECONDS_DIGITS + 3: 1_000_000}.get(len(value))
        return None if scale is None else int(value) * scale
    return time_ns(value)


def text(value: object) -> str:
    """A text field; empty when absent."""
    return value if isinstance(value, str) else ""


def rows(body: Any, name: str, where: str) -> list[dict[str, Any]]:
    """The list `name` of a page.

    Raises:
        CatalogError: it is not there: the form of the page drifted.
    """
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise CatalogError(f"{where} answered a page without {name!r}: its form has changed")
    return [row for row in found if isinstance(row, dict)]


def digest(rules: str) -> str:
    """SHA-256 hex of a rule text."""
    return hashlib.sha256(rules.encode()).hexdigest()
