"""What every row of the table of venues keeps, a plug-in's too: built from settings without I/O, one name everywhere, listings that can be traded."""

import asyncio
import json

import httpx
import pytest
import structlog

from crossbook.domain.fees import check_changes, check_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.domain.names import parse_instrument_id
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import Settings
from producers.errors import CatalogError
from producers.venues import BUILT_IN, StatusDesk, VenueAdapter, check_adapters
from schemas.codec import load_codec
from schemas.records import InstrumentListed
from schemas.words import checker
from tests.builders.plugin.acme import ACME, ADAPTER, AcmeSettings, plugged_in
from tests.builders.producers.catalogues import ANSWERS
from tests.builders.producers.drivers import DRIVERS, MS, START_MS
from tests.builders.producers.keys import write_key

LOG = structlog.wrap_logger(structlog.ReturnLogger())
TABLE = (*BUILT_IN, ADAPTER)


@pytest.fixture(autouse=True, scope="module")
def plug_in():
    with plugged_in():
        yield


@pytest.fixture
def settings(tmp_path):
    """Settings under which every venue can be opened; no address leads anywhere."""
    return Settings(
        kalshi={"key_id": "k", "key_file": write_key(tmp_path)}, venues={ACME: {"url": "http://acme.invalid"}}
    )


@pytest.fixture(params=TABLE, ids=lambda one: one.venue)
def adapter(request) -> VenueAdapter:
    return request.param


def answering(answer):
    """A client that nobody but `answer` answers."""
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def opened(adapter, settings, answer=lambda request: httpx.Response(503)):
    return adapter.open(settings, StatusDesk(answering(answer), lambda record: True, lambda: 1, LOG))


def test_everything_of_a_venue_bears_its_name(adapter, settings):
    found = opened(adapter, settings)
    protocol = found.protocol("feed-7", silence_ns=1, answer_ns=1, check_ns=1)
    assert found.venue == adapter.venue == protocol.venue == DRIVERS[adapter.venue]().protocol.venue
    assert protocol.feed == "feed-7"
    assert (protocol.status(5).state, protocol.status(5).venue) == ("down", adapter.venue)
    assert protocol.followed == {}
    assert protocol.to_send() == []
    assert found.instruments_max is None or found.instruments_max > 0
    assert found.budget.wait_ns(0) == 0


def test_a_venue_that_is_not_enabled_is_not_opened(adapter, settings):
    section = adapter.settings_of(settings).model_copy(update={"enabled": False})
    own = (
        {adapter.venue: section}
        if hasattr(settings, adapter.venue)
        else {"venues": {adapter.venue: section.model_dump()}}
    )
    assert opened(adapter, settings.model_copy(update=own)) is None


def test_what_is_listed_can_be_traded_and_written(adapter, settings):
    """The listings of built answers are of the venue, priced, on a grid, and every word of theirs is known."""
    refused: list[str] = []
    catalogue = opened(adapter, settings, ANSWERS[adapter.venue]).catalogue
    listed = asyncio.run(catalogue.discover(0, 10, START_MS * MS, refused))
    assert refused == []
    assert listed
    codec = load_codec()
    for one in listed:
        assert one.venue == adapter.venue
        assert parse_instrument_id(one.instrument_id) == (one.venue, one.symbol)
        assert parse_instrument_id(one.event_id).venue == one.venue
        check_schedule(one.fee_schedule)
        check_changes(one.fee_schedule, one.fee_changes)
        assert PriceGrid.from_ranges(one.grid).ranges == one.grid
        assert one.quantity_step_micros > 0
        assert {(m.order_type, m.side) for m in one.minimums} >= {("marketable", "buy"), ("marketable", "sell")}
        assert checker(InstrumentListed) is not None
        assert codec.decode(codec.encode(one)) == one
        again = asyncio.run(catalogue.find(one.symbol, START_MS * MS, refused))
        assert again == one
    assert asyncio.run(catalogue.settlements(listed, START_MS * MS, refused)) == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: httpx.Response(503),
        lambda request: httpx.Response(200, content=b"{"),
        lambda request: (_ for _ in ()).throw(httpx.ConnectError("nobody is there")),
    ],
    ids=["unavailable", "no JSON", "nobody there"],
)
def test_a_catalogue_that_is_not_answered_says_so_by_one_error(adapter, settings, answer):
    catalogue = opened(adapter, settings, answer).catalogue
    with pytest.raises(CatalogError):
        asyncio.run(catalogue.discover(0, 10, 1, []))


def test_books_that_are_not_answered_are_an_http_error(adapter, settings):
    connection = opened(adapter, settings).connection
    listed = DRIVERS[adapter.venue]().listings[0]
    with pytest.raises(httpx.HTTPError):
        asyncio.run(connection.fetch_book(listed))


# -- the table


def test_the_table_of_the_product_works_with_its_defaults():
    check_adapters(BUILT_IN, Settings())


@pytest.mark.parametrize(
    ("adapters", "changes", "said"),
    [
        ((*BUILT_IN, BUILT_IN[0]), {}, "polymarket has more than one adapter"),
        (BUILT_IN, {"venues": {"acme": {}}}, r"venues\.acme: no adapter is called so; known are polymarket, kalshi"),
        (BUILT_IN, {"venues": {"kalshi": {"enabled": False}}}, r"setting venues\.kalshi: the section of this venue is kalshi"),
        (TABLE, {"venues": {"acme": {}}}, r"setting venues\.acme\.url: Field required"),
        (TABLE, {"venues": {"acme": {"url": "u", "per_conection": 1}}}, r"venues\.acme\.per_conection"),
        (BUILT_IN, {"polymarket": {"enabled": False}, "kalshi": {"enabled": False}},
         "polymarket.enabled and kalshi.enabled are both false; enable at least one"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_work_is_refused_in_one_line(adapters, changes, said):
    with pytest.raises(SettingsError, match=said) as refused:
        check_adapters(adapters, Settings(**changes))
    assert "\n" not in str(refused.value)


def test_a_name_that_the_vocabulary_lacks_is_refused():
    stranger = VenueAdapter(
        venue="nowhere", section=AcmeSettings, catalogue=ADAPTER.catalogue, protocol=ADAPTER.protocol,
        connection=ADAPTER.connection,
    )  # fmt: skip
    with pytest.raises(SettingsError, match="adapter of nowhere: no such venue is known"):
        check_adapters((stranger,), Settings())


def test_a_section_of_a_plug_in_is_read_from_the_file_and_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "crossbook.toml"
    file.write_text('[venues.acme]\nurl = "http://a"\nper_connection = 3\n')
    monkeypatch.setenv("CROSSBOOK_CONFIG", str(file))
    monkeypatch.setenv("CROSSBOOK_VENUES__ACME__PER_CONNECTION", "7")
    section = ADAPTER.settings_of(Settings())
    assert (section.url, section.per_connection, section.enabled) == ("http://a", 7, True)
    assert json.loads(section.model_dump_json())["socket_url"] == ""
