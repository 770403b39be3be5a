"""Run by NautilusTrader's own interpreter: `python nautilus_deltas.py FILE.npz`. Prints one JSON line.

The strategy does the least that a strategy can do: it reads best bid and ask after every delta. The deltas are those of the
bench `backtest`, as BinaryOption L2 data. Building the objects and handing them to the engine is timed apart from the run.
"""

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDC
from nautilus_trader.model.data import BookOrder, OrderBookDelta
from nautilus_trader.model.enums import AccountType, AssetClass, BookAction, BookType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import BinaryOption
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = "BENCH"
PRICE_DIGITS, SIZE_DIGITS = 3, 2


class ReadsBest(Strategy):
    """Subscribes to every instrument and reads best bid and ask in the callback."""

    def __init__(self, names):
        super().__init__()
        self.names = names
        self.calls = self.sum = 0

    def on_start(self):
        for name in self.names:
            self.subscribe_order_book_deltas(name, BookType.L2_MBP)

    def on_order_book_deltas(self, deltas):
        book = self.cache.order_book(deltas.instrument_id)
        bid, ask = book.best_bid_price(), book.best_ask_price()
        self.calls += 1
        if bid is not None and ask is not None:
            self.sum += 1


def instrument(number):
    name = InstrumentId(Symbol(f"BENCH-{number}"), Venue(VENUE))
    return BinaryOption(
        instrument_id=name,
        raw_symbol=name.symbol,
        asset_class=AssetClass.ALTERNATIVE,
        currency=USDC,
        price_precision=PRICE_DIGITS,
        size_precision=SIZE_DIGITS,
        price_increment=Price.from_str("0.001"),
        size_increment=Quantity.from_str("0.01"),
        activation_ns=0,
        expiration_ns=2**62,
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


def peak_mb():
    """The most that this process held; ru_maxrss would count what its parent held, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))


def main():
    data = np.load(sys.argv[1])
    instruments = [instrument(number) for number in range(int(data["instrument"].max()) + 1)]
    prices = {int(p): Price(int(p) / 1e6, PRICE_DIGITS) for p in np.unique(data["price_micros"])}
    sizes = {int(s): Quantity(int(s) / 1e6, SIZE_DIGITS) for s in np.unique(data["size_micros"])}
    began = time.perf_counter()
    deltas = []
    columns = (data[name].tolist() for name in ("instrument", "is_bid", "price_micros", "size_micros", "ts_ns"))
    for number, is_bid, price, size, ts in zip(*columns, strict=True):
        action = BookAction.UPDATE if size else BookAction.DELETE
        order = BookOrder(OrderSide.BUY if is_bid else OrderSide.SELL, prices[price], sizes[size], price)
        deltas.append(OrderBookDelta(instruments[number].id, action, order, 128, 0, ts, ts))
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue(VENUE),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USDC,
        starting_balances=[Money(1_000_000, USDC)],
        book_type=BookType.L2_MBP,
    )
    for one in instruments:
        engine.add_instrument(one)
    engine.add_data(deltas)
    strategy = ReadsBest([one.id for one in instruments])
    engine.add_strategy(strategy)
    loaded = time.perf_counter()
    engine.run()
    ran = time.perf_counter()
    assert strategy.sum > len(deltas) * 0.9, f"the callback saw both sides {strategy.sum} times in {len(deltas)} deltas"
    print(
        json.dumps(
            {
                "deltas": len(deltas),
                "calls": strategy.calls,
                "load_s": loaded - began,
                "run_s": ran - loaded,
                "rss_mb": peak_mb(),
            }
        )
    )


if __name__ == "__main__":
    main()
