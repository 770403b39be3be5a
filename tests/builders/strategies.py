"""A second strategy as a package of somebody else's would bring it: it quotes around the mid and takes after trades of others."""

import msgspec

from processors.strategies.base import UNPLACED, Draft
from processors.strategies.settings import parse_settings
from processors.strategies.table import STRATEGIES
from schemas.records import QuoteIntent, TakeIntent

MS = 1_000_000
CONTRACT = 1_000_000


class MakerSettings(msgspec.Struct, frozen=True):
    """It looks at one of the settings that it is given."""

    intent_valid_ns: int


class MakerImage(msgspec.Struct):
    quoted_ns: dict[str, int]
    trades: dict[str, int]


class Maker:
    """Quotes an instrument whose mid moved by a cent, and takes every third trade's instrument."""

    version = "0.1"
    follows = frozenset({"trade"})

    def __init__(self):
        self._settings = None
        self._state = MakerImage({}, {})

    def configure(self, settings):
        self._settings = parse_settings(settings, MakerSettings)

    def on(self, view, change):
        name = change.instrument_id
        if (
            change.kind not in {"book", "trade"}
            or view.suspect
            or name not in view.instruments
            or not view.usable(name)
        ):
            return ()
        book = view.books[name].book
        if book.best_bid is None or book.best_ask is None:
            return ()
        value = (book.best_bid[0] + book.best_ask[0]) // 2
        return self._take(view, name, value) if change.kind == "trade" else self._quote(view, name, value)

    def _quote(self, view, name, value):
        before = self._state.quoted_ns.get(name)
        if before is not None and view.now_ns - before < 100 * MS:
            return ()
        self._state.quoted_ns[name] = view.now_ns
        record = QuoteIntent(
            **UNPLACED, **self._intent(view, name), fair_value_micros=value, half_spread_micros=10_000, step_micros=1_000, levels=2,
            size_micros=CONTRACT, skew_micros=100, inventory_limit_micros=10 * CONTRACT, mode="both",
        )  # fmt: skip
        return (Draft(record, view.instruments[name].group, (name,)),)

    def _take(self, view, name, value):
        self._state.trades[name] = self._state.trades.get(name, 0) + 1
        if self._state.trades[name] % 3:
            return ()
        record = TakeIntent(
            **UNPLACED, **self._intent(view, name), outcome="yes", side="buy", value_micros=value, price_limit_micros=value,
            sizing="fixed", quantity_micros=CONTRACT, kelly_ppm=0,
        )  # fmt: skip
        return (Draft(record, view.instruments[name].group, (name,)),)

    def _intent(self, view, name):
        valid_until_ns = view.now_ns + self._settings.intent_valid_ns
        return {
            "intent_id": "",
            "strategy": "",
            "ts_received_ns": 0,
            "number": 0,
            "instrument_id": name,
            "valid_until_ns": valid_until_ns,
        }

    def image(self):
        return msgspec.json.encode(self._state)

    def restore(self, image):
        self._state = msgspec.json.decode(image, type=MakerImage)


#: What is built in, and the second one.
BOTH = {**STRATEGIES, "maker": Maker}
