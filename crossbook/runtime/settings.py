"""Settings of all stages: `crossbook.toml`, overridden by `CROSSBOOK_*` in the environment.

Nested names are joined by two underscores (`CROSSBOOK_DECIDE__MIN_EDGE_MICROS=0`). The file is `crossbook.toml` in the working
directory, or the one that `CROSSBOOK_CONFIG` names. An unknown key is an error: a misspelt limit must not be a limit ignored.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from crossbook.domain.limits import CASH_BOUNDS, refusal_of_limit
from crossbook.runtime.errors import SettingsError
from schemas.records import ExecuteTerms, PaperTerms
from schemas.records.definitions import definitions
from schemas.topics import MAIN, declare_portfolio, declared
from schemas.vocabulary import Word

PREFIX = "CROSSBOOK_"
CONFIG_VARIABLE = "CROSSBOOK_CONFIG"
DEFAULT_CONFIG = "crossbook.toml"
PORTFOLIO_NAME = r"^[a-z][a-z0-9_]{0,31}$"


class Section(BaseModel):
    """Base of a settings section: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SectionType = TypeVar("SectionType", bound=Section)


def defined_by(terms: type[msgspec.Struct]) -> Callable[[type[SectionType]], type[SectionType]]:
    """Give a section the numbers of a definition behind its own fields: name, default, bounds and text are said there alone."""
    fields: dict[str, Any] = {
        name: (int, Field(one.default, ge=one.lowest, le=one.highest, description=one.text))
        for name, one in definitions(terms).items()
        if one.kind is int  # a distribution is no setting: a backtest makes it of a model
    }

    def extended(section: type[SectionType]) -> type[SectionType]:
        return create_model(
            section.__name__, __base__=section, __doc__=section.__doc__, __module__=section.__module__, **fields
        )

    return extended


class KafkaSettings(Section):
    """The broker, by address."""

    bootstrap: str = Field("127.0.0.1:9092", description="host:port list of the Kafka brokers")
    prefix: str = Field(
        "crossbook.", description="prefix of topics, transactional ids, groups and ClickHouse databases"
    )
    partitions: int = Field(
        1, ge=1, le=64, description="partitions of market, signals, intents, leadlag; fixed for a prefix"
    )
    buffer_records: int = Field(
        100_000, ge=1_000, description="records a plain producer holds while the broker is away"
    )

    @field_validator("prefix")
    @classmethod
    def _prefix_is_a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}\.", value):
            raise ValueError("must be lower case letters, digits, - or _, and end in a dot")
        return value


class ClickHouseSettings(Section):
    """ClickHouse, by address."""

    host: str = Field("127.0.0.1", description="host of its HTTP interface")
    port: int = Field(8123, description="port of its HTTP interface")
    username: str = Field("default", description="user that may write")
    password: str = Field("", description="its password or token", repr=False)

    @staticmethod
    def database(prefix: str) -> str:
        """Database of a topic prefix."""
        return prefix.rstrip(".").replace("-", "_")


class VenueSettings(Section):
    """What every venue's section has; a plug-in's section is built on it."""

    enabled: bool = Field(True, description="whether its feed runs")


class PolymarketSettings(VenueSettings):
    """Polymarket's addresses; no key is needed for market data."""

    gamma_url: str = Field("https://gamma-api.polymarket.com", description="catalogue")
    clob_url: str = Field("https://clob.polymarket.com", description="books and market details")
    ws_url: str = Field("wss://ws-subscriptions-clob.polymarket.com/ws/market", description="market socket")
    assets_per_connection: int = Field(200, ge=1, le=500, description="assets subscribed on one connection")
    fee_rounding: Literal["half_up", "floor"] = Field("half_up", description="rounding of its fee to five decimals")


class KalshiSettings(VenueSettings):
    """Kalshi's addresses and the read-only key that its socket asks for."""

    rest_url: str = Field("https://external-api.kalshi.com/trade-api/v2", description="REST root")
    ws_url: str = Field("wss://external-api-ws.kalshi.com/trade-api/ws/v2", description="socket")
    key_id: str = Field("", description="API key id; empty: no socket is possible")
    key_file: str = Field("", description="path of the private key (PEM, RSA or Ed25519)")
    status_interval_ms: int = Field(
        2_000,
        ge=500,
        le=10_000,
        description="how often it is asked whether it trades (its own cache holds the answer for a second)",
    )
    status_silence_ms: int = Field(
        10_000, ge=2_000, le=60_000, description="no answer for this long: it counts as not trading"
    )
    member: Literal["direct", "fcm"] = Field(
        "direct", description="direct member (fee precision 0.0001) or through a broker (0.01)"
    )


class BinanceSettings(Section):
    """Binance's socket, for reference prices; no key is needed. Nothing is traded there."""

    symbols: tuple[str, ...] = Field(
        (), max_length=500, description='symbols followed, such as ["BTCUSDT"]; empty: the feed is off'
    )
    ws_url: str = Field("wss://data-stream.binance.vision", description="socket, without path")
    trades: Literal["aggTrade", "trade", "none"] = Field(
        "aggTrade", description="stream of trades beside the quotes: merged by taker order, single, or none"
    )
    quote_interval_ms: int = Field(
        20, ge=0, le=10_000, description="at most one quote and one trade a symbol reach market in this time"
    )
    silence_ms: int = Field(
        2_000, ge=200, description="no data frame of any symbol for this long: the connection is given up"
    )

    @field_validator("symbols")
    @classmethod
    def _symbols_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in value:
            if not re.fullmatch(r"[A-Z0-9]{2,20}", symbol):
                raise ValueError(f"{symbol!r} is no symbol; write it as the venue does, in upper case, such as BTCUSDT")
        if len(set(value)) != len(value):
            raise ValueError("a symbol is named twice")
        return value


class FeedSettings(Section):
    """Behaviour that both venues' feeds share."""

    status_interval_ms: int = Field(500, ge=50, description="interval of FeedStatus")
    silence_ms: int = Field(
        2_000, ge=200, description="no book frame of any market for this long, while books move on, means silent"
    )
    answer_ms: int = Field(
        15_000,
        ge=1_000,
        description="a new subscription brings its first book within this, or the connection is given up",
    )
    keyframe_interval_s: int = Field(
        30, ge=1, description="every book, instrument and pair is repeated at most this far apart"
    )
    crosscheck_interval_s: int = Field(
        20, ge=1, description="every book is held against REST about this often, and sooner when it is unusually silent"
    )
    backoff_first_ms: int = Field(250, ge=1, description="first reconnect delay")
    backoff_max_ms: int = Field(30_000, ge=1, description="largest reconnect delay")
    tape: bool = Field(True, description="write raw frames to tape")


class CatalogSettings(Section):
    """Which markets are followed."""

    volume_min_dollars: int = Field(1_000_000, ge=0, description="markets below this traded volume are left out")
    refresh_s: int = Field(60, ge=1, description="interval of catalogue refreshes")
    instruments_max: int = Field(400, ge=2, description="most instruments followed a venue")
    pairs_file: str = Field("", description="path of a pairs.yaml; its pairs count as approved")


class DecideSettings(Section):
    """Thresholds of decide; they reach it as MarketConfigured and StrategyConfigured through the log."""

    min_edge_micros: int = Field(
        25_000, description="smallest net edge per contract for an intent (25000 is 2.5 cents)"
    )
    edge_change_micros: int = Field(1_000, ge=1, description="an open edge is re-quoted when it moves by this")
    top_interval_ms: int = Field(100, ge=1, description="at most one TopOfBook an instrument in this much stream time")
    watermark_interval_ms: int = Field(50, ge=1, description="one Watermark in this much stream time")
    polled_fresh_ms: int = Field(2_000, ge=1, description="how long a polled book is fresh")
    feed_stale_ms: int = Field(2_000, ge=1, description="a feed without FeedStatus for this long is stale")
    cooldown_ms: int = Field(2_000, ge=0, description="no second intent on a pair within this much stream time")
    intent_valid_ms: int = Field(500, ge=1, description="how long an intent may be acted on")
    close_window_s: int = Field(120, ge=0, description="no intent this close to an instrument's close")
    game_start_window_s: int = Field(60, ge=0, description="no intent this close to a game start")
    jump_ms: int = Field(2_000, ge=1, description="a larger forward step of the clock needs a second feed's word")
    cost_max_micros: int = Field(250_000_000, ge=1, description="largest cost incl. fee of one leg of an intent")
    checkpoint_events: int = Field(20_000, ge=100, description="a checkpoint every this many events")
    strategies: dict[str, dict[str, int | str]] = Field(
        {}, description="settings of further strategies by name, as in [decide.strategies.NAME]; times in ns"
    )


class FrictionSettings(Section):
    """Costs beside price and fee."""

    gas_micros: int = Field(0, ge=0, description="fixed cost of a package (Polymarket's operator pays gas)")
    fx_ppm: int = Field(0, ge=0, description="currency spread on a package's cost")
    on_ramp_ppm: int = Field(0, ge=0, description="on-ramp and bridge fees on a package's cost")
    lockup_ppm_per_year: int = Field(40_000, ge=0, description="return forgone on locked capital a year (40000 is 4 %)")
    source: str = Field("settings", description="where the numbers come from")


def _cash(description: str) -> Any:  # typed as pydantic's own Field is
    return Field(CASH_BOUNDS.default, ge=CASH_BOUNDS.lowest, le=CASH_BOUNDS.highest, description=description)


class CashSettings(Section):
    """Capital at each venue, which loss stops are measured by; a venue that is not named has none, and nothing is bought there."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Annotated[int, Field(ge=CASH_BOUNDS.lowest, le=CASH_BOUNDS.highest)]] = Field(
        init=False
    )

    polymarket: int = _cash("capital at Polymarket")
    kalshi: int = _cash("capital at Kalshi")

    @model_validator(mode="after")
    def _venues_are_known(self) -> Self:
        for venue in self.model_extra or ():
            Word("venue").check(venue)
        return self


@defined_by(ExecuteTerms)
class ExecuteSettings(Section):
    """The executor: limits of the risk gate and times of the machine, with the bounds that operators' words have too."""

    portfolio: Annotated[str, AfterValidator(declared)] = Field(
        MAIN,
        pattern=PORTFOLIO_NAME,
        description="name of the portfolio; ids of its trades and orders begin with it",
    )
    cash_micros: CashSettings = Field(CashSettings(), description="capital at each venue, by its name")
    checkpoint_events: int = Field(20_000, ge=100, description="a checkpoint every this many events of market")
    advice_max_age_ms: int = Field(
        120_000, ge=0, description="lead-lag advice about an older window is not used; 0: none is"
    )
    lag_limit_ms: int = Field(
        500,
        ge=0,
        description="no trade opens while live market records wait longer than this, at most decide.intent_valid_ms; 0: nobody watches",
    )


@defined_by(PaperTerms)
class PaperSettings(Section):
    """The paper venue."""


class BacktestSettings(Section):
    """Models of a backtest; each is named, with its value and its meaning, in the report."""

    order_latency: str = Field(
        "constant",
        description="constant (the paper venue's), lognormal:P50/P99 (ms to the venue), or empirical (as the log's journal measured)",
    )
    feed_latency: str = Field(
        "none",
        description="simulated positions only: none, constant:MS or lognormal:P50/P99, for all feeds or as polymarket=…,kalshi=…",
    )
    feed_stamp: Literal["received", "venue"] = Field(
        "received", description="stamp that the feed latency is added to; the venue's own where it has one"
    )
    taker_delay_ms: int = Field(
        -1, ge=-1, description="taker delay of every instrument in place of the listed one; -1: as listed"
    )


class ProjectSettings(Section):
    """The ClickHouse projection."""

    batch_records: int = Field(20_000, ge=1, description="most records written at once")
    interval_ms: int = Field(1_000, ge=10, description="longest time between two batches")


class RegistrySettings(Section):
    """The read-only schema registry."""

    host: str = Field("127.0.0.1", description="host it binds to")
    port: int = Field(8081, description="port it binds to; 0: none is served")


class MetricsSettings(Section):
    """Prometheus endpoints of the stages, on loopback; 0: none."""

    producers_port: int = Field(0, ge=0, le=65_535, description="port of the stage producers (or import)")
    decide_port: int = Field(0, ge=0, le=65_535, description="port of the stage decide")
    execute_port: int = Field(0, ge=0, le=65_535, description="port of the stage execute")
    project_port: int = Field(0, ge=0, le=65_535, description="port of the stage project")
    leadlag_port: int = Field(0, ge=0, le=65_535, description="port of the stage leadlag")


class RecordingSettings(Section):
    """What the stage `import` reads."""

    format: str = Field("bbo-pairs", description="name of their format; see docs/recordings.md")
    files: tuple[str, ...] = Field((), description="paths of the recordings: files, or the folder of one")
    fees_file: str = Field("", description="path of the fee file that covers every market in them")
    speed: float = Field(0, ge=0, description="times real time; 0: as fast as possible")


class LeadLagSettings(Section):
    """The stage leadlag: who moves first, as advice to the executor."""

    enabled: bool = Field(True, description="whether `crossbook up` and the demo start it")
    bar_ms: int = Field(5_000, ge=10, description="length of a bar of the mid")
    window_s: int = Field(600, ge=1, description="length of a window")
    stride_s: int = Field(60, ge=1, description="a window ends every this much stream time")
    hy_lag_max_ms: int = Field(5_000, ge=10, description="largest lag looked at tick by tick")
    hy_step_ms: int = Field(100, ge=1, description="smallest lag told tick by tick")
    references: dict[str, str] = Field(
        {},
        description="reference id to the beginning of the instrument ids that it is compared with, as in "
        '{"binance:BTCUSDT" = "kalshi:KXBTC"}',
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.bar_ms * 16 > self.window_s * 1_000:
            raise ValueError("a window needs at least 16 bars; lengthen window_s or shorten bar_ms")
        if self.hy_step_ms > self.hy_lag_max_ms:
            raise ValueError("hy_step_ms is above hy_lag_max_ms; shorten it")
        return self


class LagSettings(Section):
    """Limits of `crossbook lag`."""

    limit_s: float = Field(5.0, gt=0, description="lag in seconds above which the exit code is not 0")


class PortfolioSettings(Section):
    """A portfolio: an executor of its own on the same intents, with its own journal, capital and limits."""

    partition: int = Field(ge=0, description="partition of orders, fills and checkpoints.execute; that of main is 0")
    strategies: tuple[str, ...] = Field((), description="strategies whose intents it acts on; none named: all")
    limits: dict[str, int] = Field(
        {}, description="limits in place of those of execute, by the names of crossbook limit"
    )
    metrics_port: int = Field(0, ge=0, le=65_535, description="port of its executor; 0: none")

    @field_validator("limits")
    @classmethod
    def _limits_are_known(cls, limits: dict[str, int]) -> dict[str, int]:
        for name, value in limits.items():
            if refusal := refusal_of_limit(name, value):
                raise ValueError(refusal)
        return limits


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    mode: Literal["paper"] = Field("paper", description="where orders go; real venues are not built yet")
    state_dir: str = Field(".crossbook", description="folder of the local stack")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level logged")
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    registry: RegistrySettings = RegistrySettings()
    polymarket: PolymarketSettings = PolymarketSettings()
    kalshi: KalshiSettings = KalshiSettings()
    binance: BinanceSettings = BinanceSettings()
    feed: FeedSettings = FeedSettings()
    venues: dict[str, dict[str, Any]] = Field(
        {}, description="sections of venues that plug-ins add, by the venue's name; the plug-in says what stands there"
    )
    catalog: CatalogSettings = CatalogSettings()
    decide: DecideSettings = DecideSettings()
    friction: FrictionSettings = FrictionSettings()
    execute: ExecuteSettings = ExecuteSettings()
    portfolios: dict[str, PortfolioSettings] = Field(
        {},
        description="portfolios by name, each with its partition of orders, fills and checkpoints.execute, and as it differs from "
        "execute: strategies, limits (by the names of crossbook limit), metrics_port",
    )
    paper: PaperSettings = PaperSettings()
    backtest: BacktestSettings = BacktestSettings()
    project: ProjectSettings = ProjectSettings()
    metrics: MetricsSettings = MetricsSettings()
    recording: RecordingSettings = RecordingSettings()
    leadlag: LeadLagSettings = LeadLagSettings()
    lag: LagSettings = LagSettings()

    @model_validator(mode="before")
    @classmethod
    def _portfolios_are_declared(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Before `execute` is read, which names one of them."""
        given = values.get("portfolios") or {}
        wanted = {name: PortfolioSettings.model_validate(one) for name, one in given.items()}
        for name, one in sorted(wanted.items(), key=lambda item: item[1].partition):
            if not re.fullmatch(PORTFOLIO_NAME, name):
                raise ValueError(f"portfolio {name!r}: a name is lower-case letters, digits and _, a letter first")
            if (number := declare_portfolio(name)) != one.partition:
                raise ValueError(
                    f"portfolio {name} has partition {number}, not {one.partition}; they follow each other"
                )
        return values

    @property
    def portfolio_names(self) -> tuple[str, ...]:
        """Every portfolio that a stack of these settings has an executor for: that of `execute`, then those of `portfolios`."""
        return tuple(dict.fromkeys((self.execute.portfolio, *self.portfolios)))

    def of_portfolio(self, name: str) -> Self:
        """The same settings for the executor of another portfolio. Raises SettingsError when they name none so."""
        if name != MAIN and name not in self.portfolios:
            raise SettingsError(
                f"no portfolio {name!r} is in the settings; there are: {', '.join((MAIN, *self.portfolios))}"
            )
        return self.model_copy(update={"execute": self.execute.model_copy(update={"portfolio": name})})

    def metrics_port(self, setting: str) -> int:
        """Port of a stage's metrics by the name of its setting; executors of portfolios beside the main one have their own. 0: none."""
        if setting == "execute_port" and self.execute.portfolio != MAIN:
            own = self.portfolios.get(self.execute.portfolio)
            return 0 if own is None else own.metrics_port
        port: int = getattr(self.metrics, setting, 0)
        return port

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _config_path())


def _config_path() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def _refuse_unknown_variables() -> None:
    # pydantic-settings reads the variables that it knows and passes over the others: CROSSBOOK_DECIDE_MIN_EDGE_MICROS, with
    # one underscore too few, would be a limit ignored. Below a section it refuses unknown names itself.
    for name in sorted(os.environ):
        section = name.upper().removeprefix(PREFIX).split("__")[0].lower()
        if name.upper().startswith(PREFIX) and name != CONFIG_VARIABLE and section not in Settings.model_fields:
            raise SettingsError(
                f"{name} is no setting; sections and names are joined by two underscores, "
                "as in CROSSBOOK_DECIDE__MIN_EDGE_MICROS; mend or unset it"
            )


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one line that names the key, what is wrong with it and where to mend it.
    """
    _refuse_unknown_variables()
    path = _config_path()
    if CONFIG_VARIABLE in os.environ and not path.is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {path}, which is no file; unset it or write the file")
    # CROSSBOOK_CONFIG is ours, but pydantic would take it for a setting named `config`.
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name}: {first['msg']} (was {first.get('input')!r}); mend it in {path} or CROSSBOOK_*"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{path} is no valid TOML: {error}") from error
