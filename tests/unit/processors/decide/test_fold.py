"""decide's step: what opens, changes, closes and suspends an edge, when an intent is due, and that nothing but the log matters."""

import itertools
import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.decide.checkpoint import freeze, newest_state, thaw, to_records
from processors.decide.fold import skip, step
from processors.decide.state import DecideState
from processors.strategies.cross_venue.strategy import CrossVenue
from schemas.records import (
    EdgeStatistics,
    EdgeUpdate,
    InstrumentMoved,
    InstrumentSettled,
    MarketConfigured,
    PairDelisted,
    StrategyConfigured,
    TopOfBook,
    TradeIntent,
    Watermark,
)
from tests.builders import market_records as mr
from tests.builders.lively_market import BIG, books, digest, lively_market
from tests.builders.market_records import CONTRACT, MS, T0, A, B
from tests.builders.places import REPOSITORY

CONFIGURED = (MarketConfigured, StrategyConfigured)


def quotes(outputs):
    return [(quote.package, quote.state) for quote in mr.kinds(outputs, EdgeUpdate)]


def test_an_edge_opens_with_its_waterfall():
    _, outputs = mr.fold(mr.head() + books())
    (quote,) = mr.kinds(outputs, EdgeUpdate)
    assert (quote.package, quote.state, quote.quantity_micros) == ("yes_a_no_b", "opened", BIG)
    assert (quote.cost_a_micros, quote.cost_b_micros, quote.payout_micros) == (40 * CONTRACT, 54 * CONTRACT, BIG)
    assert (quote.fee_a_micros, quote.fee_b_micros) == (1_680_000, 745_200)
    assert quote.net_micros == 6 * CONTRACT - 1_680_000 - 745_200
    assert quote.net_per_contract_micros == 35_748
    assert quote.distance_micros == 10_748
    assert (quote.schedule_a, quote.schedule_b) == (mr.KALSHI_FEES.hash, mr.POLYMARKET_FEES.hash)


def test_an_intent_follows_its_quote_and_names_everything():
    _, outputs = mr.fold(mr.head() + books())
    (intent,) = mr.kinds(outputs, TradeIntent)
    kinds = [type(output.record) for output in outputs if output.record.position == intent.position]
    assert kinds == [TopOfBook, TopOfBook, EdgeUpdate, TradeIntent]
    assert [output.record.index for output in outputs if output.record.position == intent.position] == [0, 1, 2, 3]
    assert intent.intent_id == f"{mr.LOG_ID[:12]}-0-{intent.position}-{intent.index}"
    assert (intent.legs[0].outcome, intent.legs[0].price_limit_micros) == ("yes", 400_000)
    assert (intent.legs[1].outcome, intent.legs[1].price_limit_micros) == ("no", 540_000)
    assert intent.valid_until_ns == intent.ts_ns + 500 * MS
    assert intent.number == 1


def test_a_strategy_that_is_announced_no_longer_ends():
    makers = {"cross_venue": CrossVenue, "another": CrossVenue}
    named = [mr.strategy(name="another"), *mr.settings()]
    records = [mr.opened(), *named, *(one for one in mr.head()[1:] if not isinstance(one, CONFIGURED)), *books()]
    state, outputs = mr.fold(records, DecideState(mr.DIGEST, makers))
    assert {one.strategy for one in mr.kinds(outputs, TradeIntent)} == set(makers)
    left = mr.settings(T0 + 2 * MS, control_offset=7)
    assert not step(state, len(records), left[0])
    assert set(state.strategies) == set(makers), "the announcement is not over"
    step(state, len(records) + 1, left[1])
    assert set(state.strategies) == set(state.market.strategies) == {"cross_venue"}
    assert freeze(thaw(freeze(state), mr.DIGEST, makers)) == freeze(state)


def test_quotes_change_close_and_open_again():
    records = mr.head() + books()
    records += [
        mr.delta(B, T0 + 2 * MS, 2, bids=[(440_000, BIG)]),  # below the top: no news
        mr.delta(B, T0 + 3 * MS, 3, bids=[(460_000, BIG // 2), (440_000, BIG // 4)]),  # smaller
        mr.delta(B, T0 + 4 * MS, 4, bids=[(460_000, 0), (440_000, 0), (410_000, BIG)]),
        mr.delta(B, T0 + 5 * MS, 5, bids=[(460_000, BIG)]),
    ]
    _, outputs = mr.fold(records)
    assert [state for _, state in quotes(outputs)] == ["opened", "changed", "closed", "opened"]


def test_staleness_suspends_and_a_watermark_is_written():
    records = mr.head() + books()
    records += [mr.status("kalshi", T0 + n * 400 * MS) for n in range(1, 8)]
    _, outputs = mr.fold(records)
    quote = mr.kinds(outputs, EdgeUpdate)[-1]
    assert (quote.state, quote.reason) == ("suspended", "leg_b_stale")
    assert quote.ts_ns - T0 == 2_400 * MS
    assert mr.kinds(outputs, Watermark)[-1].intents == 1


@pytest.mark.parametrize(
    ("record", "state", "reason"),
    [
        (InstrumentMoved(ts_received_ns=T0, instrument_id=B, group_from="group", group_to="other"), "closed", "moved"),
        (
            InstrumentSettled(ts_received_ns=T0, instrument_id=A, payout_yes_micros=CONTRACT, source=""),
            "closed",
            "settled",
        ),
        (mr.instrument(A, status="closed"), "closed", "closed"),
        (PairDelisted(ts_received_ns=T0, pair_id="pair", reason="revoked"), "closed", "delisted"),
        (mr.status("kalshi", T0 + MS, state="down"), "suspended", "leg_a_feed_down"),
        (mr.status("polymarket", T0 + MS, state="resync", instruments=(B,)), "suspended", "leg_b_resync"),
        (mr.status("polymarket", T0 + MS, session=2), "suspended", "leg_b_session"),
        (mr.status("kalshi", T0 + 60_000 * MS), "suspended", "clock_suspect"),
        (mr.delta(A, T0 + MS, 9, asks=[(500_000, BIG)]), "suspended", "leg_a_hole"),
        (mr.delta(A, T0 + MS, 2, bids=[(400_000, BIG)]), "suspended", "leg_a_crossed"),
        (mr.delta(A, T0 + MS, 2, asks=[(400_500, BIG)]), "suspended", "leg_a_off_grid"),
        (mr.delta(A, T0 + MS, 2, asks=[(400_000, 0)]), "closed", "no_depth"),
    ],
)
def test_what_ends_a_quote(record, state, reason):
    _, outputs = mr.fold([*mr.head(), *books(), record])
    quote = mr.kinds(outputs, EdgeUpdate)[-1]
    assert (quote.state, quote.reason) == (state, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"head": {"min_edge_micros": 40_000}},
        {"b": {"ts_close_ns": T0 + 100_000 * MS}},
        {"b": {"ts_game_start_ns": T0 + 50_000 * MS}},
        {"venue": {"pauses": ((T0 + 100_000 * MS, T0 + 200_000 * MS),)}},
        {"a": {"minimums": ()}},
        {
            "a": {
                "minimums": (
                    mr.OrderMinimum(
                        order_type="marketable", side="buy", quantity_micros=200 * CONTRACT, notional_micros=0
                    ),
                )
            }
        },
        {
            "b": {
                "minimums": (
                    mr.OrderMinimum(order_type="marketable", side="buy", quantity_micros=1, notional_micros=BIG),
                )
            }
        },
        {"head": {"cost_max_micros": 1}},
    ],
    ids=str,
)
def test_what_forbids_an_intent_leaves_the_quote(changes):
    head = mr.head(**changes.get("head", {}))
    head += [mr.instrument(A, **changes.get("a", {})), mr.instrument(B, **changes.get("b", {}))]
    head += [mr.venue(**changes["venue"])] if "venue" in changes else []
    _, outputs = mr.fold(head + books())
    assert quotes(outputs) == [("yes_a_no_b", "opened")]
    assert mr.kinds(outputs, TradeIntent) == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ([record for record in mr.head() if not isinstance(record, mr.FrictionPack)], "no_friction"),
        ([*mr.head(), mr.friction(lockup_ppm_per_year=40_000, hash="g" * 64)], "payout_time_unknown"),
        ([*mr.head(), mr.pair(payouts=mr.cells()[:-1])], "payout_missing_postponed"),
        (
            [*mr.head(), mr.pair(payouts=(*mr.cells()[:-1], msgspec.structs.replace(mr.cells()[-1], admissible=True)))],
            "payout_unknown_postponed",
        ),
    ],
    ids=["friction", "payout time", "missing cell", "unknown cell"],
)
def test_what_is_unknown_fails_closed_and_says_so_once(head, reason):
    _, outputs = mr.fold([*head, *books(), *books(T0 + 2 * MS, bid_b=470_000, sequence=2)])
    found = [(quote.package, quote.state, quote.reason) for quote in mr.kinds(outputs, EdgeUpdate)]
    assert found == [("yes_a_no_b", "suspended", reason), ("no_a_yes_b", "suspended", reason)]
    assert mr.kinds(outputs, TradeIntent) == []


@pytest.mark.parametrize("stored", [False, True])
def test_a_pair_whose_legs_are_contradicted_is_never_intended_and_says_so_at_once(stored):
    """One false word among thousands: the true pair is not replaced by two bets, it ends, and people see why."""
    rival = "polymarket:0xrival"
    state, _ = mr.fold([*mr.head(cooldown_ns=0), mr.instrument(rival), *books(bid_b=390_000)])
    state, outputs = mr.fold([mr.pair(T0 + 2 * MS, b=rival)], state)
    assert [(q.package, q.state, q.reason) for q in mr.kinds(outputs, EdgeUpdate)] == [
        ("yes_a_no_b", "suspended", "legs_changed"),
        ("no_a_yes_b", "suspended", "legs_changed"),
    ]
    state = thaw(freeze(state), mr.DIGEST) if stored else state
    later = [
        mr.snapshot(rival, T0 + 3 * MS, 1, bids=[(900_000, BIG)], asks=[(910_000, BIG)]),
        *books(T0 + 4 * MS, sequence=2),
        mr.pair(T0 + 5 * MS, keyframe=True),
        *books(T0 + 6 * MS, bid_b=470_000, sequence=3),
    ]
    _, outputs = mr.fold(later, state)
    assert mr.kinds(outputs, TradeIntent) == [] == mr.kinds(outputs, EdgeUpdate)


def test_the_cost_cap_cuts_the_quantity_on_the_step():
    _, outputs = mr.fold(mr.head(cost_max_micros=20 * CONTRACT) + books())
    (intent,) = mr.kinds(outputs, TradeIntent)
    leg = intent.legs[1]
    assert leg.cost_micros + leg.fee_micros <= 20 * CONTRACT
    assert leg.cost_micros + leg.fee_micros > 20 * CONTRACT - 6_000
    assert intent.quantity_micros % mr.LOT == 0


def test_depth_that_dilutes_the_average_does_not_hide_a_good_top():
    deep = mr.snapshot(
        B, T0 + 2 * MS, 2, bids=[(460_000, 10 * CONTRACT), (430_000, 90 * CONTRACT)], asks=[(470_000, BIG)]
    )
    _, outputs = mr.fold([*mr.head(), books()[0], deep])
    (quote,), (intent,) = mr.kinds(outputs, EdgeUpdate), mr.kinds(outputs, TradeIntent)
    assert (quote.quantity_micros, quote.distance_micros < 0) == (BIG, True)
    assert intent.quantity_micros == 10 * CONTRACT
    assert intent.net_per_contract_micros >= 25_000


def test_cool_down_holds_for_the_pair():
    records = mr.head() + books()
    for n in range(2, 8):
        records.append(mr.delta(A, T0 + n * 450 * MS, n, asks=[(400_000, BIG + n * CONTRACT)]))
        records += [mr.status(feed, T0 + n * 450 * MS) for feed in ("kalshi", "polymarket")]
    _, outputs = mr.fold(records)
    first, second = mr.kinds(outputs, TradeIntent)
    assert second.ts_ns - first.ts_ns >= 2_000 * MS
    assert second.number == 2


def test_a_complement_pair_buys_both_yes_or_both_no():
    head = [mr.pair(relation="complement") if isinstance(one, mr.PairListed) else one for one in mr.head()]
    bid, ask = [(390_000, BIG)], [(400_000, BIG)]
    _, outputs = mr.fold(
        [*head, mr.snapshot(A, T0 + MS, 1, bids=bid, asks=ask), mr.snapshot(B, T0 + MS, 1, bids=bid, asks=ask)]
    )
    (quote,) = mr.kinds(outputs, EdgeUpdate)
    assert (quote.package, quote.state, quote.gross_micros) == ("yes_a_yes_b", "opened", 20 * CONTRACT)


def test_unchanged_keyframes_change_no_output():
    records = lively_market(400)
    state, _ = mr.fold(records)
    quiet = thaw(freeze(state), mr.DIGEST)
    now = state.market.now_ns
    frames = [
        msgspec.structs.replace(one, ts_received_ns=now, keyframe=True) for one in state.market.instruments.values()
    ]
    frames += [msgspec.structs.replace(one, ts_received_ns=now, keyframe=True) for one in state.market.pairs.values()]
    for book in state.market.books.values():
        if not book.broken:
            levels = book.book.levels()
            frames.append(
                mr.BookSnapshot(
                    ts_received_ns=now,
                    instrument_id=book.instrument_id,
                    feed=book.feed,
                    session=book.session,
                    sequence=book.sequence,
                    delivery=book.delivery,
                    cadence_ms=0,
                    keyframe=True,
                    **levels._asdict(),
                )
            )
    assert len(frames) > 6
    _, outputs = mr.fold(frames, quiet)
    assert outputs == []


def test_tops_are_written_at_most_once_an_interval():
    records = [*mr.head(), mr.snapshot(A, T0, 1, bids=[(300_000, BIG)], asks=[(310_000, BIG)])]
    records += [mr.delta(A, T0 + n * 10 * MS, 1 + n, asks=[(310_000, BIG + n * CONTRACT)]) for n in range(1, 40)]
    _, outputs = mr.fold(records)
    stamps = [top.ts_ns for top in mr.kinds(outputs, TopOfBook)]
    assert stamps == [T0, *(T0 + n * 100 * MS for n in range(1, 4))]


@pytest.mark.parametrize("other", mr.settings(T0, code_digest="e" * 64), ids=["strategy", "market"])
def test_nothing_is_written_before_settings_nor_while_other_code_decides(other):
    records = mr.head() + books()
    without = [record for record in records if not isinstance(record, mr.MarketConfigured)]
    state, outputs = mr.fold(without)
    assert outputs == []
    state, outputs = mr.fold(mr.settings(T0), thaw(freeze(state), mr.DIGEST))
    assert outputs
    state, outputs = mr.fold([other, mr.status("kalshi", T0 + 600 * MS)], state)
    assert (outputs, state.other_code) == ([], "e" * 64)


def test_an_unreadable_record_counts_as_a_position():
    state = DecideState(mr.DIGEST)
    step(state, 0, mr.opened())
    skip(state, 1)
    assert state.market.position == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_checkpoint_anywhere_continues_with_the_same_bytes(seed):
    records = lively_market(500, seed)
    whole, outputs = mr.fold(records)
    assert mr.kinds(outputs, EdgeUpdate)
    for cut in (3, 5, 9, 40, 137, 251, 260, 330, len(records) - 1):
        half, first = mr.fold(records[:cut])
        again = thaw(freeze(half), mr.DIGEST)
        assert freeze(again) == freeze(half)
        end, rest = mr.fold(records[cut:], again)
        assert digest([*first, *rest]) == digest(outputs)
        assert freeze(end) == freeze(whole)


def test_checkpoints_of_others_and_broken_ones_are_ignored(monkeypatch):
    monkeypatch.setattr("crossbook.log.chunks.CHUNK_BYTES", 1_000)
    records = lively_market(200)
    early, late = to_records(mr.fold(records[:100])[0]), to_records(mr.fold(records)[0])
    assert len(late) > 3
    own = {"log_id": mr.LOG_ID, "partition": 0, "position_max": 10_000, "code_digest": mr.DIGEST}
    assert newest_state([*early, *late], **own).market.position == len(records) - 1
    assert newest_state([*early, *late], **own | {"position_max": 150}).market.position == 99
    assert newest_state([*early, *late[:-1]], **own).market.position == 99
    assert newest_state([*late[:2], *early], **own).market.position == 99
    damaged = [msgspec.structs.replace(late[0], payload=b"{"), *late[1:]]
    assert newest_state([*early, *damaged], **own).market.position == 99
    for other in ({"log_id": "x"}, {"partition": 1}, {"code_digest": "x"}):
        assert newest_state([*early, *late], **own | other) is None
    told = []
    others = [msgspec.structs.replace(one, format_version=99) for one in early]
    newest_state([*others, *damaged], **own, on_ignored=lambda position, reason: told.append((position, reason)))
    assert [position for position, _ in told] == [99, len(records) - 1]
    assert "its format is 99" in told[0][1] and "could not be read" in told[1][1]
    told.clear()
    newest_state(late, **own | {"code_digest": "x" * 64}, on_ignored=lambda *told_of: told.append(told_of))
    assert len(told) == 1 and "it was written by code" in told[0][1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1_000), cuts=st.lists(st.integers(2, 299), min_size=1, max_size=4, unique=True))
def test_a_restart_from_any_checkpoint_gives_the_bytes_of_a_fold_from_zero(seed, cuts):
    records = lively_market(300, seed)
    whole, outputs = mr.fold(records)
    written, checkpoints = [], []
    state, at = None, 0
    for cut in sorted(cuts):  # each life goes on from the checkpoint of the one before
        state, more = mr.fold(records[at:cut], state)
        written += more
        checkpoints += to_records(state)
        state = newest_state(checkpoints, log_id=mr.LOG_ID, partition=0, position_max=cut - 1, code_digest=mr.DIGEST)
        at = state.market.position + 1
        assert at == cut
    end, rest = mr.fold(records[at:], state)
    assert digest([*written, *rest]) == digest(outputs)
    assert freeze(end) == freeze(whole)


def test_hash_seeds_do_not_show():
    code = (
        "from tests.builders import market_records as mr\n"
        "from tests.builders.lively_market import digest, lively_market\n"
        "print(digest(mr.fold(lively_market(600, pairs=3))[1]))"
    )
    root = REPOSITORY
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "77")
    }
    assert len(found) == 1


def test_statistics_come_with_a_watermark():
    _, outputs = mr.fold(lively_market(300))
    for output, following in itertools.pairwise(outputs):
        if isinstance(output.record, EdgeStatistics):
            assert isinstance(following.record, EdgeStatistics | Watermark)
