"""When Kalshi pauses by schedule: every Thursday from 3 to 5 in the morning, New York time, and the maintenance that it announces.

Decides the moments in UTC, so that no fold has to know a time zone. New York's clock moves twice a year: a window is found by its
local date and hours, never by adding weeks of 168 hours. (Kalshi's documentation: maintenance and pauses)
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from producers.feeds.fields import moment_ns
from schemas.records import PauseWindow

NEW_YORK: Final = ZoneInfo("America/New_York")
THURSDAY: Final = 3
START: Final = time(3)
END: Final = time(5)
#: The window under way or next, and the one after it: a producer that is away for a week still leaves the next one in the log.
WEEKS: Final = 2
_SECOND_NS: Final = 1_000_000_000


def weekly_pauses(ts_ns: int) -> tuple[PauseWindow, ...]:
    """The weekly windows that have not ended at a moment, ascending."""
    today = datetime.fromtimestamp(ts_ns // _SECOND_NS, tz=UTC).astimezone(NEW_YORK).date()
    thursday = today + timedelta(days=(THURSDAY - today.weekday()) % 7)
    windows = (_window(thursday + timedelta(weeks=week)) for week in range(WEEKS + 1))
    return tuple(window for window in windows if ts_ns < window.ts_end_ns)[:WEEKS]


def announced_pauses(schedule: Any, ts_ns: int) -> tuple[PauseWindow, ...]:
    """The maintenance windows of `GET /exchange/schedule` that have not ended; what cannot be read is left out."""
    body = schedule.get("schedule") if isinstance(schedule, dict) else None
    rows = body.get("maintenance_windows") if isinstance(body, dict) else None
    found: list[PauseWindow] = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            start, end = moment_ns(row.get("start_datetime")), moment_ns(row.get("end_datetime"))
            if start is not None and end is not None and start < end and ts_ns < end:
                found.append(PauseWindow(ts_start_ns=start, ts_end_ns=end))
    return tuple(found)


def merged(windows: tuple[PauseWindow, ...]) -> tuple[PauseWindow, ...]:
    """Windows ascending, those that touch joined into one."""
    found: list[PauseWindow] = []
    for window in sorted(windows, key=lambda one: one.ts_start_ns):
        last = found[-1] if found else None
        if last is not None and window.ts_start_ns <= last.ts_end_ns:
            end_ns = max(last.ts_end_ns, window.ts_end_ns)
            found[-1] = PauseWindow(ts_start_ns=last.ts_start_ns, ts_end_ns=end_ns)
        else:
            found.append(window)
    return tuple(found)


def _window(day: date) -> PauseWindow:
    start, end = (datetime.combine(day, hour, tzinfo=NEW_YORK) for hour in (START, END))
    return PauseWindow(
        ts_start_ns=int(start.timestamp()) * _SECOND_NS,
        ts_end_ns=int(end.timestamp()) * _SECOND_NS,
    )
