"""When an instrument trades: by its own open and close, by what its venue says of itself, and by the venue's scheduled pauses.

Decides from a listing and the venue's last word whether an order would be taken at a moment, why not, and until when that answer
holds. The clock rules: a market is shut outside open and close whatever its status still says, because venues open and close
markets by time and say nothing. Must never read a clock, and knows no local time: pauses come as moments in UTC.
"""

from typing import Final, NamedTuple

from schemas.records import InstrumentListed, VenueStatus

#: Later than anything: the answer changes by a record, not by time.
FOREVER: Final = 1 << 62


class Hours(NamedTuple):
    """Why an instrument does not trade (empty: it does), and the first moment at which time alone may change that."""

    shut: str
    until_ns: int


def hours(listed: InstrumentListed, venue: VenueStatus | None, now_ns: int) -> Hours:
    """Whether the instrument trades at a moment; without a word of its venue, by the listing alone.

    While it trades, `until_ns` is when it stops by the clock: its close or the next scheduled pause.
    """
    close_ns = FOREVER if listed.ts_close_ns is None else listed.ts_close_ns
    if now_ns >= close_ns:
        return Hours("after_close", FOREVER)
    if listed.status == "closed":
        return Hours("closed", FOREVER)
    if listed.ts_open_ns is not None and now_ns < listed.ts_open_ns:
        return Hours("before_open", min(listed.ts_open_ns, close_ns))
    if listed.status != "active":
        return Hours("inactive", close_ns)
    if venue is None:
        return Hours("", close_ns)
    if not venue.exchange_active or not venue.trading_active:
        return Hours("venue_halted", close_ns)
    if listed.shard in venue.shards_halted:
        return Hours("shard_halted", close_ns)
    until_ns = close_ns
    for pause in venue.pauses:
        if pause.ts_start_ns <= now_ns < pause.ts_end_ns:
            return Hours("scheduled_pause", min(pause.ts_end_ns, close_ns))
        if now_ns < pause.ts_start_ns:
            until_ns = min(until_ns, pause.ts_start_ns)
    return Hours("", until_ns)
