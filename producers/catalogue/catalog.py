"""The port to a venue's catalogue; `polymarket/catalog.py` and `kalshi/catalog.py` fill it for the venues of the product.

Decides nothing. Whoever fills it names what it leaves out in `refused`, and raises CatalogError when the venue does not answer.
"""

from collections.abc import Sequence
from typing import Protocol

from schemas.records import InstrumentListed, InstrumentSettled


class Catalog(Protocol):
    """What the stage needs of a venue's catalogue."""

    async def discover(
        self, volume_min_micros: int, limit: int, ts_ns: int, refused: list[str]
    ) -> list[InstrumentListed]:
        """Markets worth following."""

    async def find(self, symbol: str, ts_ns: int, refused: list[str]) -> InstrumentListed | None:
        """One market by name."""

    async def settlements(
        self, listed: Sequence[InstrumentListed], ts_ns: int, refused: list[str]
    ) -> list[InstrumentSettled]:
        """The payouts that are final; one that the venue states and that cannot be believed is named in `refused`."""
