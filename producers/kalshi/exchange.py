"""The shell that asks Kalshi whether it trades, and writes what `status.py` makes of the answers.

Decides when to ask. One answer a poll speaks for every shard; the venue streams none of it. It must never wait for anything but the
venue: a poll that fails is a poll without an answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import structlog

from crossbook.runtime.settings import KalshiSettings
from producers.connections.rest import parse_json
from producers.errors import CatalogError
from producers.kalshi.status import ExchangeStatus
from schemas.records import VenueStatus

#: Announced maintenance changes seldom; the weekly window is known without asking.
SCHEDULE_EVERY_S: Final = 600.0


class ExchangePoll:
    """Asks `/exchange/status` again and again; `write` takes a record and says whether the log did."""

    def __init__(
        self,
        settings: KalshiSettings,
        client: httpx.AsyncClient,
        write: Callable[[VenueStatus], bool],
        stamp: Callable[[], int],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._root = settings.rest_url.rstrip("/")
        self._interval_s = settings.status_interval_ms / 1_000
        self._client = client
        self._write = write
        self._stamp = stamp
        self._log = log
        self._status = ExchangeStatus(settings.status_silence_ms * 1_000_000)

    async def run(self) -> None:
        """Ask until cancelled; the first word is that the venue has not said anything yet."""
        self._put(self._status.due(self._stamp()))
        schedule_in_s = 0.0
        while True:
            body = await self._ask("status")
            ts_ns = self._stamp()
            self._put(self._status.due(ts_ns) if body is None else self._status.answered(body, ts_ns))
            if schedule_in_s <= 0:
                schedule_in_s = SCHEDULE_EVERY_S
                self._status.scheduled(await self._ask("schedule"))
                self._put(self._status.due(self._stamp()))
            schedule_in_s -= self._interval_s
            await asyncio.sleep(self._interval_s)

    def keyframe(self, *, whole: bool = False) -> None:
        """Repeat what stands in the log; `whole`: as news, for a log that missed some of it."""
        if whole:
            self._status.repeat()
            self._put(self._status.due(self._stamp()))
            return
        word = self._status.keyframe(self._stamp())
        if word is not None:
            self._write(word)

    def _put(self, word: VenueStatus | None) -> None:
        if word is None:
            return
        self._log.info(
            "venue.status", venue=word.venue, trading=word.trading_active, shards=word.shards_halted, reason=word.reason
        )
        if not self._write(word):
            self._status.repeat()  # the buffer is full: said again at the next poll

    async def _ask(self, what: str) -> Any:
        """A body, None without a usable answer within the interval that silence is measured in."""
        url = f"{self._root}/exchange/{what}"
        try:
            response = await self._client.get(url)
            response.raise_for_status()
            return parse_json(response.content, url)
        except (httpx.HTTPError, CatalogError) as error:
            self._log.warning("venue.status_failed", what=what, error=str(error)[:200] or type(error).__name__)
            return None
