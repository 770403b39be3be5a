"""What a frame of Kalshi's lifecycle channel changes in a listing, at once.

Decides which statements of the frame are taken as they stand (paused and reactivated, the close moved, the grid changed, the outcome
determined, a fee overridden); everything else that a market may have changed is the catalogue's to read. Must never make a market
tradable that the listing did not already know: a frame names no rules, no grid and no fees of a market that is new.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from crossbook.domain.errors import DomainError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.names import KALSHI
from producers.errors import WireDriftError
from producers.feeds.fields import parse_json
from producers.feeds.followed import Followed
from producers.kalshi import wire
from producers.kalshi.fees import overridden_fee
from schemas.records import InstrumentListed, InstrumentStatus

#: The market has an outcome, or had one paid: nothing trades any more, and the catalogue is asked for the payout.
ENDS: Final = frozenset({"determined", "settled"})
_STATUS: Final[dict[str, InstrumentStatus]] = {
    "activated": "active",
    "deactivated": "paused",
    "determined": "closed",
    "settled": "closed",
}
_SECOND_NS: Final = 1_000_000_000


class Heard(NamedTuple):
    """A market that a frame speaks of: its listing after it, and whether it has an outcome."""

    one: Followed
    listed: InstrumentListed
    is_over: bool


def heard(kind: str, msg: Any, raw: bytes, followed: Mapping[str, Followed], ts_ns: int) -> list[Heard]:
    """What a frame says of the markets that are followed, by ticker; nothing for others, and for frames about events alone.

    Raises:
        ValidationError, WireDriftError, CatalogError: the frame has another form.
    """
    if kind == "event_fee_update":
        # Read again with its numbers as text: a multiplier must not become a float.
        update = wire.EventFeeUpdate.model_validate(parse_json(raw, kind).get("msg"))
        event_id = f"{KALSHI}:{update.event_ticker}"
        found = [one for one in followed.values() if one.listed.event_id == event_id]
        return [Heard(one, repriced(one.listed, update, ts_ns), is_over=False) for one in found]
    if kind != "market_lifecycle_v2":
        return []
    event = wire.Lifecycle.model_validate(msg)
    named = followed.get(event.market_ticker)
    if named is None:
        return []
    return [Heard(named, relisted(named.listed, event, ts_ns), is_over=event.event_type in ENDS)]


def relisted(listed: InstrumentListed, event: wire.Lifecycle, ts_ns: int) -> InstrumentListed:
    """The listing after the event; the same one when the frame states nothing that a listing holds.

    Raises:
        WireDriftError: the frame states a grid or a time that cannot be.
    """
    changes: dict[str, object] = {}
    status = _STATUS.get(event.event_type)
    if status is not None:
        changes["status"] = status
    if event.event_type == "close_date_updated" and event.close_ts is not None:
        changes["ts_close_ns"] = _moment_ns(event.close_ts, "close_ts")
    if event.event_type == "price_level_structure_updated":
        try:
            changes["grid"] = PriceGrid.from_decimal_ranges(event.price_ranges or []).ranges
        except (DomainError, KeyError, TypeError, ValueError) as error:
            raise WireDriftError(f"price_ranges are no grid: {error}") from error
    return _changed(listed, changes, ts_ns)


def repriced(listed: InstrumentListed, update: wire.EventFeeUpdate, ts_ns: int) -> InstrumentListed:
    """The listing under an event's new fee override; paused where the frame does not say what the fee now is."""
    schedule = overridden_fee(listed.fee_schedule, update.model_dump(), ts_ns)
    if schedule is None:
        return _changed(listed, {"status": "paused"}, ts_ns)
    same = (schedule.taker_rate_ppm, schedule.maker_rate_ppm) == (
        listed.fee_schedule.taker_rate_ppm,
        listed.fee_schedule.maker_rate_ppm,
    )
    return listed if same else _changed(listed, {"fee_schedule": schedule, "fee_changes": ()}, ts_ns)


def _changed(listed: InstrumentListed, changes: dict[str, object], ts_ns: int) -> InstrumentListed:
    if all(getattr(listed, name) == value for name, value in changes.items()):
        return listed
    return msgspec.structs.replace(listed, ts_received_ns=ts_ns, keyframe=False, **changes)


def _moment_ns(seconds: int, name: str) -> int:
    if not 10**9 <= seconds < 10**10:
        raise WireDriftError(f"{name} {seconds} is no moment in seconds")
    return seconds * _SECOND_NS
