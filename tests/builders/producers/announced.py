"""An announcement of decide."""

from crossbook.market.configuration import MARKET_TERMS, Configuration, as_settings
from schemas.records import DecideAnnounced, StrategyAnnounced

FIELDS = {name: 1 for name in MARKET_TERMS if name != "code_digest"}
PAIR = StrategyAnnounced(strategy="cross_venue", version="1", settings=as_settings({"min_edge_micros": "1"}))
ANNOUNCED = DecideAnnounced(ts_ns=1, operator="decide", code_digest="ab", strategies=(PAIR,), **FIELDS)


def configured(ts_ns, control_offset=-1):
    """It as an importer or the relay puts it into the log."""
    return Configuration.of(ANNOUNCED, ts_received_ns=ts_ns, control_offset=control_offset)
