"""Binance's wire messages as pydantic models: combined frames, top of book, trades, depth, replies.

Decides form only: which fields must be there and of which JSON type. Spot and futures differ by fields that are optional here;
unknown keys pass, since the venue adds them without notice. Keys differ by case alone (e/E, t/T, u/U), so a model never folds
case. Numbers of money stay the venue's text; it must never turn one into a float.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Ids go into signed 64-bit fields.
Id = Annotated[int, Field(ge=0, lt=2**63)]
#: Unix milliseconds.
Milliseconds = Annotated[int, Field(gt=0, lt=10**15)]
#: Price and absolute size.
Levels = list[tuple[str, str]]


class Wire(BaseModel):
    """Base: unknown keys are ignored, types are not bent."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Combined(Wire):
    """A frame of a combined stream."""

    stream: str
    data: dict[str, Any]


class BookTicker(Wire):
    """Best bid and ask. Spot gives neither event type nor time; futures give both."""

    u: Id
    s: str
    b: str
    B: str
    a: str
    A: str
    e: Literal["bookTicker"] | None = None
    E: Milliseconds | None = None
    T: Milliseconds | None = None


class Trade(Wire):
    """One trade. `X` is the futures' type of it: only MARKET is a trade in the book."""

    e: Literal["trade"]
    E: Milliseconds
    s: str
    t: Id
    p: str
    q: str
    T: Milliseconds
    X: str | None = None


class AggTrade(Wire):
    """The fills of one taker order at one price, as one trade."""

    e: Literal["aggTrade"]
    E: Milliseconds
    s: str
    a: Id
    p: str
    q: str
    T: Milliseconds


class DepthUpdate(Wire):
    """Levels that changed, absolute sizes; `U` to `u` are the update ids it covers, `pu` the futures' id before it."""

    e: Literal["depthUpdate"]
    E: Milliseconds
    s: str
    U: Id
    u: Id
    pu: Id | None = None
    b: Levels
    a: Levels


class DepthSnapshot(Wire):
    """A whole book, as REST gives it."""

    last_update_id: Id = Field(alias="lastUpdateId")
    bids: Levels
    asks: Levels


class Problem(Wire):
    """Why a command was refused."""

    code: int
    msg: str = ""
