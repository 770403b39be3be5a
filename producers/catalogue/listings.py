"""Reading the venues' catalogues again and again: what is listed, what changed at once, and what has paid.

Decides whom to ask and when: everything worth following each round, a single market at once when its socket says that it changed, and
in rounds whatever left the listing or was ever listed and has not paid. It must never let one venue's trouble stop the other, never ask
more a round than a venue's rate allows, and never end the wait for a payout: what was listed may be held.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from crossbook.domain.errors import StageError, SymbolError
from crossbook.domain.names import parse_instrument_id
from crossbook.runtime.settings import CatalogSettings
from producers.catalogue.catalog import Catalog
from producers.errors import CatalogError
from producers.universe.rounds import Rounds
from producers.universe.universe import Step, Universe
from schemas.records import InstrumentListed, InstrumentSettled, Venue

#: A payout that a socket told of is asked for this often until it is final.
CONFIRM_AFTER_S: Final = 15.0
#: The venues' caches answer with listings up to 15 s old.
CACHED_S: Final = 16.0
#: Instruments asked about in one round of the catalogue: each missing one costs up to four requests, payouts come by the page.
MISSING_PER_ROUND: Final = 25
PAYOUTS_PER_ROUND: Final = 200


class Desk(Protocol):
    """Where what was read goes."""

    def do(self, steps: list[Step]) -> None:
        """Write the steps."""

    def refuse(self, refusal: str, ts_ns: int) -> None:
        """Say loudly, once, what was left out or not believed."""

    def settle(self, settled: InstrumentSettled) -> None:
        """Take a payout."""

    def follow(self, listed: InstrumentListed) -> None:
        """Hand a listing to the feed that follows it."""


class Listings:
    """Everything that asks a catalogue; `spawn` starts a task of its own."""

    def __init__(
        self,
        settings: CatalogSettings,
        universe: Universe,
        desk: Desk,
        stamp: Callable[[], int],
        counters: Counter[str],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.catalogs: dict[Venue, Catalog] = {}
        self._settings = settings
        self._universe = universe
        self._desk = desk
        self._stamp = stamp
        self._counters = counters
        self.log = log
        self._group: asyncio.TaskGroup | None = None
        self._now = asyncio.Event()
        self._round_ns = 0
        self._confirming: set[str] = set()
        self._refreshing: set[str] = set()
        self._missing_rounds: dict[Venue, Rounds] = {}
        self._payout_rounds: dict[Venue, Rounds] = {}

    async def run(self, group: asyncio.TaskGroup) -> None:
        """A round each `refresh_s`, and at once when something wants it."""
        self._group = group
        while True:
            self._now.clear()
            await self.refresh()
            wait_s = self._settings.refresh_s if self._universe.instruments else 1.0
            try:
                async with asyncio.timeout(wait_s):
                    await self._now.wait()
            except TimeoutError:
                continue

    def soon(self) -> None:
        """Have the next round begin now."""
        self._now.set()

    def changed(self, instrument_id: str | None) -> None:
        """A socket says that a market changed: read it now, and once more when no cache can hold the old one. None: any market."""
        if instrument_id is None:
            if self._stamp() - self._round_ns > CACHED_S * 1_000_000_000:  # what is younger will hardly know more
                self.soon()
        elif self._group is not None and instrument_id not in self._refreshing:
            self._refreshing.add(instrument_id)
            self._group.create_task(self._read_twice(instrument_id))

    def resolved(self, instrument_id: str) -> None:
        """A socket says that a market has its outcome: ask for the payout until it is final."""
        if self._group is not None and instrument_id not in self._confirming:
            self._confirming.add(instrument_id)
            self._group.create_task(self._confirm(instrument_id))

    # -- a round

    async def refresh(self) -> None:
        """Read both catalogues and take what changed; one venue's failure leaves the other alone."""
        self._round_ns = ts_ns = self._stamp()
        refused: list[str] = []
        found: list[InstrumentListed] = []
        for venue, reader in self.catalogs.items():
            try:
                listed = await reader.discover(
                    self._settings.volume_min_dollars * 1_000_000, self._settings.instruments_max, ts_ns, refused
                )
                found += [*listed, *await self._find_wanted(venue, reader, listed, ts_ns, refused)]
                await self._ask_for_the_rest(venue, reader, {one.instrument_id for one in found}, ts_ns, refused)
            except CatalogError as error:
                self._counters[f"catalog_errors.{venue}"] += 1
                self.log.warning("catalog.failed", venue=venue, error=str(error))
            except StageError:
                raise
            except Exception as error:  # a page that nobody foresaw is this venue's trouble, and this round's
                self._counters[f"catalog_errors.{venue}"] += 1
                self.log.exception("catalog.failed", venue=venue)
                refused.append(f"{venue}: the catalogue could not be read: {type(error).__name__}: {error}")
        for refusal in refused:
            self._desk.refuse(refusal, ts_ns)
        self._desk.do(self._universe.list_instruments(found, ts_ns))
        for one in self._universe.open_instruments():
            self._desk.follow(one)

    async def _ask_for_the_rest(
        self, venue: Venue, reader: Catalog, have: set[str], ts_ns: int, refused: list[str]
    ) -> None:
        """What left the listing (closed, settled, refused, or merely traded less), and whatever was listed and may have paid."""
        missing = [
            one for one in self._universe.open_instruments() if one.venue == venue and one.instrument_id not in have
        ]
        for known in self._missing_rounds.setdefault(venue, Rounds()).take(missing, MISSING_PER_ROUND):
            await self._read_anew(known, reader, ts_ns, refused)
        unpaid = [one for one in self._universe.unpaid(venue, ts_ns) if one.instrument_id not in have]
        asked = self._payout_rounds.setdefault(venue, Rounds()).take(unpaid, PAYOUTS_PER_ROUND)
        for settled in await reader.settlements(asked, ts_ns, refused):
            self._desk.settle(settled)

    async def _find_wanted(
        self, venue: Venue, reader: Catalog, listed: list[InstrumentListed], ts_ns: int, refused: list[str]
    ) -> list[InstrumentListed]:
        """Legs of pairs that discovery did not bring."""
        have = {one.instrument_id for one in listed}
        found: list[InstrumentListed] = []
        for wanted in self._universe.wanted():
            try:
                name = parse_instrument_id(wanted)
            except SymbolError as error:
                refused.append(f"an approved pair names {wanted[:80]!r}: {error}")
                continue
            if name.venue != venue or wanted in have:
                continue
            one = await reader.find(name.symbol, ts_ns, refused)
            if one is None:
                refused.append(f"{venue} {name.symbol}: an approved pair names it, the catalogue does not have it")
                continue
            if one.instrument_id != wanted:
                self._universe.rename(wanted, one.instrument_id)
            found.append(one)
        return found

    async def _read_anew(self, known: InstrumentListed, reader: Catalog, ts_ns: int, refused: list[str]) -> None:
        """Read one listing; what cannot be listed any more is not traded any more."""
        current = await reader.find(known.symbol, ts_ns, refused)
        if current is not None:
            self._desk.do(self._universe.list_instruments([current], ts_ns))
        else:
            refused.append(f"{known.instrument_id}: the catalogue cannot list it any more, so it is not traded")
            self._desk.do(self._universe.shut(known.instrument_id, ts_ns))

    # -- single markets

    async def _read_twice(self, instrument_id: str) -> None:
        for wait_s in (0.0, CACHED_S):
            await asyncio.sleep(wait_s)
            listed = self._universe.instruments.get(instrument_id)
            if listed is None or instrument_id in self._universe.paid:
                break
            ts_ns = self._stamp()
            refused: list[str] = []
            try:
                await self._read_anew(listed, self.catalogs[listed.venue], ts_ns, refused)
            except CatalogError as error:
                self.log.warning("catalog.failed", instrument=instrument_id, error=str(error))
            except StageError:
                raise
            except Exception:  # read again in the next round; one market's answer must not end the stage
                self.log.exception("catalog.failed", instrument=instrument_id)
            for refusal in refused:
                self._desk.refuse(refusal, ts_ns)
            self._desk.follow(self._universe.instruments[instrument_id])
        self._refreshing.discard(instrument_id)

    async def _confirm(self, instrument_id: str) -> None:
        while (listed := self._universe.instruments.get(instrument_id)) and instrument_id not in self._universe.paid:
            ts_ns = self._stamp()
            refused: list[str] = []
            try:
                for settled in await self.catalogs[listed.venue].settlements([listed], ts_ns, refused):
                    self._desk.settle(settled)
            except CatalogError as error:
                self.log.warning("settlement.failed", instrument=instrument_id, error=str(error))
            except StageError:
                raise
            except Exception:  # asked again; one market's answer must not end the stage
                self.log.exception("settlement.failed", instrument=instrument_id)
            for refusal in refused:
                self._desk.refuse(refusal, ts_ns)
            if instrument_id not in self._universe.paid:
                await asyncio.sleep(CONFIRM_AFTER_S)
        self._confirming.discard(instrument_id)
