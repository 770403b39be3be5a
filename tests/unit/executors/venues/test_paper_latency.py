"""The paper venue under drawn latencies: each order its own, the same at any batch, and a journal that refolds."""

import pytest

from executors.engine import refold
from executors.journal import topic_of
from executors.terms import ExecuteTerms, PaperTerms, Terms, at_quantile, quantiles_of
from executors.venues.paper_faults import fault
from executors.venues.paper_latency import report_latency_ns, request_latency_ns
from schemas.records import OrderReport, OrderRequested
from tests.builders.executors.worlds import make_world, run_world

MS = 1_000_000
SLOW = quantiles_of(((0, 5 * MS), (500_000, 40 * MS), (990_000, 300 * MS), (1_000_000, 400 * MS)))
QUICK = quantiles_of(((0, 0), (1_000_000, 30 * MS)))
DRAWN = Terms(
    execute=ExecuteTerms(pairs_open_max=20),
    paper=PaperTerms(wire_quantiles=SLOW, report_quantiles=QUICK, decide_quantiles=QUICK, vanish_ppm=100_000),
)


@pytest.mark.parametrize("seed", range(3))
def test_batches_do_not_show(seed):
    world = make_world(seed, 700)
    whole = run_world(world, DRAWN)[1]
    for batch in (1, 7, 500):
        assert run_world(world, DRAWN, batch)[1] == whole


def test_every_order_has_its_own_latency_and_no_report_comes_before_it():
    written = run_world(make_world(3, 1_500), DRAWN)[1]
    requests = {r.order_id: r for r in written if isinstance(r, OrderRequested)}
    latencies = {name: request_latency_ns(DRAWN.paper, name) for name in requests}
    assert len(set(latencies.values())) > len(requests) // 2 > 5
    for report in (r for r in written if isinstance(r, OrderReport) and r.reason not in {"MINED", "FAILED"}):
        assert report.ts_venue_ns >= requests[report.order_id].ts_ns + latencies[report.order_id]
        assert report.ts_ns == report.ts_venue_ns + report_latency_ns(DRAWN.paper, report.order_id)


def test_equal_orders_of_two_portfolios_meet_equal_luck():
    assert {request_latency_ns(DRAWN.paper, f"main-i{n}-l1") for n in range(9)} == {
        request_latency_ns(DRAWN.paper, f"twin-i{n}-l1") for n in range(9)
    }
    rough = PaperTerms(reject_ppm=500_000)
    assert [fault(rough, "reject", f"main-i{n}-l1", rough.reject_ppm) for n in range(99)] == [
        fault(rough, "reject", f"twin-i{n}-l1", rough.reject_ppm) for n in range(99)
    ]


def test_the_journal_refolds():
    engine, written = run_world(make_world(5, 900), DRAWN)
    state, _ = refold([r for r in written if topic_of(r) == "orders"])
    assert state.trades == engine.state.trades and state.terms == DRAWN


@pytest.mark.parametrize(
    ("share", "latency"), [(0, 5 * MS), (250_000, 22_500_000), (500_000, 40 * MS), (990_000, 300 * MS), (999_999, 399_990_000), (1_000_000, 400 * MS)]
)  # fmt: skip
def test_quantiles_are_linear_between_their_points_in_integers(share, latency):
    assert at_quantile(SLOW, share) == latency
    assert at_quantile(quantiles_of(((0, 7),)), share) == 7
