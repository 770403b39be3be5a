"""When an instrument trades: a table of one listing against clock, status and the word of its venue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.trading_hours import FOREVER, hours
from tests.builders import market_records as mr

OPEN, CLOSE = 100, 900
PAUSES = ((300, 400), (600, 700))

#: name: (listing, venue, now, why it is shut, until when that holds)
TABLE = {
    "before it opens": ({}, {}, 99, "before_open", OPEN),
    "it opens by the clock": ({}, {}, 100, "", 300),
    "a close unknown": ({"ts_close_ns": None}, None, 100, "", FOREVER),
    "no word of the venue": ({}, None, 300, "", CLOSE),
    "up to a pause": ({}, {}, 299, "", 300),
    "in a pause": ({}, {}, 300, "scheduled_pause", 400),
    "after a pause": ({}, {}, 400, "", 600),
    "behind the last pause": ({}, {}, 700, "", CLOSE),
    "the close comes first": ({"ts_close_ns": 250}, {}, 200, "", 250),
    "closed by the clock": ({}, {}, 900, "after_close", FOREVER),
    "closed by the clock, says paused": ({"status": "paused"}, {"trading": False}, 901, "after_close", FOREVER),
    "closed early": ({"status": "closed"}, {}, 500, "closed", FOREVER),
    "inactive": ({"status": "paused"}, {}, 500, "inactive", CLOSE),
    "the venue does not trade": ({}, {"trading": False}, 500, "venue_halted", CLOSE),
    "the exchange is down": ({}, {"exchange": False}, 500, "venue_halted", CLOSE),
    "its shard": ({"shard": 2}, {"shards": (1, 2)}, 500, "shard_halted", CLOSE),
    "another shard": ({"shard": 3}, {"shards": (1, 2)}, 500, "", 600),
}


def listing(**changes):
    return mr.instrument(mr.A, **({"ts_open_ns": OPEN, "ts_close_ns": CLOSE} | changes))


@pytest.mark.parametrize("name", TABLE)
def test_hours(name):
    changes, word, now, shut, until = TABLE[name]
    venue = None if word is None else mr.venue(pauses=PAUSES, **word)
    assert hours(listing(**changes), venue, now) == (shut, until)


@given(
    open_ns=st.none() | st.integers(0, 50),
    close_ns=st.none() | st.integers(0, 50),
    starts=st.lists(st.integers(0, 50), max_size=3, unique=True),
    length=st.integers(1, 5),
    trading=st.booleans(),
)
def test_an_answer_holds_until_the_moment_that_it_names(open_ns, close_ns, starts, length, trading):
    listed = listing(ts_open_ns=open_ns, ts_close_ns=close_ns)
    venue = mr.venue(trading=trading, pauses=tuple((start, start + length) for start in sorted(starts)))
    for now in range(60):
        answer = hours(listed, venue, now)
        assert answer.until_ns > now
        for later in range(now, min(answer.until_ns, 60)):
            assert bool(hours(listed, venue, later).shut) == bool(answer.shut)
