"""What forbids trading: every source keeps its own word, and only a resume weakens what operators said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.names import VENUES
from executors.engine import Engine, refold
from executors.portfolio.halts import Halts, strictest
from executors.recovery.image import restore_state, state_image
from schemas.records import LimitsChanged, PairApproved, PairRevoked, TradingStateChanged
from tests.builders.executors.worlds import KA, PM, T0, TERMS

PAIRS, CATEGORIES = ("pair", "other"), ("sports", "art")
STRATEGY_NAMES, PORTFOLIOS = ("cross_venue", "quotes"), ("main", "twin")
PLACES = [
    (venues, category, pair_id, strategy)
    for venues in (("kalshi",), ("polymarket",), ("kalshi", "polymarket"))
    for category in CATEGORIES
    for pair_id in PAIRS
    for strategy in STRATEGY_NAMES
]
STRICTNESS = ["running", "reduce_only", "halted"]
SCOPES = st.one_of(
    st.just(("all", "")),
    st.tuples(st.just("venue"), st.sampled_from(tuple(VENUES))),
    st.tuples(st.just("category"), st.sampled_from(CATEGORIES)),
    st.tuples(st.just("pair"), st.sampled_from(PAIRS)),
    st.tuples(st.just("strategy"), st.sampled_from(STRATEGY_NAMES)),
    st.tuples(st.just("portfolio"), st.sampled_from(PORTFOLIOS)),
)
FORBIDDING = st.one_of(
    st.tuples(st.just("say"), SCOPES, st.sampled_from(["reduce_only", "halted"])),
    st.tuples(st.just("revoke"), st.sampled_from(PAIRS)),
    st.tuples(st.just("hold"), st.sampled_from(tuple(VENUES)), st.sampled_from(["t1", "t2"])),
    st.tuples(st.just("kill")),
    st.tuples(st.just("lag"), st.sampled_from([0, 9])),
    st.tuples(st.just("limit")),
)
APPROVING = st.tuples(st.just("approve"), st.sampled_from(PAIRS))
RESUMING = st.tuples(st.just("say"), SCOPES, st.just("running"))


class Desk:
    """An engine and everyone who says something to it."""

    def __init__(self):
        self.engine, self.offset = Engine([0]), 0
        self.engine.configure(TERMS, portfolio="main", code_digest="d")

    @property
    def halts(self):
        return self.engine.state.standing.halts

    def tell(self, word):
        match word:
            case ("say", (scope, value), state):
                self.say(TradingStateChanged, state=state, scope=scope, scope_value=value, reason="")
            case ("revoke", pair_id):
                self.say(PairRevoked, pair_id=pair_id, reason="")
            case ("approve", pair_id):
                self.say(PairApproved, pair_id=pair_id, relation="identity", instrument_a=PM, instrument_b=KA, payouts=(),
                         haircut_micros=0, evidence="")  # fmt: skip
            case ("hold", venue, trade_id):
                self.halts.hold(venue, trade_id)
            case ("kill",):
                self.engine.kill("KILL")
            case ("lag", lag_ns):
                self.engine.watch_lag(lag_ns, 4)
            case ("limit",):
                self.say(LimitsChanged, name="pairs_open_max", value_micros=5, reason="")

    def say(self, cls, **fields):
        assert self.engine.control(cls(ts_ns=T0, operator="me", **fields), self.offset) == ""
        self.offset += 1

    def states(self):
        return {place: self.engine.state.standing.state_for(*place) for place in PLACES}


def lowered(before, after):
    return [place for place in PLACES if STRICTNESS.index(after[place]) < STRICTNESS.index(before[place])]


@given(st.lists(st.one_of(FORBIDDING, APPROVING), max_size=14))
def test_without_a_resume_no_word_ever_weakens_a_state_but_an_approval_its_revocation(words):
    desk = Desk()
    for word in words:
        before, revoked = desk.states(), set(desk.halts.revoked)
        desk.tell(word)
        weaker = lowered(before, desk.states())
        if word[0] != "approve":
            assert weaker == []
        else:
            assert {place[2] for place in weaker} <= revoked & {word[1]}
            assert all(before[place] == "reduce_only" for place in weaker), "a halt stands"


@given(st.lists(st.one_of(FORBIDDING, APPROVING, RESUMING), max_size=14))
def test_the_state_is_the_strictest_of_what_each_source_says_alone(words):
    """A model: one set of halts a source, told only its own words and every resume."""
    desk = Desk()
    sources = {"say": Halts(), "revoke": Halts(), "hold": Halts(), "kill": Halts()}
    for word in words:
        desk.tell(word)
        match word:
            case ("say", (scope, value), "running"):
                for name in ("say", "hold", "kill"):
                    sources[name].say(scope, value, "running")
            case ("say", (scope, value), state):
                sources["say"].say(scope, value, state)
            case ("approve", pair_id):
                sources["revoke"].approve(pair_id)
            case (name, *arguments) if name in sources:
                getattr(sources[name], name)(*arguments)
    expected = {place: strictest(*(one.state_for(*place, "main") for one in sources.values())) for place in PLACES}
    assert desk.states() == expected


@given(st.lists(st.one_of(FORBIDDING, APPROVING, RESUMING), max_size=14))
def test_what_binds_survives_a_checkpoint_and_a_refold(words):
    desk = Desk()
    for word in words:
        desk.tell(word)
    restored = restore_state(state_image(desk.engine.state, ()))
    again = restored.standing.halts
    assert (again.words, again.killed, again.revoked, again.held) == (
        desk.halts.words, desk.halts.killed, desk.halts.revoked, desk.halts.held,
    )  # fmt: skip
    if not any(word[0] == "hold" for word in words):  # those follow from trades, not from words
        refolded, _ = refold(desk.engine.take_and_send())
        assert {place: refolded.standing.state_for(*place) for place in PLACES} == desk.states()
        assert refolded.lagging == desk.engine.state.lagging


HALT_PAIR, HALT_ALL = ("say", ("pair", "pair"), "halted"), ("say", ("all", ""), "halted")
HALT_KALSHI = ("say", ("venue", "kalshi"), "halted")
RESUME_ALL, RESUME_KALSHI = ("say", ("all", ""), "running"), ("say", ("venue", "kalshi"), "running")
RESUME_PAIR = ("say", ("pair", "pair"), "running")
REVOKE, APPROVE = ("revoke", "pair"), ("approve", "pair")
HALT_STRATEGY, HALT_PORTFOLIO = ("say", ("strategy", "cross_venue"), "halted"), ("say", ("portfolio", "main"), "halted")
HOLD, KILL = ("hold", "kalshi", "t1"), ("kill",)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ([HALT_PAIR, APPROVE], "halted"),
        ([HALT_PAIR, REVOKE], "halted"),
        ([REVOKE, APPROVE], "running"),
        ([REVOKE, RESUME_PAIR], "reduce_only"),
        ([REVOKE, RESUME_ALL], "reduce_only"),
        ([REVOKE, HALT_PAIR, APPROVE, RESUME_PAIR], "running"),
        ([HALT_PAIR, RESUME_ALL], "halted"),
        ([HALT_ALL, ("say", ("all", ""), "reduce_only")], "halted"),
        ([("say", ("all", ""), "reduce_only"), HALT_ALL, RESUME_ALL], "running"),
        ([HALT_KALSHI, RESUME_ALL], "running"),
        ([HALT_KALSHI, RESUME_PAIR], "halted"),
        ([HALT_ALL, RESUME_KALSHI], "halted"),
        ([HOLD], "reduce_only"),
        ([HOLD, ("hold", "kalshi", "t2"), RESUME_KALSHI], "running"),
        ([HOLD, RESUME_ALL], "reduce_only"),
        ([HOLD, ("say", ("venue", "polymarket"), "running")], "reduce_only"),
        ([HALT_KALSHI, HOLD], "halted"),
        ([KILL, ("say", ("all", ""), "reduce_only")], "halted"),
        ([KILL, RESUME_KALSHI], "halted"),
        ([KILL, HALT_KALSHI, RESUME_KALSHI, RESUME_ALL], "running"),
        ([HALT_STRATEGY], "halted"),
        ([HALT_STRATEGY, RESUME_ALL], "halted"),
        ([HALT_STRATEGY, ("say", ("strategy", "cross_venue"), "running")], "running"),
        ([("say", ("strategy", "quotes"), "halted")], "running"),
        ([HALT_PORTFOLIO, RESUME_ALL], "halted"),
        ([("say", ("portfolio", "twin"), "halted")], "running"),
        ([HALT_PORTFOLIO, ("say", ("strategy", "cross_venue"), "reduce_only")], "halted"),
        ([HALT_PORTFOLIO, HALT_STRATEGY, ("say", ("portfolio", "main"), "running")], "halted"),
    ],
)
def test_histories_by_hand(words, state):
    desk = Desk()
    for word in words:
        desk.tell(word)
    assert desk.engine.state.standing.state_for(("kalshi", "polymarket"), "sports", "pair", "cross_venue") == state


def test_a_misspelt_venue_is_refused_and_halts_nothing_silently():
    desk = Desk()
    word = TradingStateChanged(ts_ns=T0, operator="me", state="halted", scope="venue", scope_value="kalshy", reason="")
    assert "no venue is called 'kalshy'" in desk.engine.control(word, 0)
