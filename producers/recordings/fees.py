"""The fee file of a recording: what each market charged, from when, and how we know.

Decides whether a recording may be imported at all: a market without a schedule, or rows outside the time in which a schedule is
known to hold, are refused. It must never fill in a rate. Rates are text ("0.03"), so that no float stands between the file and
the money. An id may end in `*` and then covers every market whose name begins so. See docs/examples/fees_worldcup.yaml.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crossbook.domain.errors import DomainError
from crossbook.domain.fee_models.kalshi_quadratic import DIRECT_PRECISION_MICROS, FCM_PRECISION_MICROS
from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import parse_micros, parse_price
from crossbook.domain.names import KALSHI, POLYMARKET
from producers.errors import RecordingError
from schemas.records import FeeModel, FeeSchedule, PriceRange, Venue

#: Days of a fee file lie between these; their ns fit 63 bits.
YEAR_FIRST, YEAR_END = 1970, 2200
#: What a venue charges by, where it charges. Venues that are not here may charge by any model that is known.
OWN_MODEL: Final[Mapping[Venue, FeeModel]] = {KALSHI: "kalshi_quadratic", POLYMARKET: "polymarket_curve"}
#: No cost of a contract is this many micros, no delay this many ms.
AMOUNT_MAX = 10**12
DAY_NS = 86_400 * 1_000_000_000


class Strict(BaseModel):
    """Base: unknown keys are refused, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _amount(value: str) -> str:
    try:
        parse_micros(value)
    except DomainError as error:
        raise ValueError(str(error)) from error
    return value


class GridRange(Strict):
    """One stretch of a price grid, dollars as quoted text."""

    start: str
    end: str
    tick: str

    _amounts = field_validator("start", "end", "tick")(_amount)


class MarketFees(Strict):
    """One market of the recording, or all whose id begins alike, and the schedule."""

    venue: Venue
    id: str = Field(
        min_length=1,
        description="Kalshi ticker, Polymarket token or slug, as the format names it; `*` at the end: all such",
    )
    title: str = ""
    category: str = Field("other", min_length=1)
    model: FeeModel
    taker_rate: str = Field("0", description="Kalshi: 0.07 times the multiplier; Polymarket: the category's rate")
    maker_rate: str = "0"
    exponent: int = Field(1, ge=0, le=8)
    rounding: Literal["half_up", "floor", "ceil"] | None = None
    member: Literal["direct", "fcm"] = Field("direct", description="Kalshi's balance precision: 0.0001 or 0.01")
    effective: dt.date = Field(description="a day (UTC) from which the schedule is known to hold")
    until: dt.date | None = Field(None, description="first day on which it no longer holds")
    evidence: str = Field(min_length=1, description="how we know")
    source: str = Field(min_length=1, description="where it was read, with its date")
    tick: str = Field("0.001", description="price grid in dollars")
    grid: list[GridRange] | None = Field(None, min_length=1, description="price grid by ranges, in place of tick")
    taker_delay_ms: int = Field(0, ge=0, le=86_400_000)
    payout_expected: dt.date | None = Field(None, description="for the lock-up; optional")

    _amounts = field_validator("taker_rate", "maker_rate", "tick")(_amount)

    @model_validator(mode="after")
    def _model_is_the_venues(self) -> "MarketFees":
        own = OWN_MODEL.get(self.venue, self.model)
        if self.model not in {own, "free"}:
            raise ValueError(f"model {self.model} is not one of {self.venue}: use {own} or free")
        for day in (self.effective, self.until, self.payout_expected):
            if day is not None and not YEAR_FIRST <= day.year < YEAR_END:
                raise ValueError(f"{day} is not between {YEAR_FIRST} and {YEAR_END}")
        if self.until is not None and self.until <= self.effective:
            raise ValueError("until must be after effective")
        if "*" in self.id[:-1] or self.id == "*":
            raise ValueError("a `*` may only end an id, after the name that its markets share")
        return self

    def price_grid(self) -> PriceGrid:
        """The grid. Raises RecordingError where PriceGrid refuses it."""
        try:
            if self.grid is None:
                return PriceGrid.linear(parse_micros(self.tick))
            return PriceGrid(
                PriceRange(
                    start_micros=parse_price(one.start),
                    end_micros=parse_price(one.end),
                    tick_micros=parse_price(one.tick),
                )
                for one in self.grid
            )
        except DomainError as error:
            raise RecordingError(f"fee file, grid of {self.venue} {self.id}: {error}") from error

    def schedule(self) -> FeeSchedule:
        """The schedule. Raises RecordingError where `make_schedule` refuses it."""
        precision = None
        if self.model == "kalshi_quadratic":
            precision = DIRECT_PRECISION_MICROS if self.member == "direct" else FCM_PRECISION_MICROS
        try:
            return make_schedule(
                model=self.model,
                taker_rate_ppm=parse_micros(self.taker_rate),
                maker_rate_ppm=parse_micros(self.maker_rate),
                exponent=self.exponent,
                rounding=self.rounding,
                member_precision_micros=precision,
                ts_effective_ns=day_ns(self.effective),
                source=self.source,
            )
        except DomainError as error:
            raise RecordingError(f"fee file, market {self.venue} {self.id}: {error}") from error

    def holds(self, ts_first_ns: int, ts_last_ns: int) -> bool:
        """Whether the schedule is known to hold over the whole span."""
        if ts_first_ns < day_ns(self.effective):
            return False
        return self.until is None or ts_last_ns < day_ns(self.until)


class FrictionFees(Strict):
    """Costs beside price and fee; none unless stated."""

    gas_micros: int = Field(0, ge=0, le=AMOUNT_MAX)
    fx_ppm: int = Field(0, ge=0, le=AMOUNT_MAX)
    on_ramp_ppm: int = Field(0, ge=0, le=AMOUNT_MAX)
    lockup_ppm_per_year: int = Field(0, ge=0, le=AMOUNT_MAX)
    source: str = "fee file"


class DeclaredPair(Strict):
    """Two markets that are a pair, whatever a row says."""

    kalshi: str = Field(min_length=1, description="ticker")
    polymarket: str = Field(min_length=1, description="token id of its YES, as the rows name it")


class Pairing(Strict):
    """Why the two markets of a row are judged to resolve alike, and which they are where the rows alone do not settle it."""

    evidence: str = Field(min_length=1)
    haircut: str = "0"
    pairs: list[DeclaredPair] | None = Field(None, min_length=1)

    @field_validator("haircut")
    @classmethod
    def _haircut_is_a_price(cls, value: str) -> str:
        try:
            parse_price(value)
        except DomainError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _a_market_has_one_partner(self) -> "Pairing":
        names = [name for one in self.pairs or () for name in (f"kalshi {one.kalshi}", f"polymarket {one.polymarket}")]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} stands in more than one pair")
        return self

    @property
    def haircut_micros(self) -> int:
        """Taken off the worst payout."""
        return parse_price(self.haircut)


class FeeFile(Strict):
    """The whole file."""

    version: Literal[1]
    pairing: Pairing | None = Field(None, description="needed where a recording pairs markets")
    friction: FrictionFees = FrictionFees()
    markets: list[MarketFees] = Field(min_length=1)

    @model_validator(mode="after")
    def _markets_are_unique(self) -> "FeeFile":
        names = [(market.venue, market.id) for market in self.markets]
        twice = sorted({f"{venue} {name}" for venue, name in names if names.count((venue, name)) > 1})
        if twice:
            raise ValueError(f"market {', '.join(twice)} stands there more than once")
        return self

    def market(self, venue: Venue, name: str) -> MarketFees | None:
        """The entry of a market: its own, else the one with the longest beginning of its name."""
        found: MarketFees | None = None
        for one in self.markets:
            if one.venue != venue:
                continue
            if one.id == name:
                return one
            if one.id[-1] == "*" and name.startswith(one.id[:-1]) and (found is None or len(one.id) > len(found.id)):
                found = one
        return found


def load_fee_file(path: Path | None) -> FeeFile:
    """Read a fee file.

    Raises:
        RecordingError: there is none, or it is not one; the message names the first field that is wrong.
    """
    if path is None:
        raise RecordingError(
            "a recording needs a fee file that gives each market's schedule, its evidence and date: --fees FILE "
            "(see docs/examples/fees_worldcup.yaml)"
        )
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return FeeFile.model_validate(content)
    except OSError as error:
        raise RecordingError(f"fee file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecordingError(
            f"fee file {path}, {where}: {first['msg']} (was {str(first.get('input'))[:80]!r}); rates are quoted text"
        ) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RecordingError(f"fee file {path} is no YAML: {' '.join(str(error).split())[:300]}") from error


def day_ns(day: dt.date) -> int:
    """Midnight UTC of a day, Unix ns."""
    return (day - dt.date(1970, 1, 1)).days * DAY_NS
