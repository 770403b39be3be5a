"""What decide announces is what its settings say, and the relayed form loses nothing."""

import msgspec
import pytest

from crossbook.market.configuration import MARKET_TERMS, Configuration, settings_of
from crossbook.runtime.settings import DecideSettings
from processors.decide.settings import announcement, in_ns
from processors.errors import StrategySettingsError
from processors.strategies.cross_venue.settings import CrossVenueSettings
from schemas.records import MarketConfigured, StrategyConfigured
from tests.builders.strategies import BOTH


def said(settings, **more):
    return announcement(settings, "d", ts_ns=5, operator="decide", **more)


def test_units_and_names_carry_over():
    announced = said(DecideSettings(close_window_s=3, top_interval_ms=7))
    relayed = Configuration.of(announced, ts_received_ns=6, control_offset=9)
    pair, market = relayed.records
    assert (type(pair), type(market)) == (StrategyConfigured, MarketConfigured)
    assert (pair.strategy, settings_of(pair)["close_window_ns"], announced.top_interval_ns) == (
        "cross_venue", "3000000000", 7_000_000,
    )  # fmt: skip
    for record in relayed.records:
        assert (record.ts_received_ns, record.control_offset, record.code_digest) == (6, 9, "d")
    for name in MARKET_TERMS:
        assert getattr(market, name) == getattr(announced, name)


def test_every_setting_of_the_section_reaches_the_log_once():
    announced = said(DecideSettings())
    names = {*MARKET_TERMS, *CrossVenueSettings.__struct_fields__}
    section = set(in_ns(DecideSettings().model_dump())) - {"checkpoint_events", "strategies"}
    assert names - {"code_digest"} == section
    assert [one.name for one in announced.strategies[0].settings] == sorted(CrossVenueSettings.__struct_fields__)


def test_further_strategies_stand_in_the_settings_by_name():
    settings = DecideSettings(strategies={"maker": {"intent_valid_ns": 400}})
    announced = said(settings, strategies=BOTH)
    assert [(one.strategy, one.version) for one in announced.strategies] == [("cross_venue", "1"), ("maker", "0.1")]
    with pytest.raises(StrategySettingsError, match=r"decide\.strategies\.maker: no such strategy"):
        said(settings)
    with pytest.raises(StrategySettingsError, match="intent_valid_ns"):
        said(DecideSettings(strategies={"maker": {"intent_valid_ns": "soon"}}), strategies=BOTH)


def test_what_is_in_force_is_not_said_again():
    one = Configuration.of(said(DecideSettings()), ts_received_ns=6, control_offset=9)
    assert one.says_no_more_than(one.at(7)) and one.at(7).market.ts_received_ns == 7
    other = Configuration.of(said(DecideSettings(cooldown_ms=1)), ts_received_ns=6, control_offset=9)
    assert not other.says_no_more_than(one)
    assert not one.is_in_force(None, {}) and not one.is_in_force(one.market, {})
    digest = one._replace(market=msgspec.structs.replace(one.market, code_digest="e"))
    assert not digest.says_no_more_than(one)
