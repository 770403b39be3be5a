"""The report of a sweep: from the summaries as `crossbook backtest --sweep` writes them."""

import pytest

from deploy.lab.analysis.summary import summarise
from deploy.lab.report.drawing.layout import render_page
from deploy.lab.report.sweep import sweep_page, swept_keys, write_sweep_report
from tests.builders.outcomes import golden
from tests.builders.pages import tree_of


@pytest.fixture(scope="module")
def summaries():
    found = []
    for edge in (0, 10_000, 25_000):
        for mode in ("none", "constant:50"):
            changed = {"decide.min_edge_micros": edge, "backtest.feed_latency": mode}
            one = summarise(golden(changed=changed)) | {"key": f"{edge}{mode}"}
            found.append(one | {"locked_micros": 1_000_000 - edge * 60})
    return found


def test_each_key_has_a_chart_and_each_run_a_row(summaries, tmp_path):
    path = tmp_path / "sweep.html"
    assert write_sweep_report(summaries, path) < 100_000
    text = path.read_text("utf-8")
    tree_of(text)
    assert text.count("Locked in by decide.min_edge_micros") >= 1
    assert text.count("Locked in by backtest.feed_latency") >= 1
    assert text.count("<tr>") == 1 + len(summaries)
    assert "best by luck" in text


def test_best_stands_first(summaries):
    page = sweep_page(summaries)
    assert page.tiles[0].value == "+$1.00"
    assert page.tiles[2].value == "−$0.5000"
    assert "4 of 6 runs made money" in page.verdict


def test_keys_are_those_that_differ(summaries):
    assert swept_keys(summaries) == ["backtest.feed_latency", "decide.min_edge_micros"]
    assert swept_keys(summaries[:1]) == []
    assert swept_keys([*summaries, summaries[0] | {"changed": {}}]) == [
        "backtest.feed_latency",
        "decide.min_edge_micros",
    ]


def test_no_run_and_no_trade_are_said_so(summaries):
    assert "No run" in render_page(sweep_page([]))
    idle = [one | {"trades": 0, "locked_micros": 0} for one in summaries]
    assert "None of 6 runs made a trade" in sweep_page(idle).verdict
