"""Kalshi's fee schedules from what its series, events and announcements state.

Decides which rates hold for an event now and at each announced change: an event's override beats its series. Must never guess: a fee
type that is not known, or a multiplier that gives no whole rate, is refused by name.
"""

from typing import Any, Final, Literal

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.kalshi_quadratic import DIRECT_PRECISION_MICROS, FCM_PRECISION_MICROS
from crossbook.domain.fees import make_schedule
from crossbook.domain.money import MICROS
from producers.errors import ListingError
from producers.feeds.fields import micros, moment_ns, text
from schemas.records import FeeSchedule

Member = Literal["direct", "fcm"]
TAKER_RATE_PPM: Final = 70_000
#: Maker coefficient as parts per thousand of the taker's, by fee type. (Fee schedule of 2026-07-07)
MAKER_PER_MILLE: Final = {"quadratic": 0, "quadratic_with_maker_fees": 250, "quadratic_with_combo_maker_fees": 500}
Row = dict[str, Any]


def fee(event: Row, series: Row, member: Member, *, ts_effective_ns: int = 0, source: str = "") -> FeeSchedule:
    """The schedule in force: the event's override, else the series. Raises ListingError for a type that is not known."""
    overridden = event.get("fee_type_override") or event.get("fee_multiplier_override") is not None
    fee_type = text(event.get("fee_type_override")) or text(series.get("fee_type"))
    multiplier = event.get("fee_multiplier_override")
    if multiplier is None:
        multiplier = series.get("fee_multiplier")
    if fee_type not in MAKER_PER_MILLE:
        raise ListingError(f"fee_type {fee_type!r} is unknown: unknown fee")
    factor = micros(multiplier, "fee_multiplier")
    taker, rest = divmod(TAKER_RATE_PPM * factor, MICROS)
    # Whether the multiplier scales the maker's part is not stated; charging makers the larger of both never under-charges.
    maker, maker_rest = divmod(TAKER_RATE_PPM * MAKER_PER_MILLE[fee_type] * max(factor, MICROS), 1_000 * MICROS)
    if rest or maker_rest or factor < 0:
        raise ListingError(f"fee_multiplier {multiplier!r} gives no whole rate: unknown fee")
    where = source or f"GET /{'events' if overridden else 'series'}"
    return make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=taker,
        maker_rate_ppm=maker,
        member_precision_micros=DIRECT_PRECISION_MICROS if member == "direct" else FCM_PRECISION_MICROS,
        ts_effective_ns=ts_effective_ns,
        source=f"{where} {fee_type} x{multiplier}",
    )


def overridden_fee(before: FeeSchedule, override: Row, ts_ns: int) -> FeeSchedule | None:
    """The schedule that an `event_fee_update` states; None when it takes an override back, for then the series rules again."""
    if not override.get("fee_type_override") or override.get("fee_multiplier_override") is None:
        return None
    fcm = before.member_precision_micros == FCM_PRECISION_MICROS
    try:
        return fee(override, {}, "fcm" if fcm else "direct", ts_effective_ns=ts_ns, source="event_fee_update")
    except (ListingError, FeeError):
        return None


class FeeChanges:
    """Announced changes: of series by ticker, of events by ticker, as `GET /series/fee_changes` and `GET /events/fee_changes` state them."""

    def __init__(self, of_series: list[Row], of_events: list[Row]) -> None:
        self._of_series = _by_ticker(of_series, "series_ticker")
        self._of_events = _by_ticker(of_events, "event_ticker")

    def ahead(self, event: Row, series: Row, member: Member, ts_ns: int) -> tuple[FeeSchedule, ...]:
        """The schedules that will replace the one in force, ascending; changes that leave the rates alone are none.

        Raises:
            ListingError: a change states no moment, or a fee that is not known: it could not be priced when it comes.
        """
        rows = [
            (row, True)
            for row in self._of_series.get(text(series.get("ticker")) or text(event.get("series_ticker")), ())
        ]
        rows += [(row, False) for row in self._of_events.get(text(event.get("event_ticker")), ())]
        timed: dict[int, list[tuple[Row, bool]]] = {}
        for row, is_series in rows:
            moment = moment_ns(row.get("scheduled_ts"))
            if moment is None:
                raise ListingError(f"a fee change has no moment (was {row.get('scheduled_ts')!r:.60}): unknown fee")
            if moment > ts_ns:
                timed.setdefault(moment, []).append((row, is_series))
        found: list[FeeSchedule] = []
        last = fee(event, series, member)
        for moment in sorted(timed):
            for row, is_series in timed[moment]:
                if is_series:
                    series = series | {name: row.get(name) for name in ("fee_type", "fee_multiplier")}
                else:
                    event = event | {name: row.get(name) for name in ("fee_type_override", "fee_multiplier_override")}
            changed = fee(event, series, member, ts_effective_ns=moment, source="GET fee_changes")
            if (changed.taker_rate_ppm, changed.maker_rate_ppm) != (last.taker_rate_ppm, last.maker_rate_ppm):
                found.append(changed)
                last = changed
        return tuple(found)


def _by_ticker(rows: list[Row], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(text(row.get(name)), []).append(row)
    return found


NO_CHANGES: Final = FeeChanges([], [])
