"""Polymarket's wire messages as pydantic models: the market socket, a REST book.

Decides form only: which fields must be there and of which JSON type. Unknown keys pass; numbers stay the venue's text. It must
never turn a number into a float.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """Base: unknown keys are ignored, types are not bent."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Level(Wire):
    """One price level."""

    price: str
    size: str


class Book(Wire):
    """A whole book of one token, from the socket (`book`) or from REST; `tick_size` is absent after a trade."""

    market: str
    asset_id: str
    timestamp: str
    bids: list[Level]
    asks: list[Level]
    tick_size: str | None = None


class Change(Wire):
    """One level's new absolute size and the best prices after it ("" when the venue does not say)."""

    asset_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    best_bid: str
    best_ask: str


class PriceChange(Wire):
    """Changed levels of one market, often of both tokens at once."""

    market: str
    timestamp: str
    price_changes: list[Change]


class LastTradePrice(Wire):
    """A public trade; `side` is the taker's."""

    market: str
    asset_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    timestamp: str
    transaction_hash: str = ""


class TickSizeChange(Wire):
    """The grid of a market changed."""

    market: str
    asset_id: str
    old_tick_size: str
    new_tick_size: str


class BestBidAsk(Wire):
    """Best prices of one token; a cross-check only."""

    market: str
    asset_id: str
    best_bid: str
    best_ask: str


class MarketResolved(Wire):
    """A market resolved; to be confirmed before it is believed."""

    market: str
    winning_asset_id: str
