"""A frame of the lifecycle channel changes the listing at once; the catalogue is asked for the rest."""

from typing import Any

import pytest

from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from producers.feeds.protocol import ConfirmSettlement, RefreshListing
from schemas.records import DeadLetter, FeedStatus, InstrumentListed
from tests.builders.producers.kalshi import A, B, Session

FEES = make_schedule(model="kalshi_quadratic", taker_rate_ppm=70_000, ts_effective_ns=0, source="test")
SID = 3


class Told(Session):
    """A session on which the venue acknowledged the lifecycle channel."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0
        self.give({"id": 2, "type": "subscribed", "msg": {"channel": "market_lifecycle_v2", "sid": SID}})

    def tell(self, event_type: str, ticker: str = A, *, seq: int | None = None, **fields: Any) -> list[Any]:
        return self.frame("market_lifecycle_v2", {"market_ticker": ticker, "event_type": event_type} | fields, seq)

    def frame(self, kind: str, msg: Any, seq: int | None = None) -> list[Any]:
        self.told = self.told + 1 if seq is None else seq
        return self.give({"type": kind, "sid": SID, "seq": self.told, "msg": msg})

    def listed(self, ticker: str = A) -> InstrumentListed:
        return self.protocol.followed[f"kalshi:{ticker}"].listed


def listings(outputs: list[Any]) -> list[InstrumentListed]:
    return [one for one in outputs if isinstance(one, InstrumentListed)]


CENTS = [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}]
TENTHS = [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}]

#: name: (event, fields, what the listing changes, whether its payout is asked for)
EVENTS = {
    "paused": ("deactivated", {}, {"status": "paused"}, False),
    "determined": ("determined", {"result": "no", "settlement_value": "0.0000"}, {"status": "closed"}, True),
    "settled": ("settled", {"settled_ts": 1_784_500_206}, {"status": "closed"}, True),
    "closes earlier": (
        "close_date_updated",
        {"close_ts": 1_790_000_060},
        {"ts_close_ns": 1_790_000_060 * 10**9},
        False,
    ),
    "a close without its time": ("close_date_updated", {}, {}, False),
    "a finer grid": (
        "price_level_structure_updated",
        {"price_level_structure": "deci_cent", "price_ranges": TENTHS},
        {"grid": PriceGrid.from_decimal_ranges(TENTHS).ranges},
        False,
    ),
    "new rules": ("metadata_updated", {"floor_strike": 3}, {}, False),
    "something new": ("renamed", {}, {}, False),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_in_the_listing_at_once_and_the_catalogue_is_asked(name: str) -> None:
    event, fields, changes, ends = EVENTS[name]
    session = Told()
    before = session.listed()
    outputs = session.tell(event, **fields)
    assert RefreshListing(instrument_id=before.instrument_id) in outputs
    assert (ConfirmSettlement(instrument_id=before.instrument_id) in outputs) is ends
    found = listings(outputs)
    if not changes:
        assert found == []
        return
    (after,) = found
    assert {field: getattr(after, field) for field in changes} == changes
    assert session.listed() == after and session.listed(B).status == "active"


def test_a_paused_market_is_reactivated() -> None:
    session = Told()
    session.tell("deactivated")
    (after,) = listings(session.tell("activated"))
    assert after.status == "active"


def test_a_new_grid_drops_the_book_until_its_snapshot() -> None:
    session = Told()
    outputs = session.tell("price_level_structure_updated", price_ranges=TENTHS)
    assert not session.valid() and session.valid(B)
    assert any(isinstance(one, FeedStatus) and one.state == "resync" for one in outputs)
    assert session.snapshot(A, yes_dollars_fp=[["0.4510", "10.00"]]) and session.valid()


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("close_date_updated", {"close_ts": 1_790_000_060_000}),
        ("close_date_updated", {"close_ts": "soon"}),
        ("price_level_structure_updated", {"price_ranges": [{"start": "0", "end": "1", "step": "0"}]}),
        ("price_level_structure_updated", {}),
    ],
)
def test_what_cannot_be_is_a_dead_letter_and_fails_the_market_closed(event: str, fields: dict[str, Any]) -> None:
    session = Told()
    before = session.listed()
    outputs = session.tell(event, **fields)
    assert any(isinstance(one, DeadLetter) for one in outputs)
    assert session.listed() == before and not session.valid() and session.valid(B)


def test_markets_of_others_are_passed_over() -> None:
    session = Told()
    assert session.tell("deactivated", "KXOTHER") == []
    assert session.frame("event_lifecycle", {"event_ticker": "KXNEW"}) == []


def test_a_replay_changes_nothing_and_a_gap_has_every_listing_read_anew() -> None:
    session = Told()
    session.tell("deactivated")
    assert session.tell("activated", seq=1) == []
    assert session.listed().status == "paused"
    assert RefreshListing(instrument_id=None) in session.tell("metadata_updated", seq=5)


def test_no_book_is_live_for_what_the_lifecycle_says() -> None:
    """Data of another channel proves nothing about books."""
    session = Told()
    before = session.protocol.ts_data_ns
    session.tell("metadata_updated")
    assert session.protocol.ts_data_ns == before


@pytest.mark.parametrize(
    ("override", "rate", "status"),
    [
        ({"fee_type_override": "quadratic", "fee_multiplier_override": 2}, 140_000, "active"),
        ({"fee_type_override": "quadratic", "fee_multiplier_override": 0.5}, 35_000, "active"),
        ({"fee_type_override": None, "fee_multiplier_override": None}, 70_000, "paused"),
        ({"fee_type_override": "flat", "fee_multiplier_override": 1}, 70_000, "paused"),
    ],
)
def test_a_fee_override_holds_at_once_for_the_event(override: dict[str, Any], rate: int, status: str) -> None:
    session = Told()
    for ticker, event in ((A, "kalshi:KXA"), (B, "kalshi:KXB")):
        one = session.protocol.followed[f"kalshi:{ticker}"]
        one.listed = type(one.listed)(
            **{name: getattr(one.listed, name) for name in one.listed.__struct_fields__}
            | {"event_id": event, "fee_schedule": FEES}
        )
    outputs = session.frame("event_fee_update", {"event_ticker": "KXA"} | override)
    (after,) = listings(outputs)
    assert (after.instrument_id, after.status) == (f"kalshi:{A}", status)
    assert after.fee_schedule.taker_rate_ppm == rate
    assert RefreshListing(instrument_id=f"kalshi:{A}") in outputs
    assert session.frame("event_fee_update", {"event_ticker": "KXNOBODY"} | override) == []


def test_real_frames(samples) -> None:
    session = Told()
    for name in ("doc_ws_price_level_structure_updated", "doc_ws_event_fee_update", "ws_market_lifecycle_settled"):
        frame = samples(f"kalshi/{name}.json")
        assert not any(isinstance(one, DeadLetter) for one in session.frame(frame["type"], frame["msg"]))
