"""The page as a file: it parses, needs nobody, stays small, escapes what others wrote, and says why where nothing happened."""

import re

import msgspec
import pytest

from deploy.lab.analysis.analysis import analyse
from deploy.lab.report.drawing.layout import SIZE_MAX, Page, Section, Table, Text, render_page
from deploy.lab.report.errors import ReportError
from deploy.lab.report.page import document_of, read_json, write_json, write_report
from deploy.lab.report.sections import command_of, report_page
from deploy.lab.report.words import clipped, contracts, dollars, surprises, verdict
from schemas.records import TradeUpdate, VenueHeld
from tests.builders import market_records as mr
from tests.builders.logs.projected import like
from tests.builders.outcomes import MICROS, T0, S, blank, golden, simulated
from tests.builders.pages import tree_of

EVIL = "<script>alert('x')</script><img onerror=x>"


@pytest.fixture(scope="module")
def real():
    return simulated(seed=7, seconds=600)


def written(outcome, tmp_path):
    path = tmp_path / "report.html"
    size = write_report(outcome, path)
    text = path.read_text("utf-8")
    assert len(text.encode()) == size < SIZE_MAX
    return text


def test_a_page_needs_nobody_else(real, tmp_path):
    text = written(real, tmp_path)
    tree = tree_of(text)
    assert not re.search(r"https?://|\bsrc=|@import|url\(|<link|//cdn", text)
    for tag, attrs in tree.tags:
        assert not {"src", "srcset", "poster", "action", "data"} & set(attrs), tag
        assert attrs.get("href", "#").startswith("#")
    assert "default-src 'none'" in text


def test_both_themes_are_there_and_can_be_chosen(real, tmp_path):
    text = written(real, tmp_path)
    assert '@media (prefers-color-scheme: dark) { :root:not([data-theme="light"])' in text
    assert ':root[data-theme="dark"]' in text
    assert text.count("--bg: #14171a") == 2
    assert text.count("--bg: #fbfbfa") == 1
    assert 'id="theme"' in text


def test_everything_asked_for_is_in_reading_order(real, tmp_path):
    text = written(real, tmp_path)
    anchors = re.findall(r'<section id="(\w+)"', text)
    assert anchors == [
        "surprises", "assumptions", "equity", "trades", "edges", "entry", "slippage", "breakdowns", "latency", "capital", "waterfall",
        "declined", "counters", "live", "again",
    ]  # fmt: skip
    assert "crossbook backtest --archive finals --positions simulated --seed 7 --set execute.pairs_open_max=20" in text


def test_what_others_wrote_is_text(tmp_path):
    outcome = golden(
        name=EVIL,
        source=EVIL,
        warnings=(EVIL,),
        instruments={
            "polymarket:0xA": mr.instrument("polymarket:0xA", title=EVIL),
            "kalshi:B": mr.instrument("kalshi:B", title=EVIL),
        },
        intents=tuple(msgspec.structs.replace(one, pair_id=EVIL) for one in golden().intents),
        quotes=tuple(msgspec.structs.replace(one, pair_id=EVIL) for one in golden().quotes),
    )
    text = written(outcome, tmp_path)
    tree = tree_of(text)
    assert [tag for tag, _ in tree.tags if tag == "script"] == ["script"]
    assert not [tag for tag, _ in tree.tags if tag == "img"]
    assert "&lt;script&gt;" in text


def test_a_huge_run_stays_below_five_megabytes(tmp_path):
    small = golden()
    fills = [fill for fill in small.fills if type(fill).__name__ == "Fill"]
    hedged = next(one for one in small.journal if isinstance(one, TradeUpdate) and one.state == "hedged")
    many, intents, updates = [], [], []
    for number in range(3_000):
        name = f"{number}-" + "&" * 300
        intents.append(msgspec.structs.replace(small.intents[0], intent_id=name, pair_id=name, ts_ns=T0 + number * S))
        updates.append(msgspec.structs.replace(hedged, trade_id=name, intent_id=name, pair_id=name, reason=name))
        many.append(
            msgspec.structs.replace(
                fills[0], fill_id=name, trade_id=name, intent_id=name, pair_id=name, ts_ns=T0 + number * S
            )
        )
    outcome = blank(fills=tuple(many), intents=tuple(intents), journal=tuple(updates), ts_last_ns=T0 + 3_000 * S)
    text = written(outcome, tmp_path)
    assert "of 3,000 rows" in text


def test_a_page_too_large_with_any_table_is_refused():
    page = Page("t", "", "", (), [Section("a", "A", [Text("x" * 1_999)] * 3_000)])
    with pytest.raises(ReportError, match="shorter range"):
        render_page(page)


def test_tables_say_what_was_cut():
    page = Page("t", "", "", (), [Section("a", "A", [Table(("x", "#y"), [("a", str(n)) for n in range(600)])])])
    assert "The first 500 of 600 rows" in render_page(page)


def test_an_empty_run_says_why(tmp_path):
    text = written(blank(), tmp_path)
    assert "no package was ever priced on both venues at once" in text
    assert 'id="trades"' not in text
    quiet = simulated(seed=3, seconds=120, min_edge=900_000)
    text = written(quiet, tmp_path)
    assert "No trade: the best edge in" in text
    assert "an intent takes 90.00¢" in text
    order = re.findall(r'<section id="(\w+)"', text)
    assert order.index("waterfall") < order.index("edges")


def test_the_verdict_is_no_braver_than_the_figures(real):
    found = analyse(golden())
    assert verdict(golden(), found) == (
        "2 trades locked in $0.6860 after fees; 2 independent bets cannot tell skill from luck."
    )
    figures = analyse(real)
    text = verdict(real, figures)
    error = abs(figures.sharpe.ratio) / figures.sharpe.error
    assert ("luck explains" in text) == (error < 2)
    assert any("sold again" in note for note in surprises(figures))


def test_a_mark_is_never_called_a_profit():
    lonely = golden(fills=tuple(fill for fill in golden().fills if fill.fill_id != "f2"))
    figures = analyse(lonely)
    # 10 YES that cost 4.06 and would bring 4.30; the other trade lost 0.11 by unwinding
    assert (figures.totals.marked_micros, figures.totals.locked_micros) == (240_000, -110_000)
    assert verdict(lonely, figures).startswith(
        "2 trades lost $0.1100 after fees (and +$0.2400 at mark, which is no profit yet)"
    )
    tiles = {tile.name: tile for tile in report_page(lonely, figures).tiles}
    assert (tiles["Locked in"].value, tiles["At mark"].value) == ("−$0.1100", "+$0.2400")
    assert tiles["Contracts hedged"].note == "5 sold again, −$0.1100"


def test_late_declines_and_breaker_time_are_said():
    late = msgspec.structs.replace(golden().journal[-1], reason="late")
    held = [
        like(
            VenueHeld,
            sequence=900 + n,
            ts_ns=T0 + n * 20 * S,
            venue="kalshi",
            state="breaker",
            ts_until_ns=T0 + (n * 20 + 30) * S,
        )
        for n in range(2)
    ]
    figures = analyse(golden(journal=(*golden().journal[:-1], *held, late)))
    (one,) = figures.venue_times
    assert (one.times, one.held_ns) == (2, 50 * S), "what two holds share counts once"
    notes = surprises(figures)
    assert any(note.startswith("1 intent were seen too late") or "seen too late" in note for note in notes)
    assert any("kalshi took no new trade for 50 s, held by its breaker" in note for note in notes)


def test_the_json_is_the_report_uncut(real, tmp_path):
    path = tmp_path / "deep" / "report.json"
    write_json(real, path)
    document = read_json(path)
    assert document == document_of(real)
    assert document.analysis.totals == analyse(real).totals
    assert document.run.log_id == real.log_id


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other", "run": 1}', "[1]"])
def test_what_is_no_report_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ReportError, match="crossbook backtest"):
        read_json(path)


def test_missing_and_unwritable_files_are_said_so(tmp_path):
    with pytest.raises(ReportError, match="cannot read"):
        read_json(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="choose another file"):
        write_json(blank(), tmp_path / "file" / "report.json")


def test_the_command_names_what_was_read():
    assert command_of(blank(source="prefix 'cup.'", changed={"seed": 9}, seed=9)) == (
        "CROSSBOOK_KAFKA__PREFIX=cup. crossbook backtest --positions simulated --seed 9"
    )


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "$0.00"), (1_234_567_891, "$1,234.57"), (-4_200, "−$0.0042"), (-2 * MICROS, "−$2.00"), (None, "–")],
)
def test_amounts_read_like_amounts(micros, text):
    assert dollars(micros) == text


def test_other_words():
    assert dollars(5_000, sign=True) == "+$0.0050"
    assert contracts(1_500_250_000) == "1,500.25"
    assert contracts(-3 * MICROS) == "−3"
    assert clipped("a\n" + "b" * 200, 10) == "a bbbbbbb…"
    assert report_page(blank(name="backtest"), analyse(blank())).title == "Backtest of archive 'empty'"
