"""Latency models: integer quantiles, drawn by what they are drawn for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.runtime.settings import BacktestSettings
from deploy.lab.backtest.errors import ChangeError
from deploy.lab.backtest.models import describe, empirical, lognormal, make_feed_latency, with_order_latency
from executors.terms import PaperTerms, Terms, at_quantile, report_ns, request_min_ns, request_ns
from executors.venues.paper_latency import report_latency_ns, request_latency_ns
from schemas.records import ExecutorConfigured
from tests.builders.executors.journals import CODEC

MS = 1_000_000


@given(p50=st.floats(0.1, 500), factor=st.floats(1, 50), share=st.integers(0, 1_000_000))
def test_lognormal_quantiles_ascend_and_hit_their_two_points(p50, factor, share):
    table = lognormal(p50, p50 * factor)
    assert all(a.share_ppm <= b.share_ppm and a.latency_ns <= b.latency_ns for a, b in pairwise(table))
    assert abs(at_quantile(table, 500_000) - p50 * MS) <= 1 + p50 * MS * 1e-9
    assert abs(at_quantile(table, 990_000) - p50 * factor * MS) <= 1 + p50 * factor * MS * 1e-9
    assert table[0].latency_ns <= at_quantile(table, share) <= table[-1].latency_ns


@given(st.lists(st.integers(-5, 10**9), min_size=20, max_size=200))
def test_empirical_quantiles_lie_within_the_measurements(samples):
    table = empirical(samples)
    assert table[0].latency_ns == max(0, min(samples)) and table[-1].latency_ns == max(0, *samples)
    assert [one.latency_ns for one in table] == sorted(one.latency_ns for one in table)


@given(st.integers(0, 1_000_000), st.integers(0, 1_000_000))
def test_more_of_the_orders_are_never_faster(one, other):
    table = lognormal(40, 300)
    assert at_quantile(table, min(one, other)) <= at_quantile(table, max(one, other))


def test_a_draw_is_a_function_of_seed_and_order():
    table = lognormal(40, 300)
    terms = PaperTerms(wire_quantiles=table, report_quantiles=table, seed=3)
    draws = [request_latency_ns(terms, f"order-{n}") for n in range(2_000)]
    assert draws == [request_latency_ns(terms, f"order-{n}") for n in range(2_000)]
    assert draws != [request_latency_ns(PaperTerms(wire_quantiles=table, seed=4), f"order-{n}") for n in range(2_000)]
    ordered = sorted(draws)
    assert ordered[1_000] == pytest.approx(50 * MS, rel=0.15)  # 40 ms of wire and 10 ms of deciding
    assert ordered[1_980] == pytest.approx(310 * MS, rel=0.35)
    assert report_latency_ns(terms, "order-1") != request_latency_ns(terms, "order-1") - 10 * MS


def test_constant_latencies_are_the_settings():
    assert (
        request_latency_ns(PaperTerms(), "any") == request_ns(PaperTerms()) == request_min_ns(PaperTerms()) == 50 * MS
    )
    assert report_latency_ns(PaperTerms(), "any") == report_ns(PaperTerms()) == 20 * MS
    assert with_order_latency(Terms(), "constant", []) == Terms()


def test_terms_with_a_distribution_come_back_from_a_journal():
    drawn = with_order_latency(Terms(), "lognormal:40/300", [])
    said = ExecutorConfigured(
        sequence=0, ts_ns=0, portfolio="main", code_digest="d", execute=drawn.execute, paper=drawn.paper
    )
    assert CODEC.decode(CODEC.encode(said)) == said and drawn.paper.wire_latency_ms == 40
    assert request_min_ns(drawn.paper) < request_ns(drawn.paper)


def test_empirical_takes_what_the_journal_measured():
    drawn = with_order_latency(Terms(), "empirical", [n * MS for n in range(1, 101)])
    assert drawn.paper.decide_latency_ms == 50 and drawn.paper.decide_quantiles[0].latency_ns == MS
    with pytest.raises(ChangeError, match="at least 20"):
        with_order_latency(Terms(), "empirical", [1, 2, 3])


@pytest.mark.parametrize("text", ["fast", "lognormal", "lognormal:0/5", "lognormal:9/5", "lognormal:a/b", "constant:5"])
def test_no_order_latency(text):
    with pytest.raises(ChangeError, match="latency"):
        with_order_latency(Terms(), text, [])


@pytest.mark.parametrize("text", ["quick", "constant", "constant:5/9", "lognormal:5", "none:3", "constant:kalshi=x"])
def test_no_feed_latency(text):
    with pytest.raises(ChangeError, match="feed_latency"):
        make_feed_latency(BacktestSettings(feed_latency=text), 7)


def test_feed_latency_by_feed():
    found = make_feed_latency(BacktestSettings(feed_latency="lognormal:polymarket=30/90,kalshi=5/5"), 7)
    assert found.draw_ns("kalshi", 1) == found.draw_ns("kalshi", 2) == 5 * MS
    assert found.draw_ns("polymarket", 1) == found.draw_ns("polymarket", 1) != found.draw_ns("polymarket", 2)
    assert found.draw_ns("binance", 1) == 0
    assert make_feed_latency(BacktestSettings(), 7) is None
    assert make_feed_latency(BacktestSettings(feed_latency="constant:12"), 7).draw_ns("any", 0) == 12 * MS


def test_every_model_says_what_it_means():
    for settings in (
        BacktestSettings(),
        BacktestSettings(feed_latency="constant:5", feed_stamp="venue", taker_delay_ms=9),
    ):
        for positions in ("logged", "simulated"):
            models = describe(settings, PaperTerms(wire_quantiles=lognormal(1, 2)), positions)
            assert len({model.name for model in models}) == len(models) >= 10
            assert all(model.value and len(model.meaning) > 20 for model in models)
