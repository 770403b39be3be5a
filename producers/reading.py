"""Reading the catalogues: HTTP bodies to Python with every number kept as the venue's text.

Decides how often a request is tried and how much is read at most. It must never let a number of a catalogue become a float:
ticks and fee rates come as JSON numbers at Polymarket.
"""

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx

from crossbook.domain.money import MICROS
from producers.errors import CatalogError, ListingError

ATTEMPTS = 3
BODY_MAX = 32 * 1024 * 1024
RETRIED = frozenset({425, 429, 500, 502, 503, 504})


async def read_json(client: httpx.AsyncClient, url: str, params: Any = None) -> Any:
    """GET a JSON body; numbers come as text.

    Raises:
        CatalogError: no usable answer after three attempts; the message names the address.
    """
    last = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(0.5 * 2**attempt)
        try:
            response = await client.get(url, params=params)
        except httpx.HTTPError as error:
            last = f"{type(error).__name__}: {error}"
            continue
        if response.status_code in RETRIED:
            last = f"HTTP {response.status_code}"
            continue
        if response.status_code != 200:
            raise CatalogError(f"{url} answered HTTP {response.status_code}: {response.text[:200]}")
        return parse_json(response.content, url)
    raise CatalogError(f"{url} gave no answer ({last})")


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
