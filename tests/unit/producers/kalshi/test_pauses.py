"""The weekly pause in New York's time, over both changes of its clock; announced maintenance beside it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.kalshi.pauses import announced_pauses, merged, weekly_pauses
from schemas.records import PauseWindow

HOUR_NS = 3_600 * 10**9
WEEK_NS = 7 * 24 * HOUR_NS


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def shown(windows: tuple[PauseWindow, ...]) -> list[tuple[str, str]]:
    def when(ts_ns: int) -> str:
        return datetime.fromtimestamp(ts_ns // 10**9, tz=UTC).strftime("%Y-%m-%d %H:%M")

    return [(when(one.ts_start_ns), when(one.ts_end_ns)) for one in windows]


#: asked at, the window under way or next, the one after it (UTC)
WEEKS = [
    # winter: 3 am in New York is 8 in UTC
    ("2026-01-05T12:00:00Z", ("2026-01-08 08:00", "2026-01-08 10:00"), ("2026-01-15 08:00", "2026-01-15 10:00")),
    # over the change of 8 March 2026, from standard time to summer time
    ("2026-03-04T12:00:00Z", ("2026-03-05 08:00", "2026-03-05 10:00"), ("2026-03-12 07:00", "2026-03-12 09:00")),
    ("2026-03-08T06:59:59Z", ("2026-03-12 07:00", "2026-03-12 09:00"), ("2026-03-19 07:00", "2026-03-19 09:00")),
    # over the change of 1 November 2026, back to standard time
    ("2026-10-28T12:00:00Z", ("2026-10-29 07:00", "2026-10-29 09:00"), ("2026-11-05 08:00", "2026-11-05 10:00")),
    ("2026-11-01T06:00:00Z", ("2026-11-05 08:00", "2026-11-05 10:00"), ("2026-11-12 08:00", "2026-11-12 10:00")),
    # its edges: under way until the end, and then the next
    ("2026-06-11T07:00:00Z", ("2026-06-11 07:00", "2026-06-11 09:00"), ("2026-06-18 07:00", "2026-06-18 09:00")),
    ("2026-06-11T08:59:59Z", ("2026-06-11 07:00", "2026-06-11 09:00"), ("2026-06-18 07:00", "2026-06-18 09:00")),
    ("2026-06-11T09:00:00Z", ("2026-06-18 07:00", "2026-06-18 09:00"), ("2026-06-25 07:00", "2026-06-25 09:00")),
    # Wednesday evening in New York is Thursday in UTC, Thursday night is Friday
    ("2026-06-11T01:00:00Z", ("2026-06-11 07:00", "2026-06-11 09:00"), ("2026-06-18 07:00", "2026-06-18 09:00")),
    ("2026-06-12T02:00:00Z", ("2026-06-18 07:00", "2026-06-18 09:00"), ("2026-06-25 07:00", "2026-06-25 09:00")),
    ("2026-12-31T23:00:00Z", ("2027-01-07 08:00", "2027-01-07 10:00"), ("2027-01-14 08:00", "2027-01-14 10:00")),
]


@pytest.mark.parametrize(("asked", "first", "second"), WEEKS)
def test_the_weekly_pause(asked: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    assert shown(weekly_pauses(ns(asked))) == [first, second]


@given(st.integers(ns("2026-01-01T00:00:00Z"), ns("2040-01-01T00:00:00Z")))
def test_every_window_is_thursday_from_three_to_five_in_new_york(ts_ns: int) -> None:
    windows = weekly_pauses(ts_ns)
    assert windows[0].ts_end_ns > ts_ns > windows[0].ts_start_ns - WEEK_NS - HOUR_NS
    for window in windows:
        local = [
            datetime.fromtimestamp(at // 10**9, tz=ZoneInfo("America/New_York"))
            for at in (window.ts_start_ns, window.ts_end_ns)
        ]
        assert [(one.isoweekday(), one.hour, one.minute) for one in local] == [(4, 3, 0), (4, 5, 0)]
        assert local[1] - local[0] == timedelta(hours=2)


def test_announced_maintenance_is_taken_where_it_can_be_read() -> None:
    rows = [
        {"start_datetime": "2026-06-20T01:00:00Z", "end_datetime": "2026-06-20T02:00:00Z"},
        {"start_datetime": "2026-06-01T01:00:00Z", "end_datetime": "2026-06-01T02:00:00Z"},
        {"start_datetime": "2026-06-20T02:00:00Z", "end_datetime": "2026-06-20T01:00:00Z"},
        {"start_datetime": None, "end_datetime": "2026-06-20T02:00:00Z"},
        "soon",
    ]
    found = announced_pauses({"schedule": {"maintenance_windows": rows}}, ns("2026-06-10T00:00:00Z"))
    assert shown(found) == [("2026-06-20 01:00", "2026-06-20 02:00")]
    for body in (None, {}, {"schedule": None}, {"schedule": {"maintenance_windows": 3}}, []):
        assert announced_pauses(body, 0) == ()


def test_windows_that_touch_are_one() -> None:
    spans = [(5, 7), (1, 3), (3, 4), (6, 9)]
    windows = tuple(PauseWindow(ts_start_ns=start, ts_end_ns=end) for start, end in spans)
    assert [(one.ts_start_ns, one.ts_end_ns) for one in merged(windows)] == [(1, 4), (5, 9)]
