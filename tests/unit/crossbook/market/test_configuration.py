"""An announcement as records of `market`: nothing is lost on the way, and what is in force is not said again."""

import msgspec

from crossbook.market.configuration import Configuration, as_settings, said_with, settings_of
from schemas.records import MarketConfigured, StrategyConfigured
from tests.builders.producers.announced import ANNOUNCED, FIELDS, PAIR, configured


def test_every_setting_is_copied_and_the_market_comes_last():
    pair, market = configured(34, 12).records
    assert (type(pair), type(market)) == (StrategyConfigured, MarketConfigured)
    for record in (pair, market):
        assert (record.control_offset, record.ts_received_ns, record.code_digest) == (12, 34, "ab")
    assert {name: getattr(market, name) for name in FIELDS} == FIELDS
    assert (pair.strategy, pair.version, pair.settings) == (PAIR.strategy, PAIR.version, PAIR.settings)


def test_settings_are_canonical():
    assert settings_of(configured(1).strategies[0]) == {"min_edge_micros": "1"}
    assert [one.name for one in as_settings({"b": "1", "a": "2"})] == ["a", "b"]


def test_only_a_difference_is_news():
    known = configured(1, 1)
    assert configured(9, 9).says_no_more_than(known) and known.at(7).says_no_more_than(known)
    assert not known.is_in_force(None, {}) and not known.is_in_force(known.market, {})

    def other(**changes):
        return Configuration.of(msgspec.structs.replace(ANNOUNCED, **changes), ts_received_ns=1, control_offset=1)

    for name in FIELDS:
        assert not other(**{name: 2}).says_no_more_than(known)
    assert not other(code_digest="cd").says_no_more_than(known)
    assert not other(strategies=(msgspec.structs.replace(PAIR, version="2"),)).says_no_more_than(known)
    assert not other(strategies=()).says_no_more_than(known), "a strategy that is left out ends"


def test_an_announcement_ends_what_it_leaves_out():
    pair, market = configured(1, 1).records
    earlier = msgspec.structs.replace(pair, strategy="earlier", control_offset=0)
    foreign = msgspec.structs.replace(pair, strategy="foreign", code_digest="cd")
    assert said_with(market, [earlier, pair, foreign]) == {pair.strategy: pair}
