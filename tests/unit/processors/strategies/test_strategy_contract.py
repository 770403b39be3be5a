"""The law of strategies, for every one: a function of the market and its own state, whatever the batches and wherever it restarts."""

import msgspec
import pytest

from processors.decide.checkpoint import freeze, thaw
from processors.decide.code_digest import decision_digest, decision_modules
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from processors.errors import CheckpointError, StrategySettingsError
from processors.strategies.base import UNPLACED
from processors.strategies.cross_venue.strategy import CrossVenue
from processors.strategies.table import STRATEGIES
from schemas.codec import load_codec
from schemas.records import Observation, PublicTrade, QuoteIntent, TakeIntent, TopOfBook, TradeIntent, Watermark
from tests.builders import market_records as mr
from tests.builders.lively_market import digest, lively_market
from tests.builders.logs.archived import lines_of
from tests.builders.strategies import BOTH, Maker

TABLES = pytest.mark.parametrize(
    "table", [STRATEGIES, {"maker": Maker}, BOTH], ids=["cross_venue", "a second one", "both in one fold"]
)
MAKERS = pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)


def market(table, events=500, seed=4):
    """A lively market with trades of others in it, which configures each strategy of a table under the same settings."""
    found = []
    for number, record in enumerate(lively_market(events, seed)):
        if isinstance(record, mr.StrategyConfigured):
            found += [msgspec.structs.replace(record, strategy=name) for name in table]
            continue
        found.append(record)
        if isinstance(record, mr.BookDelta) and number % 3 == 0:
            found.append(
                PublicTrade(
                    ts_received_ns=record.ts_received_ns, instrument_id=record.instrument_id, feed=record.feed, session=record.session,
                    trade_id=str(number), price_micros=500_000, quantity_micros=mr.CONTRACT, taker_side="buy",
                )
            )  # fmt: skip
    return found


def fold(records, table, state=None):
    return mr.fold(records, DecideState(mr.DIGEST, table) if state is None else state)


@TABLES
def test_equal_logs_give_equal_outputs_and_something_is_intended(table):
    records = market(table)
    (one, first), (other, second) = fold(records, table), fold(records, table)
    assert digest(first) == digest(second)
    assert freeze(one) == freeze(other)
    intended = {type(output.record) for output in first if output.topic == "intents"}
    assert intended == ({TradeIntent} if table is STRATEGIES else {QuoteIntent, TakeIntent} if len(table) == 1 else
                        {TradeIntent, QuoteIntent, TakeIntent})  # fmt: skip


@TABLES
def test_an_image_goes_round_and_a_restart_anywhere_continues_with_the_same_bytes(table):
    records = market(table, 300)
    whole, outputs = fold(records, table)
    for cut in range(2, len(records), 23):
        half, first = fold(records[:cut], table)
        again = thaw(freeze(half), mr.DIGEST, table)
        assert freeze(again) == freeze(half)
        end, rest = fold(records[cut:], table, again)
        assert digest([*first, *rest]) == digest(outputs)
        assert freeze(end) == freeze(whole)


@TABLES
@pytest.mark.parametrize("size", [1, 7, None], ids=["one", "seven", "all"])
def test_batches_do_not_show(table, size):
    records = market(table, 200)
    codec = load_codec()
    partition = PartitionFold(0, codec, DecideState(mr.DIGEST, table))
    lines = list(lines_of(records))
    found = []
    step_size = size or len(lines)
    for begin in range(0, len(lines), step_size):
        for line in lines[begin : begin + step_size]:
            found += partition.take(line.offset, line.value)
    assert digest(found) == digest(fold(records, table)[1])


@TABLES
def test_the_fold_numbers_what_strategies_want_and_writes_the_tops_they_name_before(table):
    records = market(table)
    _, outputs = fold(records, table)
    intents = 0
    tops = {}
    for place, output in enumerate(outputs):
        record = output.record
        at = (record.position, record.index)
        previous = outputs[place - 1].record if place else None
        assert previous is None or at > (previous.position, previous.index)
        assert record.index == (previous.index + 1 if previous and previous.position == record.position else 0)
        if isinstance(record, TopOfBook):
            tops[record.instrument_id] = record.position
        elif output.topic == "intents":
            intents += 1
            assert record.intent_id == f"{mr.LOG_ID[:12]}-0-{record.position}-{record.index}"
            assert record.ts_received_ns == records[record.position].ts_received_ns
            named = (
                [leg.instrument_id for leg in record.legs]
                if isinstance(record, TradeIntent)
                else [record.instrument_id]
            )
            assert all(tops[name] == record.position for name in named)
            assert record.number == intents, "all intents of a partition are numbered in one row"
            assert record.strategy == ("cross_venue" if isinstance(record, TradeIntent) else "maker")
        elif isinstance(record, Watermark):
            assert record.intents == intents
    assert intents


def test_one_strategy_does_not_change_what_another_one_decides():
    def told(table, kinds):
        place = ("position", "index", "intent_id", "number")
        return [
            {name: value for name, value in msgspec.structs.asdict(output.record).items() if name not in place}
            for output in fold(market(table), table)[1]
            if type(output.record) in kinds
        ]

    for kinds in ({TradeIntent}, {QuoteIntent, TakeIntent}):
        alone = STRATEGIES if TradeIntent in kinds else {"maker": Maker}
        assert told(alone, kinds) == told(BOTH, kinds) != []


@MAKERS
def test_a_draft_holds_no_place(make):
    class Watched:
        def __init__(self):
            self.inner = make()
            self.follows = self.inner.follows

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def on(self, view, change):
            drafts = self.inner.on(view, change)
            for draft in drafts:
                assert {name: getattr(draft.record, name) for name in UNPLACED} == UNPLACED
                assert draft.group
            return drafts

    table = {"watched": Watched}
    fold(market(table), table)


@MAKERS
def test_settings_that_are_none_are_refused_by_name(make):
    with pytest.raises(StrategySettingsError, match="Settings: "):
        make().configure({})
    with pytest.raises(StrategySettingsError, match="intent_valid_ns"):
        make().configure({"intent_valid_ns": "soon"} | dict.fromkeys(
            ("min_edge_micros", "edge_change_micros", "cooldown_ns", "close_window_ns", "game_start_window_ns", "cost_max_micros"), "1"
        ))  # fmt: skip


def test_a_strategy_may_not_write_what_is_the_folds():
    class Forger(CrossVenue):
        def on(self, view, change):
            forged = Watermark(**UNPLACED, intents=0, clamped=0)
            return [msgspec.structs.replace(draft, record=forged) for draft in super().on(view, change)]

    table = {"forger": Forger}
    with pytest.raises(AssertionError, match="forger may not write Watermark"):
        fold(market(table), table)


def test_a_state_of_a_strategy_that_this_code_has_not_is_ignored():
    state, _ = fold(market(BOTH, 50), BOTH)
    with pytest.raises(CheckpointError, match="could not be read"):
        thaw(freeze(state), mr.DIGEST, STRATEGIES)


def test_the_digest_names_the_strategies_of_the_table_too():
    assert decision_digest(BOTH) != decision_digest()
    assert set(decision_modules(BOTH)) > set(decision_modules())
    assert "tests.builders.strategies" in decision_modules(BOTH)


def test_a_strategy_runs_from_where_the_log_configures_it_and_an_unknown_one_is_refused():
    early = market(STRATEGIES, 300)
    late = [*early[:200], mr.strategy(early[199].ts_received_ns, "maker"), *early[200:]]
    outputs = fold(late, BOTH)[1]
    quoted = [output.record.position for output in outputs if isinstance(output.record, QuoteIntent)]
    assert quoted and min(quoted) > 200
    with pytest.raises(StrategySettingsError, match="maker: this code has no such strategy; it has cross_venue"):
        fold(late, STRATEGIES)


def test_trades_reach_who_follows_them_and_observations_reach_everyone_as_they_were_told():
    heard = {"follower": [], "other": []}

    def listener(name, follows):
        class Listener(Maker):
            def on(self, view, change):
                heard[name] += [] if change.told is None else [change.told]
                return ()

        Listener.follows = frozenset(follows)
        return Listener

    table = {"follower": listener("follower", {"trade"}), "other": listener("other", ())}
    records = market(table, 60)
    seen = Observation(
        ts_received_ns=records[-1].ts_received_ns, source="desk", subject="kalshi:T0", kind="probability", value_micros=400_000,
        confidence_ppm=900_000, model="poll/2", evidence="",
    )  # fmt: skip
    fold([*records, seen], table)
    trades = [record for record in records if isinstance(record, PublicTrade)]
    assert heard == {"follower": [*(one for one in trades if one in heard["follower"]), seen], "other": [seen]}
    assert len(heard["follower"]) > 5


def test_an_observation_changes_nothing_that_the_pair_decides():
    records = market(STRATEGIES, 300)
    seen = [
        Observation(
            ts_received_ns=record.ts_received_ns, source="desk", subject="", kind="score", model="", evidence=""
        )
        for record in records[:100]
    ]
    _, without = fold(records, STRATEGIES)
    _, outputs = fold(
        [*records[:100], *(one for pair in zip(seen, records[100:200], strict=True) for one in pair), *records[200:]],
        STRATEGIES,
    )

    def told(found):
        return [(type(one.record), one.record.net_micros) for one in found if isinstance(one.record, TradeIntent)]

    assert told(outputs) == told(without) != []
