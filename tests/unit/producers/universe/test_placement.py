"""Where an earlier life left instruments and pairs."""

from producers.universe.placement import Placement
from producers.universe.universe import Universe
from schemas.records import InstrumentMoved, PairDelisted
from tests.builders.producers.listings import make_listing
from tests.builders.producers.universes import approved

A, B = make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB")


def said_by(universe, *words):
    return [step.record for steps in words for step in steps if hasattr(step, "record")]


def test_what_moved_stands_where_it_went_whichever_partition_is_read_first() -> None:
    universe = Universe()
    records = said_by(
        universe,
        universe.list_instruments([A, B], 1),
        universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2),
    )
    old, new = (
        [r for r in records if isinstance(r, InstrumentMoved)],
        [r for r in records if not isinstance(r, InstrumentMoved)],
    )
    for partitions in (([records[0], *old], new[1:]), (new[1:], [records[0], *old]), ([], records)):
        placement = Placement()
        for tail in partitions:
            placement.take(None, [None, *tail])
        assert placement.groups == {"polymarket:0xa": B.event_id, "kalshi:KXB": B.event_id}
        assert set(placement.pairs) == {"p"}


def test_a_delisted_pair_is_not_listed() -> None:
    universe = Universe()
    records = said_by(
        universe,
        universe.list_instruments([A, B], 1),
        universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2),
        universe.revoke("p", "why", 3),
    )
    assert isinstance(records[-1], PairDelisted)
    placement = Placement()
    placement.take(None, records)
    assert placement.pairs == {}
