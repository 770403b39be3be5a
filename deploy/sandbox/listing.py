"""What the two sandbox venues list: subjects, their rules, ids, grids and fee schedules.

Decides identity and metadata only; prices live in the world. Ids derive from a subject's key alone (never from the
seed), so that an approved pair stays approved from one run to the next. It must never read a clock: days are relative
to the server's start.
"""

import hashlib
import uuid
from dataclasses import dataclass

from deploy.sandbox.errors import UnknownPresetError
from deploy.sandbox.world.presets import SECOND
from deploy.sandbox.world.pricing import KALSHI_STRUCTURES, KALSHI_TAKER_RATE, Grid, even_grid

BUSY_VOLUME = 8_000_000
QUIET_VOLUME = 48_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PolymarketListing:
    """One binary market of the sandbox's Polymarket; micros for rates and ticks."""

    number: int
    slug: str
    gamma_condition_id: str
    condition_id: str
    question_id: str
    token_yes: str
    token_no: str
    version: str
    tick: int
    tick_change_ns: int  # 0: never by schedule
    fee_rate: int
    fee_type: str
    rebate_hundredths: int
    seconds_delay: int
    itode: bool
    neg_risk: bool
    volume: int

    @property
    def grid(self) -> Grid:
        return even_grid(self.tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class KalshiListing:
    """One binary market of the sandbox's Kalshi."""

    series_ticker: str
    event_ticker: str
    ticker: str
    market_id: str
    structure: str
    fee_type: str
    multiplier_tenths: int
    exchange_index: int
    volume: int

    @property
    def grid(self) -> Grid:
        return KALSHI_STRUCTURES[self.structure]

    @property
    def fee_rate(self) -> int:
        return KALSHI_TAKER_RATE * self.multiplier_tenths // 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One real-world question; ``paired`` when it is listed on both venues and liquid enough to be traded across."""

    key: str
    title: str
    category: str
    rules: str
    probability: int
    days_to_close: int
    game: bool
    paired: bool
    polymarket: PolymarketListing | None
    kalshi: KalshiListing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
    """A catalogue row before ids are derived; fee rate in micros, probability in micros, tick in micros."""

    key: str
    title: str
    category: str
    probability: int
    rate: int
    fee_type: str
    tick: int = 10_000
    tick_change_ns: int = 0
    seconds_delay: int = 0
    itode: bool = False
    neg_risk: bool = False
    version: str = "v1"
    structure: str = "linear_cent"
    kalshi_fee_type: str = "quadratic"
    multiplier_tenths: int = 10
    exchange_index: int = 0
    days_to_close: int = 3
    game: bool = False
    venues: str = "both"
    volume: int = BUSY_VOLUME


_EVENTFUL = (
    _Outline(
        key="bitcoin-above-strike",
        title="Will Bitcoin trade above the strike at the month's close?",
        category="Crypto",
        probability=420_000,
        rate=70_000,
        fee_type="crypto_fees_v2",
        itode=True,
        structure="tapered_deci_cent",
        exchange_index=2,
        days_to_close=2,
    ),
    _Outline(
        key="harbor-beats-northfield",
        title="Will Harbor City beat Northfield?",
        category="Sports",
        probability=580_000,
        rate=50_000,
        fee_type="sports_fees_v2",
        tick=1_000,
        seconds_delay=3,
        kalshi_fee_type="quadratic_with_maker_fees",
        days_to_close=2,
        game=True,
    ),
    _Outline(
        key="senate-confirms-nominee",
        title="Will the Senate confirm the nominee this week?",
        category="Politics",
        probability=310_000,
        rate=40_000,
        fee_type="politics_fees",
        neg_risk=True,
        days_to_close=4,
    ),
    _Outline(
        key="inflation-above-three",
        title="Will the inflation print exceed three per cent?",
        category="Economics",
        probability=550_000,
        rate=50_000,
        fee_type="economics_fees",
        version="v2",
        multiplier_tenths=5,
        days_to_close=3,
    ),
    _Outline(
        key="ceasefire-signed",
        title="Will the ceasefire be signed by Sunday?",
        category="Geopolitics",
        probability=360_000,
        rate=0,
        fee_type="",
        days_to_close=3,
    ),
    _Outline(
        key="model-tops-board",
        title="Will the new model top the public board?",
        category="Tech",
        probability=660_000,
        rate=40_000,
        fee_type="tech_fees",
        tick_change_ns=20 * SECOND,
        days_to_close=5,
    ),
)

_WORLDCUP = tuple(
    _Outline(
        key=f"cup-winner-{team.lower()}",
        title=f"Will {team} win the cup?",
        category="Sports",
        probability=probability,
        rate=30_000,
        fee_type="sports_fees_v2",
        tick=1_000,
        neg_risk=True,
        structure="deci_cent",
        days_to_close=5,
    )
    for team, probability in (
        ("Arbora", 162_000),
        ("Belmora", 118_000),
        ("Castria", 91_000),
        ("Dunmere", 74_000),
        ("Estavia", 205_000),
        ("Fennmark", 57_000),
    )
)

_SINGLES = (
    _Outline(
        key="comet-visible",
        title="Will the comet be visible without a telescope?",
        category="Weather",
        probability=270_000,
        rate=50_000,
        fee_type="weather_fees",
        venues="polymarket",
    ),
    _Outline(
        key="city-record-high",
        title="Will the city set a record high?",
        category="Climate and Weather",
        probability=450_000,
        rate=0,
        fee_type="",
        venues="kalshi",
    ),
    _Outline(
        key="festival-sells-out",
        title="Will the festival sell out?",
        category="Culture",
        probability=500_000,
        rate=50_000,
        fee_type="culture_fees",
        volume=QUIET_VOLUME,
    ),
)

_CATALOGUES = {"eventful": _EVENTFUL, "worldcup": _WORLDCUP}


def subjects_of(catalogue: str, pairs_n: int) -> tuple[Subject, ...]:
    """``pairs_n`` paired subjects, then one that only Polymarket lists, one that only Kalshi lists, one too quiet."""
    try:
        rows = _CATALOGUES[catalogue]
    except KeyError:
        raise UnknownPresetError(f"catalogue {catalogue!r} is unknown: use one of {', '.join(_CATALOGUES)}") from None
    pairs = rows[:pairs_n] + tuple(_further(rows, i) for i in range(len(rows), pairs_n))
    outlines = pairs + _SINGLES
    return tuple(_subject(number, outline) for number, outline in enumerate(outlines))


def _further(rows: tuple[_Outline, ...], i: int) -> _Outline:
    """Benches ask for more pairs than the catalogue names: repeat its kinds under numbered keys."""
    kind = rows[i % len(rows)]
    return _Outline(
        key=f"{kind.key}-{i}",
        title=f"{kind.title} (edition {i})",
        category=kind.category,
        probability=min(800_000, max(60_000, kind.probability + (i * 37 % 19 - 9) * 10_000)),
        rate=kind.rate,
        fee_type=kind.fee_type,
        tick=kind.tick,
        structure=kind.structure,
        exchange_index=kind.exchange_index,
        days_to_close=kind.days_to_close,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _subject(number: int, outline: _Outline) -> Subject:
    quiet = outline.volume < BUSY_VOLUME
    rules = (
        f"This market resolves to Yes if the official source answers yes to: {outline.title} "
        "Otherwise it resolves to No. If the event is cancelled the market resolves to No."
    )
    return Subject(
        key=outline.key,
        title=outline.title,
        category=outline.category,
        rules=rules,
        probability=outline.probability,
        days_to_close=outline.days_to_close,
        game=outline.game,
        paired=outline.venues == "both" and not quiet,
        polymarket=None if outline.venues == "kalshi" else _polymarket(number, outline),
        kalshi=None if outline.venues == "polymarket" else _kalshi(outline),
    )


def _polymarket(number: int, outline: _Outline) -> PolymarketListing:
    digest = _digest("condition:" + outline.key)
    if outline.version == "v2":
        # module 1 | baseHash 128 bits | arity 2 | 64 reserved zero bits | resolution chain 0 | condition index 0
        short = "01" + digest[:32] + "0002" + "0" * 16 + "0000" + "0000"
        gamma_condition, condition = "0x" + short, "0x" + short.ljust(64, "0")
        yes, no = (str((int(short, 16) << 8) | outcome) for outcome in (0, 1))
    else:
        gamma_condition = condition = "0x" + digest
        yes, no = (str(int(_digest(f"token:{outline.key}:{outcome}"), 16)) for outcome in ("yes", "no"))
    return PolymarketListing(
        number=700_000 + number,
        slug=outline.key,
        gamma_condition_id=gamma_condition,
        condition_id=condition,
        question_id="0x" + _digest("question:" + outline.key),
        token_yes=yes,
        token_no=no,
        version=outline.version,
        tick=outline.tick,
        tick_change_ns=outline.tick_change_ns,
        fee_rate=outline.rate,
        fee_type=outline.fee_type,
        rebate_hundredths=25 if outline.rate else 0,
        seconds_delay=outline.seconds_delay,
        itode=outline.itode or outline.seconds_delay > 0,
        neg_risk=outline.neg_risk,
        volume=outline.volume,
    )


def _kalshi(outline: _Outline) -> KalshiListing:
    series = "KX" + "".join(part[:4] for part in outline.key.split("-")).upper()
    event = f"{series}-SBX"
    return KalshiListing(
        series_ticker=series,
        event_ticker=event,
        ticker=f"{event}-Y",
        market_id=str(uuid.UUID(_digest("market:" + outline.key)[:32], version=4)),
        structure=outline.structure,
        fee_type=outline.kalshi_fee_type,
        multiplier_tenths=outline.multiplier_tenths,
        exchange_index=outline.exchange_index,
        volume=outline.volume,
    )
