"""What Kalshi says of itself, as `VenueStatus`: read from `GET /exchange/status`, which nothing streams.

Decides what an answer means, what silence means, and when there is something to write. Fail closed: before the first answer, after an
answer that does not say plainly that it trades, and once the last answer is older than `silence_ns`, the venue does not trade. Must
never touch a socket or a clock: answers and stamps come in, records go out.
"""

from typing import Any, Final

import msgspec

from crossbook.domain.names import KALSHI
from producers.feeds.fields import moment_ns
from producers.kalshi.pauses import announced_pauses, merged, weekly_pauses
from schemas.records import VenueStatus

NOT_ASKED: Final = "the venue has not yet said whether it trades"
PAUSED: Final = "the venue says that trading is paused"
EXCHANGE_PAUSED: Final = "the venue says that the exchange is paused"


class ExchangeStatus:
    """The newest word of the exchange, and what the log has of it."""

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._answered_ns: int | None = None
        self._schedule: Any = None
        self._word = self._halted(0, NOT_ASKED)
        self._said: VenueStatus | None = None

    def answered(self, body: Any, ts_ns: int) -> VenueStatus | None:
        """Take a body of `/exchange/status`; the record to write, None when nothing changed."""
        self._word = self._read(body, ts_ns)
        self._answered_ns = ts_ns
        return self.due(ts_ns)

    def scheduled(self, body: Any) -> None:
        """Take a body of `/exchange/schedule`."""
        self._schedule = body

    def due(self, ts_ns: int) -> VenueStatus | None:
        """The record to write now, None when nothing changed since the last one."""
        word = self._word
        if self._answered_ns is not None and ts_ns - self._answered_ns > self._silence_ns:
            word = self._halted(ts_ns, f"the venue has not said for {self._silence_ns // 10**9} s whether it trades")
        pauses = merged((*weekly_pauses(ts_ns), *announced_pauses(self._schedule, ts_ns)))
        word = msgspec.structs.replace(word, ts_received_ns=ts_ns, pauses=pauses)
        if self._said is not None and msgspec.structs.replace(self._said, ts_received_ns=ts_ns) == word:
            return None
        self._said = word
        return word

    def keyframe(self, ts_ns: int) -> VenueStatus | None:
        """What stands in the log, to be repeated."""
        return None if self._said is None else msgspec.structs.replace(self._said, ts_received_ns=ts_ns, keyframe=True)

    def repeat(self) -> None:
        """The log missed records: what was said is to be said again."""
        self._said = None

    def _read(self, body: Any, ts_ns: int) -> VenueStatus:
        exchange, trading = (_flag(body, name) for name in ("exchange_active", "trading_active"))
        halted = _halted_shards(body)
        if exchange is None or trading is None or halted is None:
            return self._halted(ts_ns, "the venue's answer about its status has another form")
        reason = EXCHANGE_PAUSED if not exchange else PAUSED if not trading else ""
        if not reason and halted:
            reason = f"the venue says that shards {', '.join(map(str, halted))} are paused"
        return VenueStatus(
            ts_received_ns=ts_ns,
            venue=KALSHI,
            exchange_active=exchange,
            trading_active=trading,
            shards_halted=halted,
            ts_resume_ns=moment_ns(body.get("exchange_estimated_resume_time")),
            pauses=(),
            reason=reason,
            keyframe=False,
        )

    def _halted(self, ts_ns: int, reason: str) -> VenueStatus:
        return VenueStatus(
            ts_received_ns=ts_ns,
            venue=KALSHI,
            exchange_active=False,
            trading_active=False,
            shards_halted=(),
            ts_resume_ns=None,
            pauses=(),
            reason=reason,
            keyframe=False,
        )


def _flag(row: Any, name: str) -> bool | None:
    value = row.get(name) if isinstance(row, dict) else None
    return value if isinstance(value, bool) else None


def _halted_shards(body: Any) -> tuple[int, ...] | None:
    """Shards that do not trade, ascending; None when one of them cannot be read. A body without shards speaks for all."""
    rows = body.get("exchange_index_statuses") if isinstance(body, dict) else None
    if rows is None:
        return ()
    if not isinstance(rows, list):
        return None
    halted: set[int] = set()
    for row in rows:
        index = row.get("exchange_index") if isinstance(row, dict) else None
        active = _flag(row, "exchange_active"), _flag(row, "trading_active")
        # Numbers come as text; see `read_json`.
        if not isinstance(index, str) or not index.isdigit() or len(index) > 5 or None in active:
            return None
        if not all(active):
            halted.add(int(index))
    return tuple(sorted(halted))
