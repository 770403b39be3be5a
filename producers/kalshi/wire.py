"""Kalshi's wire messages as pydantic models: socket envelope and messages, a REST order book.

Decides form only: which fields must be there and of which JSON type. Unknown keys pass, except where an unknown key beside a
missing side of a book says that the side was renamed. Numbers stay the venue's text; it must never turn one into a float.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from producers.errors import WireDriftError


class Wire(BaseModel):
    """Base: unknown keys are ignored, types are not bent."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Envelope(Wire):
    """What every frame of the socket has."""

    type: str
    sid: int | None = Field(None, ge=0)
    seq: int | None = Field(None, ge=0)
    id: int | None = None
    msg: Any = None


class Subscribed(Wire):
    """A channel got its sid."""

    channel: str
    sid: int = Field(ge=0)


class ErrorMessage(Wire):
    """What went wrong with a command or a subscription."""

    code: int
    msg: str = ""


class Snapshot(BaseModel):
    """A whole book; the key of an empty side is absent. Unknown keys are kept, to see a renamed side."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    market_ticker: str
    market_id: str
    yes_dollars_fp: list[list[str]] | None = None
    no_dollars_fp: list[list[str]] | None = None


class Delta(Wire):
    """A signed change of one level; a NO level's price is in YES dollars, as subscribed."""

    market_ticker: str
    price_dollars: str
    delta_fp: str
    side: Literal["yes", "no"]
    ts_ms: int | None = None


class Trade(Wire):
    """A public trade. `taker_outcome_side` replaced `taker_side` in 2026."""

    trade_id: str
    market_ticker: str
    yes_price_dollars: str
    count_fp: str
    taker_outcome_side: Literal["yes", "no"] | None = None
    taker_side: Literal["yes", "no"] | None = None
    ts_ms: int | None = None


class Lifecycle(Wire):
    """A market changed state, close, grid or rules; each kind of event states its own fields."""

    market_ticker: str
    event_type: str
    close_ts: int | None = None
    price_ranges: list[dict[str, str]] | None = None


class EventFeeUpdate(Wire):
    """An event's fee override was set, or taken back (null); numbers as text, see `producers.feeds.fields`."""

    event_ticker: str
    fee_type_override: str | None = None
    fee_multiplier_override: str | None = None


class OrderbookFp(Wire):
    """Both sides of a REST book, ascending, NO in NO dollars."""

    yes_dollars: list[list[str]]
    no_dollars: list[list[str]]


class RestBook(Wire):
    """The body of `GET /markets/{ticker}/orderbook`."""

    orderbook_fp: OrderbookFp


def refuse_renamed_side(snapshot: Snapshot) -> None:
    """An absent side beside an unknown list is a side that was renamed, not an empty one."""
    if snapshot.yes_dollars_fp is not None and snapshot.no_dollars_fp is not None:
        return
    for name, value in (snapshot.model_extra or {}).items():
        if isinstance(value, list):
            raise WireDriftError(f"a side is absent while {name[:40]!r} is new: the side was renamed")
