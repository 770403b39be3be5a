"""Reading the catalogues over HTTP.

Decides how often a request is tried. What is in a body is read by `producers.feeds.fields`, numbers as text.
"""

import asyncio
from typing import Any

import httpx

from producers.errors import CatalogError
from producers.feeds.fields import parse_json

__all__ = ["parse_json", "read_json"]

ATTEMPTS = 3
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
