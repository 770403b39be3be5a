"""Binance's market-data socket, sans-I/O: frames to reference prices.

Decides what a frame means and which of them reach the log: at most one quote and one trade a symbol in `interval_ns`, the newest
of the interval, stamped when it is let go; the tape has them all. An update id that was seen is dropped, a hole in the trade ids
counted; ids that only step back, a socket that falls behind its own best, silence, an unanswered subscription, the venue's own
notice and 23 hours of life ask for a new connection.

Where quotes are watched, only quotes vouch for quotes: trades make no feed live, and a symbol whose quotes are silent for longer than
is their habit is withdrawn and subscribed to anew, however lively its trades and the other symbols are.

A price is exact or it is none: a symbol with a price finer than a micro (0.00001234) is refused for the session, with one dead
letter, for scaled or rounded prices would be other prices under the same name. A size finer than a micro is null. What the log
believed of a symbol is withdrawn (a quote of nulls) when a frame about it cannot be used.

It must never touch a socket, a clock or randomness, and `receive` must never raise.
"""

import json
import re
from typing import Literal

import msgspec
from pydantic import ValidationError

from crossbook.domain.errors import DomainError
from crossbook.domain.money import parse_size
from producers.binance import wire
from producers.binance.symbol import Symbol
from producers.errors import WireDriftError
from producers.feeds.lateness import Lateness
from producers.feeds.protocol import SECOND_NS, Output, Reconnect, SocketProtocol, decode_json, stamp_ns
from schemas.records import FeedState, ReferencePrice, ReferenceStatus

FEED = "binance"
QUOTES = "bookTicker"
TradeStream = Literal["aggTrade", "trade", "none"]
#: Prefix of the reference id, by market. Futures are another price than spot and must not share its name.
SOURCES = {"spot": "binance", "usdm": "binance-usdm"}
#: A subscription is answered, and data flows, within this, or the connection is given up.
ANSWER_NS = 5 * SECOND_NS
#: The venue acknowledges names that do not exist and then stays silent: said after this.
FIRST_FRAME_NS = 10 * SECOND_NS
#: The venue cuts at 24 h; before that we go ourselves, spread over half an hour by the session's own number.
LIFE_NS = 23 * 3_600 * SECOND_NS
LIFE_SPREAD_S = 1_800
#: How often the silence of all symbols is looked at.
WATCH_NS = SECOND_NS // 5
#: So many ids in a row below the last one: that last one was wrong, or the venue began anew.
STALE_MAX = 64
_FINE = re.compile(r"[0-9]{1,12}\.[0-9]{6}[0-9]*[1-9]0*")
_NAMED = re.compile(rb'"s"\s*:\s*"([A-Z0-9]{1,40})"|"stream"\s*:\s*"([a-z0-9]{1,40})@')
_UNUSABLE = (ValidationError, DomainError, WireDriftError, RecursionError)


class _TooFineError(WireDriftError):
    """A price that micros cannot hold."""


class BinanceProtocol(SocketProtocol):
    """One connection to the combined stream of some symbols."""

    def __init__(
        self,
        symbols: tuple[str, ...],
        *,
        feed: str = FEED,
        market: Literal["spot", "usdm"] = "spot",
        trades: TradeStream = "aggTrade",
        interval_ns: int = 0,
        silence_ns: int = 2 * SECOND_NS,
        watch_quotes: bool = False,
    ) -> None:
        assert symbols, "a feed of no symbol is not started"
        super().__init__(feed)
        self._symbols = {symbol: Symbol(symbol, SOURCES[market]) for symbol in symbols}
        self._trades = trades
        self._interval_ns = interval_ns
        self._silence_ns = silence_ns
        self._watch_quotes = watch_quotes
        self._lateness = Lateness()
        self._command_id = 0
        self.newest_quote: wire.BookTicker | None = None  # as it came; for checks of recordings
        self._held: dict[str, Symbol] = {}
        self._start_over(0)

    def _start_over(self, ts_ns: int) -> None:
        for one in self._symbols.values():
            one.reset(ts_ns)
        self._lateness.begin()
        self._watch_at_ns = ts_ns
        self._held.clear()
        self._due_ns = 0
        self._connected_ns = ts_ns
        self._deadline_ns = 0  # 0: no answer is awaited
        self._first_frames_checked = False
        self._leaving = False

    # -- the connection

    def streams(self) -> list[str]:
        """Names of the streams that this feed asks for."""
        kinds = [QUOTES] if self._trades == "none" else [QUOTES, self._trades]
        return [f"{symbol.lower()}@{kind}" for symbol in self._symbols for kind in kinds]

    def connect(self, session: int, ts_ns: int) -> list[Output]:
        """A socket is open: start a session and queue the one subscription."""
        assert session > self.session, "sessions of a feed grow"
        self.session = session
        self.connected = True
        self.reason = "connected, no data yet"
        self.ts_data_ns = None
        self._outgoing.clear()
        self._offsets.clear()
        self._start_over(ts_ns)
        # One message for all streams: the venue cuts a connection that sends more than five a second.
        self._command("SUBSCRIBE", self.streams())
        self._deadline_ns = ts_ns + ANSWER_NS
        return [self.status(ts_ns)]

    def _command(self, method: str, streams: list[str]) -> None:
        self._command_id += 1
        frame = {"method": method, "params": streams, "id": self._command_id}
        self._outgoing.append(json.dumps(frame, separators=(",", ":")))

    def disconnect(self, reason: str, ts_ns: int) -> list[Output]:
        """The socket is gone: every price is stale, and what was held is dropped."""
        self.connected = False
        self.reason = reason
        self._outgoing.clear()
        self._start_over(ts_ns)
        return [self.status(ts_ns)]

    def renew(self, session: int, reason: str, ts_ns: int) -> list[Output]:
        """The log missed events: say so, and repeat the newest quotes in a new session."""
        outputs: list[Output] = [self._status(ts_ns, "down", reason)]
        self.session = session
        outputs.append(self.status(ts_ns))
        for one in self._symbols.values():
            if one.quote_last is not None and one.shown:
                one.quote_last = msgspec.structs.replace(one.quote_last, session=session, ts_received_ns=ts_ns)
                outputs.append(one.quote_last)
            if one.quote_held is not None:
                one.quote_held = msgspec.structs.replace(one.quote_held, session=session)
            if one.trade_held is not None:
                one.trade_held = msgspec.structs.replace(one.trade_held, session=session)
        return outputs

    def status(self, ts_ns: int) -> ReferenceStatus:
        """Health as of now: live once data came on this connection."""
        if self.connected and self.ts_data_ns is not None:
            return self._status(ts_ns, "live", "")
        return self._status(ts_ns, "down", self.reason)

    def assume_subscribed(self) -> None:
        """For recordings, which hold no replies: the subscription of this connection was answered."""
        self._deadline_ns = 0
        self._outgoing.clear()

    @property
    def next_due_ns(self) -> int | None:
        """When `tick` has something to let go; None while nothing is held."""
        return self._due_ns if self._held else None

    def ended(self, ts_ns: int) -> ReferenceStatus:
        """The last word of a recording."""
        return self._status(ts_ns, "ended", "the recording is over")

    def _status(self, ts_ns: int, state: FeedState, reason: str) -> ReferenceStatus:
        return ReferenceStatus(
            ts_received_ns=ts_ns,
            feed=self.feed,
            session=self.session,
            state=state,
            reason=reason,
            ts_data_ns=self.ts_data_ns,
            clock_offset_ns=self.clock_offset_ns,
        )

    # -- time

    def tick(self, ts_ns: int) -> list[Output]:
        """Let go what is due; give up a connection that is silent, unanswered or old."""
        outputs: list[Output] = []
        if self._held and ts_ns >= self._due_ns:
            self._let_go(ts_ns, outputs)
        if not self.connected or self._leaving:
            return outputs
        if self._deadline_ns and ts_ns > self._deadline_ns:
            self._leave("no answer to the subscription", outputs)
        quiet_ns = ts_ns - (self.ts_data_ns or self._connected_ns)
        if quiet_ns >= (self._silence_ns if self.ts_data_ns is not None else max(self._silence_ns, ANSWER_NS)):
            self._leave("silent", outputs)
        if self._watch_quotes and ts_ns >= self._watch_at_ns:
            self._watch(ts_ns, outputs)
        age_ns = ts_ns - self._connected_ns
        if age_ns >= LIFE_NS + self.session // SECOND_NS % LIFE_SPREAD_S * SECOND_NS:
            self._leave("the connection nears the venue's limit of 24 h", outputs)
        if age_ns >= FIRST_FRAME_NS and not self._first_frames_checked:
            self._first_frames_checked = True
            for one in self._symbols.values():
                if not one.seen:
                    text = f"{one.name} gave no frame since the subscription; is the symbol right?"
                    outputs.append(self._dead("no_frame", text, b"", ts_ns))
        return outputs

    def _watch(self, ts_ns: int, outputs: list[Output]) -> None:
        """Withdraw quotes that are silent for longer than is their habit, and subscribe to them anew, ever more seldom."""
        self._watch_at_ns = ts_ns + WATCH_NS
        for one in self._symbols.values():
            if one.shown and one.silence.doubtful(ts_ns):
                self.counters["mute"] += 1
                self._withdraw(one, ts_ns, outputs)
                if one.silence.may_end(ts_ns):
                    stream = [f"{one.name.lower()}@{QUOTES}"]
                    self._command("UNSUBSCRIBE", stream)
                    self._command("SUBSCRIBE", stream)

    def _leave(self, reason: str, outputs: list[Output]) -> None:
        if not self._leaving:
            self._leaving = True
            outputs.append(Reconnect(reason=reason))

    # -- frames

    def receive(self, frame: bytes | str, ts_ns: int) -> list[Output]:
        """Take one frame; never raises."""
        raw = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        self.counters["frames"] += 1
        outputs: list[Output] = []
        if self._held and ts_ns >= self._due_ns:
            self._let_go(ts_ns, outputs)
        try:
            content = decode_json(raw)
            if not isinstance(content, dict):
                raise WireDriftError(f"a frame is an object, not {type(content).__name__}")
            self._frame(content, raw, ts_ns, outputs)
        except _UNUSABLE as error:
            self._unusable(error, raw, ts_ns, outputs)
        return outputs

    def _frame(self, content: dict[str, object], raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        symbol, data = "", content
        if "stream" in content:
            combined = wire.Combined.model_validate(content)
            symbol, _, kind = combined.stream.partition("@")
            data = combined.data
        elif content.keys() & {"result", "code", "error"}:
            self._reply(content, raw, ts_ns, outputs)
            return
        else:  # a raw stream; spot's bookTicker is the one kind that does not name itself
            event = content.get("e", QUOTES)
            kind = event if isinstance(event, str) else "?"
        if "serverShutdown" in (symbol.removeprefix("!"), kind):
            self.counters["shutdown"] += 1
            self._leave("the venue announced its shutdown", outputs)
        elif kind == QUOTES:
            quote = wire.BookTicker.model_validate(data)
            self._quote(self._find(quote.s, symbol), quote, ts_ns, outputs)
        elif kind == "aggTrade":
            agg = wire.AggTrade.model_validate(data)
            self._trade(self._find(agg.s, symbol), agg, agg.a, ts_ns, outputs)
        elif kind == "trade":
            trade = wire.Trade.model_validate(data)
            if trade.X not in {None, "MARKET"}:
                self.counters["other.trade"] += 1  # insurance fund and liquidation entries are no trades of the book
                return
            self._trade(self._find(trade.s, symbol), trade, trade.t, ts_ns, outputs)
        else:
            raise WireDriftError(f"stream type {kind[:40]!r} was not asked for")

    def _find(self, name: str, stream_symbol: str) -> Symbol:
        one = self._symbols.get(name)
        if one is None or (stream_symbol and stream_symbol != name.lower()):
            self.counters["unknown_symbol"] += 1
            raise WireDriftError(f"symbol {name[:40]!r} on a stream of {stream_symbol[:40]!r} was not asked for")
        return one

    def _reply(self, content: dict[str, object], raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        mine = content.get("id") == self._command_id
        if "result" in content:
            self.counters["replies"] += 1
            if mine:
                self._deadline_ns = 0
            return
        problem = wire.Problem.model_validate(content.get("error", content))
        outputs.append(self._dead("venue_error", f"{problem.code} {problem.msg}", raw, ts_ns))
        if mine:
            self._leave(f"the subscription was refused: {problem.code} {problem.msg}"[:200], outputs)

    def _unusable(self, error: Exception, raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        """Dead-letter a frame, and withdraw the quotes of the symbols that its bytes name."""
        outputs.append(self._dead("drift", _say(error), raw, ts_ns))
        for names in dict.fromkeys(_NAMED.findall(raw)):
            one = self._symbols.get((names[0] or names[1]).decode().upper())
            if one is None:
                continue
            if isinstance(error, _TooFineError):
                one.refused = True
                self.counters["refused_symbol"] += 1
            self._withdraw(one, ts_ns, outputs)

    # -- prices

    def _quote(self, one: Symbol, quote: wire.BookTicker, ts_ns: int, outputs: list[Output]) -> None:
        if self._refused(one, ts_ns, outputs, is_quote=True):
            return
        bid, bid_size = self._side(quote.b, quote.B)
        ask, ask_size = self._side(quote.a, quote.A)
        if bid is not None and ask is not None and bid >= ask:
            raise WireDriftError(f"bid {quote.b} is not below ask {quote.a}")
        event_ns = None if quote.E is None else stamp_ns(str(quote.E), ts_ns)
        stamp = event_ns if quote.T is None else stamp_ns(str(quote.T), ts_ns)
        if quote.u <= one.update_id:
            self._stepped_back(one, "quote", outputs)
            return
        self._came(one, event_ns, ts_ns, outputs, is_quote=True)
        one.silence.heard(ts_ns)
        one.update_id = quote.u
        self.newest_quote = quote
        record = ReferencePrice(
            ts_received_ns=ts_ns,
            ts_venue_ns=stamp,
            reference_id=one.reference_id,
            feed=self.feed,
            session=self.session,
            sequence=quote.u,
            bid_price_micros=bid,
            bid_size_micros=bid_size,
            ask_price_micros=ask,
            ask_size_micros=ask_size,
        )
        if ts_ns >= one.quote_at_ns:
            self._show(one, record, outputs)
            return
        if one.quote_held is not None:
            self.counters["conflated.quotes"] += 1
        one.quote_held = record
        self._hold(one, one.quote_at_ns)

    def _trade(
        self, one: Symbol, trade: wire.Trade | wire.AggTrade, number: int, ts_ns: int, outputs: list[Output]
    ) -> None:
        if self._refused(one, ts_ns, outputs, is_quote=False):
            return
        price = _price(trade.p)
        size = self._size(trade.q)
        if not price or size == 0:
            raise WireDriftError(f"trade of {trade.q} at {trade.p} cannot be")
        event_ns, stamp = stamp_ns(str(trade.E), ts_ns), stamp_ns(str(trade.T), ts_ns)
        if number <= one.trade_id:
            self._stepped_back(one, "trade", outputs)
            return
        if one.trade_id >= 0 and number > one.trade_id + 1:
            self.counters["trade_gaps"] += 1
        self._came(one, event_ns, ts_ns, outputs, is_quote=False)
        one.trade_id = number
        record = ReferencePrice(
            ts_received_ns=ts_ns,
            ts_venue_ns=stamp,
            reference_id=one.reference_id,
            feed=self.feed,
            session=self.session,
            sequence=number,
            trade_price_micros=price,
            trade_size_micros=size,
        )
        if ts_ns >= one.trade_at_ns:
            one.trade_held = None
            one.trade_at_ns = ts_ns + self._interval_ns
            outputs.append(record)
            return
        if one.trade_held is not None:
            self.counters["conflated.trades"] += 1
        one.trade_held = record
        self._hold(one, one.trade_at_ns)

    def _came(self, one: Symbol, event_ns: int | None, ts_ns: int, outputs: list[Output], *, is_quote: bool) -> None:
        """Note a good data frame; the first of a session makes the feed live, and that is said before its prices."""
        one.seen = True
        one.stale = 0
        vouches = is_quote or not self._watch_quotes
        first = vouches and self.ts_data_ns is None
        if vouches:
            self.ts_data_ns = ts_ns
        if event_ns is not None:
            self._note_offset(event_ns, ts_ns)
            self._lateness.take(ts_ns - event_ns, ts_ns)
            if self._lateness.late_here and not self._leaving:
                self.counters["behind"] += 1
                self._leave(f"frames come {self._lateness.behind_ns // 1_000_000} ms later than before", outputs)
        if first:
            self.reason = ""
            outputs.append(self.status(ts_ns))

    def _stepped_back(self, one: Symbol, kind: str, outputs: list[Output]) -> None:
        self.counters[f"stale.{kind}"] += 1
        one.stale += 1
        if one.stale >= STALE_MAX:
            one.stale = 0
            self._leave(f"ids of {one.name} stepped back", outputs)

    def _refused(self, one: Symbol, ts_ns: int, outputs: list[Output], *, is_quote: bool) -> bool:
        """Whether the symbol is refused; its frames still show that the connection is alive."""
        if one.refused:
            self.counters["refused"] += 1
            self._came(one, None, ts_ns, outputs, is_quote=is_quote)
        return one.refused

    def _side(self, price: str, size: str) -> tuple[int | None, int | None]:
        """Price and size of one side; none for an empty one, which is told as zeros."""
        price_micros, size_micros = _price(price), self._size(size)
        if not price_micros and size_micros == 0:
            return None, None
        if not price_micros or size_micros == 0:
            raise WireDriftError(f"a side of {size} at {price} cannot be")
        return price_micros, size_micros

    def _size(self, text: str) -> int | None:
        if _FINE.fullmatch(text):
            self.counters["size_unknown"] += 1
            return None
        return parse_size(text)

    # -- letting go

    def _hold(self, one: Symbol, due_ns: int) -> None:
        self._due_ns = min(self._due_ns, due_ns) if self._held else due_ns
        self._held[one.name] = one

    def _let_go(self, ts_ns: int, outputs: list[Output]) -> None:
        """Give what was held long enough, stamped now: that is when the log learns of it."""
        held, self._held = self._held, {}
        for one in held.values():
            if one.quote_held is not None:
                if ts_ns >= one.quote_at_ns:
                    self._show(one, msgspec.structs.replace(one.quote_held, ts_received_ns=ts_ns), outputs)
                else:
                    self._hold(one, one.quote_at_ns)
            if one.trade_held is not None:
                if ts_ns >= one.trade_at_ns:
                    outputs.append(msgspec.structs.replace(one.trade_held, ts_received_ns=ts_ns))
                    one.trade_held = None
                    one.trade_at_ns = ts_ns + self._interval_ns
                else:
                    self._hold(one, one.trade_at_ns)

    def _show(self, one: Symbol, record: ReferencePrice, outputs: list[Output]) -> None:
        one.quote_held = None
        one.quote_last = record
        one.quote_at_ns = record.ts_received_ns + self._interval_ns
        one.shown = True
        outputs.append(record)

    def _withdraw(self, one: Symbol, ts_ns: int, outputs: list[Output]) -> None:
        """Fail a symbol closed: nothing of it may be believed until a good frame comes."""
        one.quote_held = one.trade_held = None
        if not one.shown:
            return
        one.shown = False
        one.quote_at_ns = 0  # the next good quote mends it at once
        self.counters["withdrawn"] += 1
        outputs.append(
            ReferencePrice(
                ts_received_ns=ts_ns,
                reference_id=one.reference_id,
                feed=self.feed,
                session=self.session,
                sequence=0,
            )
        )


def _price(text: str) -> int:
    if _FINE.fullmatch(text):
        raise _TooFineError(f"price {text!r} is finer than a micro: the symbol is refused")
    return parse_size(text)


def _say(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{error.title}.{where}: {first['msg']}"
    return str(error)
