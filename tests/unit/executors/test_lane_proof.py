"""How far a lane folds: no further than decide is proved to have come, and never before the intents that it wrote are here."""

import pytest

from crossbook.market.market_state import MarketState
from executors.errors import LaneError
from executors.lane import Lane
from executors.state import ExecutorState
from executors.venues.paper import PAPER
from executors.venues.port import NEVER_NS, open_gateways
from schemas.records import IntentSeen, TopSeen
from tests.builders.executors.worlds import MS, T0, S, head, intent, opened, status, watermark

RECORDS = [*head(), *(status("kalshi", T0 + n * MS) for n in range(1, 20))]


class Watched:
    """A lane whose journal is a list, with ten records before it."""

    def __init__(self, state=None, clock="recorded"):
        self.journal = []
        market = MarketState()
        state = state or ExecutorState()
        self.lane = Lane(0, state, self.journal.append, market, open_gateways(PAPER, market))
        self.offset = 0
        for position, record in enumerate([opened(clock=clock), *RECORDS[1:10]]):
            self.lane.put_record(position, record)

    def put(self, word):
        """`W4/1`: everything up to position 4 is decided, in one intent; `I3#1`: the first intent, of position 3."""
        kind, position, number = word[0], *map(int, word[1:].replace("#", "/").split("/"))
        if kind == "W":
            self.lane.put_watermark(watermark(position, number), self.offset)
        else:
            self.lane.put_intent(intent(number, position=position), self.offset, 7)
        self.offset += 1

    def run(self):
        """Step as long as something is ready; what was done, in order: a position folded, or an intent journaled."""
        done = []
        while self.lane.ready():
            before, seen = self.lane.position, len(self.journal)
            assert self.lane.next_ts_ns() <= self.lane._reach_ns(RECORDS[min(before + 1, 9)])
            self.lane.step()
            if self.lane.position > before:
                done.append(self.lane.position)
            done += [f"#{one.intent.number}" for one in self.journal[seen:] if isinstance(one, IntentSeen)]
        return done


@pytest.mark.parametrize(
    ("words", "done"),
    [
        pytest.param([], [], id="nothing is proved"),
        pytest.param(["W4/0"], [0, 1, 2, 3, 4], id="a watermark proves its position"),
        pytest.param(["W4/0", "W2/0"], [0, 1, 2, 3, 4], id="an older one takes nothing back"),
        pytest.param(["W99/0"], list(range(10)), id="what is not here yet cannot be folded"),
        pytest.param(["W4/1"], [], id="an intent is missing"),
        pytest.param(["W4/1", "I2#1"], [0, 1, 2, "#1", 3, 4], id="it is here: it comes after its position"),
        pytest.param(["I2#1", "W4/1"], [0, 1, 2, "#1", 3, 4], id="whichever came first"),
        pytest.param(["I6#1"], [0, 1, 2, 3, 4, 5, 6, "#1"], id="the first intent proves that there was none before"),
        pytest.param(["I2#1", "I2#2", "W2/2"], [0, 1, 2, "#1", "#2"], id="two of one position in their order"),
        pytest.param(["W8/2", "I3#1"], [0, 1, 2, 3, "#1"], id="one of two is here"),
        pytest.param(["W5/1", "W8/2", "I3#1"], [0, 1, 2, 3, "#1", 4, 5], id="and proves what waits for it alone"),
        pytest.param(["W5/1", "W8/2", "I3#1", "I7#2"], [0, 1, 2, 3, "#1", 4, 5, 6, 7, "#2", 8], id="and so on"),
        pytest.param(["I2#1", "I2#1", "W3/1"], [0, 1, 2, "#1", 3], id="an intent that is read again is passed over"),
    ],
)
def test_it_folds_as_far_as_is_proved(words, done):
    watched = Watched()
    for word in words:
        watched.put(word)
    assert watched.run() == done
    assert watched.lane.waiting == 10 - len([one for one in done if isinstance(one, int)])


@pytest.mark.parametrize("cut", range(5))
def test_when_the_words_come_does_not_show(cut):
    words = ["W5/1", "I3#1", "I7#2", "W9/2"]
    watched = Watched()
    done = []
    for number, word in enumerate(words):
        watched.put(word)
        if number >= cut:
            done += watched.run()
    done += watched.run()
    assert done == [0, 1, 2, 3, "#1", 4, 5, 6, 7, "#2", 8, 9]


@pytest.mark.parametrize(("seen", "word", "here"), [(0, "I2#2", 0), (3, "I2#5", 3)])
def test_a_lost_intent_stops_the_lane(seen, word, here):
    state = ExecutorState()
    state.intents_seen[0] = seen
    watched = Watched(state)
    number = word.partition("#")[2]
    with pytest.raises(LaneError, match=f"partition 0: number {number} came after {here}"):
        watched.put(word)


def test_what_the_journal_holds_or_another_life_traded_is_not_taken_again():
    state = ExecutorState()
    state.intents_seen[0] = 2
    watched = Watched(state)
    for word in ("I1#1", "I2#2", "W9/2"):
        watched.put(word)
    assert watched.run() == list(range(10))
    later = Watched()
    later.lane.begin_at(4)
    for word in ("I1#4", "I2#5", "W9/5"):
        later.put(word)
    assert [one for one in later.run() if isinstance(one, str)] == ["#5"]


def test_it_says_what_a_restart_must_read_again():
    watched = Watched()
    lane = watched.lane
    assert (lane.first_unprocessed_intent, lane.watermark_needed) == (None, None)
    for word in ("W1/0", "W6/1", "I4#1"):
        watched.put(word)
    assert (lane.first_unprocessed_intent, lane.watermark_needed) == (2, 1)
    while lane.position < 4:
        lane.step()
    assert (lane.first_unprocessed_intent, lane.watermark_needed) == (2, 1)
    watched.run()
    assert (lane.first_unprocessed_intent, lane.watermark_needed) == (None, None)


def test_an_intent_is_journaled_behind_the_tops_of_its_legs_at_the_time_of_its_position():
    watched = Watched()
    for word in ("I7#1", "W7/1"):
        watched.put(word)
    watched.run()
    *tops, seen = watched.journal
    one = seen.intent
    assert [(type(top), top.instrument_id, top.usable) for top in tops] == [
        (TopSeen, leg.instrument_id, False) for leg in one.legs
    ]
    assert {(top.position, top.ts_ns) for top in watched.journal} == {(7, watched.lane.market.now_ns)}
    assert (seen.ts_seen_ns, seen.lag_ns, seen.leader_advised) == (7, 0, None)


@pytest.mark.parametrize(
    ("clock", "wall_after_s", "lag_s"),
    [("wall", None, 0), ("wall", 3, 3), ("wall", -3, 0), ("recorded", 3, 0)],
)
def test_the_lag_is_how_far_the_wall_clock_is_past_stream_time_where_stamps_are_a_wall_clocks(clock, wall_after_s, lag_s):  # fmt: skip
    watched = Watched(clock=clock)
    watched.put("W9/0")
    watched.run()
    lane = watched.lane
    if wall_after_s is not None:
        lane.wall_ns = lane.market.now_ns + wall_after_s * S
    assert lane.lag_ns == lag_s * S


def test_without_trades_nothing_is_due_and_bytes_that_nobody_reads_take_their_position():
    watched = Watched()
    assert watched.lane.due_ns == NEVER_NS
    watched.lane.put_record(10, None)
    watched.put("W10/0")
    while watched.lane.ready():
        watched.lane.step()
    assert (watched.lane.position, watched.lane.waiting, watched.journal) == (10, 0, [])
