"""The venues whose markets are followed: one row each, and what a row has to bring.

The stage takes a table of rows as an argument, so that a package beside this one adds a venue without a change here: its words
(`schemas.vocabulary.extend`), its fee model (`crossbook.domain.fee_models`), and a row. Decides nothing about frames or listings. Must never
open a venue whose settings it cannot read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import httpx
import structlog
from pydantic import ValidationError

from crossbook.domain.names import KALSHI, POLYMARKET, VENUES
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import KalshiSettings, PolymarketSettings, Settings, VenueSettings
from crossbook.venues.kalshi_auth import RequestSigner
from producers.catalogue.catalog import Catalog
from producers.connections.connection import Venue as Connection
from producers.feeds.backoff import DIALS_MAX, DialBudget
from producers.feeds.protocol import VenueProtocol
from producers.kalshi.catalog import KalshiCatalog
from producers.kalshi.exchange import ExchangePoll
from producers.kalshi.feed import KalshiVenue
from producers.kalshi.protocol import KalshiProtocol
from producers.polymarket.catalog import PolymarketCatalog
from producers.polymarket.feed import PolymarketVenue
from producers.polymarket.protocol import PolymarketProtocol
from schemas.records import Venue, VenueStatus

S = TypeVar("S", bound=VenueSettings)


class StatusSource(Protocol):
    """Whoever asks a venue whether it trades, and writes what it says."""

    async def run(self) -> None:
        """Ask until cancelled."""

    def keyframe(self, *, whole: bool = False) -> None:
        """Repeat what stands in the log; `whole`: as news, for a log that missed some of it."""


class StatusDesk(NamedTuple):
    """What a StatusSource works with. `write` says whether the log took a record; `stamp` gives receive stamps, Unix ns."""

    client: httpx.AsyncClient
    write: Callable[[VenueStatus], bool]
    stamp: Callable[[], int]
    log: structlog.stdlib.BoundLogger


class ProtocolMaker(Protocol):
    """Makes the protocol of one connection under a feed's name; times are ns."""

    def __call__(self, feed: str, *, silence_ns: int, answer_ns: int, check_ns: int) -> VenueProtocol: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAdapter(Generic[S]):
    """One venue. Its settings are the section of its name, or, where the product knows none, `venues.NAME`.

    `status` is None where the venue says nothing of its trading beside its listings, `assets_per_connection` where one connection takes
    every instrument. `dials_max` bounds the dials of all its connections in five minutes.
    """

    venue: Venue
    section: type[S]
    catalogue: Callable[[S, httpx.AsyncClient], Catalog]
    protocol: ProtocolMaker
    connection: Callable[[S, httpx.AsyncClient], Connection]
    status: Callable[[S, StatusDesk], StatusSource] | None = None
    assets_per_connection: Callable[[S], int] | None = None
    dials_max: int = DIALS_MAX

    def settings_of(self, settings: Settings) -> S:
        """The venue's section. Raises SettingsError for a value that is not allowed, by its name."""
        own = getattr(settings, self.venue, None)
        if isinstance(own, self.section):
            return own
        try:
            return self.section.model_validate(settings.venues.get(self.venue, {}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in ("venues", self.venue, *first["loc"]))
            raise SettingsError(f"setting {name}: {first['msg']} (was {first.get('input')!r})") from error

    def open(self, settings: Settings, desk: StatusDesk) -> "OpenVenue | None":
        """The venue as the settings have it; None: it is not enabled. Raises SettingsError, also for a key that cannot be read."""
        section = self.settings_of(settings)
        if not section.enabled:
            return None
        return OpenVenue(
            venue=self.venue,
            catalogue=self.catalogue(section, desk.client),
            protocol=self.protocol,
            connection=self.connection(section, desk.client),
            status=None if self.status is None else self.status(section, desk),
            instruments_max=None if self.assets_per_connection is None else self.assets_per_connection(section),
            budget=DialBudget(self.dials_max),
        )


class OpenVenue(NamedTuple):
    """A venue that is followed. `instruments_max`: as many instruments a connection; None: no bound."""

    venue: Venue
    catalogue: Catalog
    protocol: ProtocolMaker
    connection: Connection
    status: StatusSource | None
    instruments_max: int | None
    budget: DialBudget


Adapters: TypeAlias = Sequence[VenueAdapter[Any]]


def check_adapters(adapters: Adapters, settings: Settings) -> None:
    """Refuse a table that cannot work, before anything is opened.

    Raises:
        SettingsError: two rows of one name, a name that the vocabulary lacks, settings under `venues` of a venue that has no row or a
            section of its own, or no venue that is enabled.
    """
    names = [one.venue for one in adapters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"venue {', '.join(twice)} has more than one adapter")
    if unknown := [name for name in names if name not in VENUES]:
        raise SettingsError(f"adapter of {', '.join(unknown)}: no such venue is known; extend the vocabulary `venue`")
    if doubled := sorted(settings.venues.keys() & type(settings).model_fields.keys()):
        raise SettingsError(f"setting venues.{doubled[0]}: the section of this venue is {doubled[0]}")
    if strange := sorted(settings.venues.keys() - set(names)):
        raise SettingsError(f"setting venues.{strange[0]}: no adapter is called so; known are {', '.join(names)}")
    sections = [one.settings_of(settings) for one in adapters]
    if not any(section.enabled for section in sections):
        switches = " and ".join(f"{name}.enabled" for name in names)
        raise SettingsError(f"{switches} are {'both' if len(names) == 2 else 'all'} false; enable at least one")


def _kalshi_connection(settings: KalshiSettings, client: httpx.AsyncClient) -> KalshiVenue:
    signer = RequestSigner.from_file(settings.key_id, settings.key_file)
    return KalshiVenue(settings, client, signer, now_ns)


def _kalshi_status(settings: KalshiSettings, desk: StatusDesk) -> ExchangePoll:
    return ExchangePoll(settings, desk.client, desk.write, desk.stamp, desk.log)


#: The venues of the product. Polymarket's subscriptions are bounded a connection, and a whole catalogue needs several of them.
BUILT_IN: Final[Adapters] = (
    VenueAdapter(
        venue=POLYMARKET,
        section=PolymarketSettings,
        catalogue=PolymarketCatalog,
        protocol=PolymarketProtocol,
        connection=PolymarketVenue,
        assets_per_connection=lambda settings: settings.assets_per_connection,
        dials_max=2 * DIALS_MAX,
    ),
    VenueAdapter(
        venue=KALSHI,
        section=KalshiSettings,
        catalogue=KalshiCatalog,
        protocol=KalshiProtocol,
        connection=_kalshi_connection,
        status=_kalshi_status,
    ),
)
