"""Kalshi's market-data socket, sans-I/O: frames to books in YES terms.

Decides what a frame means under the sequence of its sid. `seq` is shared by all tickers of a sid and by its acknowledgements:
a hole makes every book of the sid invalid and asks for one get_snapshot; another hole while waiting, or no answer, asks for a
new connection; a number that was seen already is a replay and dropped. Prices are subscribed in YES terms explicitly
(`use_yes_price`: the venue's default is announced to flip), so a NO level at p is an ask of YES at p and is not flipped again.
Deltas are signed and accumulate exactly. It must never answer a hole by unsubscribing and subscribing market by market (the
venue merges that into a storm), and never show a book below zero or crossed as valid.
"""

import json
import re
from typing import Any

import msgspec
from pydantic import ValidationError

from crossbook.domain.errors import DomainError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS, parse_micros, parse_price, parse_size
from crossbook.domain.names import KALSHI
from producers.errors import CatalogError, WireDriftError
from producers.feeds.protocol import (
    RETRY_FIRST_NS,
    SECOND_NS,
    ConfirmSettlement,
    Followed,
    Output,
    Reconnect,
    RefreshListing,
    VenueProtocol,
    decode_json,
    stamp_ns,
)
from producers.kalshi import wire
from producers.kalshi.lifecycle import heard
from producers.kalshi.sequence import Sequence, Verdict
from producers.kalshi.wire import refuse_renamed_side
from schemas.records import PublicTrade, Venue

BOOKS = "orderbook_delta"
TRADES = "trade"
LIFECYCLE = "market_lifecycle_v2"
#: An acknowledgement or a snapshot that was asked for comes within this, or the connection is given up.
ANSWER_NS = 5 * SECOND_NS
#: A subscription that the venue ends is asked for anew; a second time within this, the connection is given up.
LOST_AGAIN_NS = 60 * SECOND_NS
ID_MAX = 200
#: Errors after which a sid is dead (channel error, buffer overflow).
TERMINAL_ERRORS = frozenset({10, 25})
UNKNOWN_SID = 7
_TICKER = re.compile(rb'"market_ticker"\s*:\s*"([^"\\]{1,200})"')
_UNUSABLE = (ValidationError, DomainError, WireDriftError, CatalogError, RecursionError)


class _Head(msgspec.Struct):
    """What tells where a frame belongs that cannot be read otherwise."""

    sid: Any = None
    seq: Any = None


class KalshiProtocol(VenueProtocol):
    """One connection to the market-data socket."""

    venue: Venue = KALSHI

    def __init__(self, feed: str = KALSHI, **times: int) -> None:
        super().__init__(feed, **times)
        self._tickers: dict[str, Followed] = {}
        self._command_id = 0
        self._start_over()

    def _start_over(self) -> None:
        self._sids: dict[str, int] = {}
        self._channels: dict[int, str] = {}
        self._sequences: dict[int, Sequence] = {}
        self._waiting: dict[str, None] = {}  # instruments whose snapshot was asked for after a hole
        self._deadline_ns = 0  # 0: no answer is awaited
        self._late: list[Followed] = []  # joined before the sid was known
        self._books_command = 0  # id of the command that asked for the books
        self._lost_ns: dict[str, int] = {}  # when the venue last ended the subscription of a channel

    # -- subscription

    def _subscribe(self, ts_ns: int) -> None:
        self._start_over()
        params = {"channels": [BOOKS, TRADES], "market_tickers": self._symbols(), "use_yes_price": True}
        if not params["market_tickers"]:
            return  # the venue refuses a book subscription without tickers; `follow` subscribes
        self._books_command = self._command("subscribe", params)
        # It takes no tickers and tells of every market; a command of its own, so that a refusal of it costs no book.
        self._command("subscribe", {"channels": [LIFECYCLE]})
        self._deadline_ns = ts_ns + ANSWER_NS
        self._subscription_asked(ts_ns)
        self._troubled.update(dict.fromkeys(self.followed))

    def _subscribe_more(self, ones: list[Followed], ts_ns: int) -> None:
        if BOOKS not in self._sids:
            if self._deadline_ns:
                self._late += ones
            else:
                self._subscribe(ts_ns)
            return
        tickers = [one.listed.symbol for one in ones]
        for channel in (BOOKS, TRADES):
            if channel in self._sids:
                self._update(channel, "add_markets", tickers)
        self._troubled.update(dict.fromkeys(one.id for one in ones))

    def _unsubscribe(self, one: Followed) -> None:
        for channel in (BOOKS, TRADES):
            if channel in self._sids:
                self._update(channel, "delete_markets", [one.listed.symbol])
        self._waiting.pop(one.id, None)

    def _renew_subscription(self, ones: list[Followed], ts_ns: int) -> None:
        del ts_ns
        tickers = [one.listed.symbol for one in ones]
        if BOOKS in self._sids:
            self._update(BOOKS, "delete_markets", tickers)
            self._update(BOOKS, "add_markets", tickers)

    def _command(self, name: str, params: dict[str, Any]) -> int:
        self._command_id += 1
        frame = {"id": self._command_id, "cmd": name, "params": params}
        self._outgoing.append(json.dumps(frame, separators=(",", ":")))
        return self._command_id

    def _update(self, channel: str, action: str, tickers: list[str]) -> None:
        if not tickers:
            return  # the venue refuses an update without tickers, or takes it for all of them
        params = {"sids": [self._sids[channel]], "action": action, "market_tickers": tickers}
        self._command("update_subscription", params)

    def _symbols(self) -> list[str]:
        return [one.listed.symbol for one in self.followed.values()]

    def _index(self, one: Followed) -> None:
        self._tickers[one.listed.symbol] = one

    def _unindex(self, one: Followed) -> None:
        self._tickers.pop(one.listed.symbol, None)

    # -- frames

    def receive(self, frame: bytes | str, ts_ns: int) -> list[Output]:
        """Take one frame; never raises."""
        raw = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        self.counters["frames"] += 1
        outputs: list[Output] = []
        try:
            content = decode_json(raw)
            self._frame(wire.Envelope.model_validate(content), raw, ts_ns, outputs)
        except _UNUSABLE as error:
            outputs += self._unusable("drift", _say(error), raw, ts_ns)
            outputs += self._unread(raw, ts_ns)
        return outputs

    def _unread(self, raw: bytes, ts_ns: int) -> list[Output]:
        """A frame of the books' own sid whose number could not be read may have been any change of any book."""
        try:
            head = msgspec.json.decode(raw, type=_Head)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return []
        if BOOKS not in self._sids or head.sid != self._sids[BOOKS] or isinstance(head.seq, int):
            return []
        return [] if self._waiting else self._hole("a frame's seq could not be read", ts_ns)

    def _frame(self, envelope: wire.Envelope, raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        kind = envelope.type
        if kind == "subscribed":
            self._subscribed(wire.Subscribed.model_validate(envelope.msg), ts_ns, outputs)
            return
        if kind == "error":
            self._error(envelope, raw, ts_ns, outputs)
            return
        if kind in {"orderbook_delta", "orderbook_snapshot", "trade"}:
            if not self._in_sequence(envelope, is_data=True, ts_ns=ts_ns, outputs=outputs):
                return
            if kind == "orderbook_delta":
                self._delta_frame(envelope.msg, ts_ns, outputs)
            elif kind == "orderbook_snapshot":
                self._snapshot_frame(envelope.msg, ts_ns, outputs)
            else:
                self._trade(wire.Trade.model_validate(envelope.msg), ts_ns, outputs)
            return
        if kind == "unsubscribed" and envelope.sid in self._channels:
            outputs += self._lost(self._channels[envelope.sid], "the venue ended the subscription", ts_ns)
            return
        if kind in {"ok", "unsubscribed"}:
            if envelope.sid is not None and envelope.seq is not None:
                self._in_sequence(envelope, is_data=False, ts_ns=ts_ns, outputs=outputs)
            return
        if kind in {"market_lifecycle_v2", "event_lifecycle", "event_fee_update"}:
            if self._in_lifecycle(envelope, outputs):
                self._lifecycle(kind, envelope.msg, raw, ts_ns, outputs)
            return
        if kind == "ticker":
            self.counters["other.ticker"] += 1  # a channel that this feed does not ask for
            return
        raise WireDriftError(f"type {kind[:40]!r} is unknown")

    def _unusable(self, kind: str, error: str, raw: bytes, ts_ns: int) -> list[Output]:
        """Dead-letter a frame and fail closed the instruments that its bytes name."""
        outputs: list[Output] = [self._dead(kind, error, raw, ts_ns)]
        for ticker in dict.fromkeys(_TICKER.findall(raw)):
            one = self._tickers.get(ticker.decode("utf-8", "replace"))
            if one is not None:
                outputs += self.distrust(one.id, f"{kind}: {error}"[:200], ts_ns)
        return outputs

    def _subscribed(self, message: wire.Subscribed, ts_ns: int, outputs: list[Output]) -> None:
        if message.channel not in {BOOKS, TRADES, LIFECYCLE}:
            raise WireDriftError(f"channel {message.channel[:40]!r} was not asked for")
        self._sids[message.channel] = message.sid
        self._channels[message.sid] = message.channel
        self._sequences[message.sid] = Sequence()
        if message.channel == BOOKS:
            self._deadline_ns = 0
            late, self._late = self._late, []
            if late:
                self._subscribe_more(late, ts_ns)
        del outputs

    def _error(self, envelope: wire.Envelope, raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        message = wire.ErrorMessage.model_validate(envelope.msg)
        outputs.append(self._dead("venue_error", f"{message.code} {message.msg}", raw, ts_ns))
        reason = f"venue error {message.code}: {message.msg}"[:200]
        if message.code in TERMINAL_ERRORS:
            outputs += self._fail_closed(list(self.followed.values()), f"venue error {message.code}", ts_ns)
            outputs.append(Reconnect(reason=reason))
        elif envelope.id is not None and envelope.id == self._books_command and BOOKS not in self._sids:
            outputs.append(Reconnect(reason=f"the subscription was refused: {reason}"))
        elif envelope.id is None and envelope.sid in self._channels:
            outputs += self._lost(self._channels[envelope.sid], reason, ts_ns)
        elif message.code == UNKNOWN_SID and envelope.id is not None:
            outputs += self._lost(BOOKS, reason, ts_ns)  # what is updated is the books' subscription
        elif envelope.sid is not None and envelope.seq is not None:
            self._in_sequence(envelope, is_data=False, ts_ns=ts_ns, outputs=outputs)

    def _lost(self, channel: str, reason: str, ts_ns: int) -> list[Output]:
        """The venue ended a subscription of ours: nothing more comes on it, so it is asked for anew, or on a new connection."""
        sid = self._sids.pop(channel, None)
        if sid is None:
            return []
        del self._channels[sid], self._sequences[sid]
        self.counters[f"lost.{channel}"] += 1
        outputs: list[Output] = []
        if channel == BOOKS:
            self._waiting.clear()
            outputs += self._fail_closed(list(self.followed.values()), reason, ts_ns)
        before_ns, self._lost_ns[channel] = self._lost_ns.get(channel), ts_ns
        if before_ns is not None and ts_ns - before_ns < LOST_AGAIN_NS:
            return [*outputs, Reconnect(reason=f"{reason}, again")]
        if channel == LIFECYCLE:
            self._command("subscribe", {"channels": [LIFECYCLE]})
            outputs.append(RefreshListing(instrument_id=None))  # nobody knows what it told meanwhile
        elif tickers := self._symbols():
            number = self._command(
                "subscribe", {"channels": [channel], "market_tickers": tickers, "use_yes_price": True}
            )
            if channel == BOOKS:
                self._books_command = number
                self._deadline_ns = ts_ns + ANSWER_NS
        return outputs

    # -- the sequence

    def _in_sequence(self, envelope: wire.Envelope, *, is_data: bool, ts_ns: int, outputs: list[Output]) -> bool:
        """Advance the sid's sequence; whether the frame is to be used."""
        sequence = self._sequences.get(-1 if envelope.sid is None else envelope.sid)
        if sequence is None or envelope.sid is None:
            raise WireDriftError(f"sid {envelope.sid} was never acknowledged on this connection")
        is_books = self._channels[envelope.sid] == BOOKS
        if envelope.seq is None:
            # A data frame without its number proves nothing about what came before it.
            if is_books:
                outputs += self._hole("a frame had no seq", ts_ns)
            raise WireDriftError("seq is missing")
        verdict = sequence.take(envelope.seq, is_data=is_data)
        if verdict is Verdict.NEXT:
            return True
        if verdict is Verdict.REPLAY:
            self.counters["replay"] += 1
            return False
        self.counters["gap"] += 1
        if is_books:
            outputs += self._hole(f"gap before seq {envelope.seq}", ts_ns)
        return True  # a snapshot right after a hole counts; a delta finds its book invalid

    def _hole(self, reason: str, ts_ns: int) -> list[Output]:
        """Every book of the sid is stale: ask once for all; a second hole while waiting ends the connection."""
        if self._waiting:
            outputs = self._fail_closed(list(self.followed.values()), reason, ts_ns)
            return [*outputs, Reconnect(reason=f"{reason}, while waiting for snapshots")]
        outputs = self._fail_closed(list(self.followed.values()), reason, ts_ns)
        self._waiting = dict.fromkeys(self.followed)
        self._deadline_ns = ts_ns + ANSWER_NS
        self._update(BOOKS, "get_snapshot", self._symbols())
        for one in self.followed.values():
            one.ask_again_ns = ts_ns + ANSWER_NS
        return outputs

    # -- books

    def _find(self, ticker: str) -> Followed:
        one = self._tickers.get(ticker)
        if one is None:
            self.counters["unknown_market"] += 1
            raise WireDriftError(f"market {ticker[:80]!r} is not followed")
        return one

    def _snapshot_frame(self, msg: Any, ts_ns: int, outputs: list[Output]) -> None:
        snapshot = wire.Snapshot.model_validate(msg)
        one = self._find(snapshot.market_ticker)
        refuse_renamed_side(snapshot)
        bids = _side(snapshot.yes_dollars_fp or [], one.grid)
        asks = _side(snapshot.no_dollars_fp or [], one.grid)
        if bids and asks and max(bids) >= min(asks):
            raise WireDriftError("the snapshot is crossed: a level was misread (use_yes_price?)")
        self._data_came(ts_ns, outputs)
        self._answered(one, ts_ns)
        self._waiting.pop(one.id, None)
        if not self._waiting and BOOKS in self._sids:
            self._deadline_ns = 0
        if not snapshot.market_id:
            outputs += self._fail_closed([one], "the venue does not know the market, or it has settled", ts_ns)
            outputs.append(ConfirmSettlement(instrument_id=one.id))
            return
        one.mirror.replace(bids, asks)
        self._show(one, ts_ns, outputs)

    def _delta_frame(self, msg: Any, ts_ns: int, outputs: list[Output]) -> None:
        delta = wire.Delta.model_validate(msg)
        one = self._tickers.get(delta.market_ticker) or self._find(delta.market_ticker)
        price = parse_price(delta.price_dollars)
        change = parse_micros(delta.delta_fp)
        if not one.grid.contains(price):
            raise WireDriftError(f"price {delta.price_dollars!r} is off the grid {one.grid!r}")
        if not change:
            raise WireDriftError("delta_fp is 0: a change that changes nothing")
        stamp = None if delta.ts_ms is None else stamp_ns(str(delta.ts_ms), ts_ns)
        self._data_came(ts_ns, outputs)
        self._heard(one, ts_ns)
        if stamp is not None:
            self._note_change(stamp, ts_ns, outputs)
        if not one.valid and not one.withheld:
            self.counters["before_snapshot"] += 1
            return
        if stamp is not None:
            one.ts_venue_ns = stamp
        is_bid = delta.side == "yes"
        size = (one.mirror.bids if is_bid else one.mirror.asks).get(price, 0) + change
        if size < 0:
            raise WireDriftError(f"level {delta.price_dollars} would fall to {size} micros: a change was missed")
        one.mirror.set(price, size, is_bid=is_bid)
        if one.mirror.crossed:
            self.counters["crossed"] += 1
            outputs += self.distrust(one.id, "the book is crossed: a change was missed", ts_ns)
            return
        if one.withheld:
            self.counters["withheld"] += 1
            outputs += self._spoke(one, ts_ns)
            return
        level = [(price, size)]
        outputs.append(self._delta(one, level if is_bid else [], [] if is_bid else level, stamp, ts_ns))

    def _trade(self, trade: wire.Trade, ts_ns: int, outputs: list[Output]) -> None:
        one = self._find(trade.market_ticker)
        price, quantity = parse_price(trade.yes_price_dollars), parse_size(trade.count_fp)
        taker = trade.taker_outcome_side or trade.taker_side
        if not 0 < price < MICROS or not quantity or taker is None:
            raise WireDriftError(f"trade of {trade.count_fp} at {trade.yes_price_dollars} by taker {taker} cannot be")
        if len(trade.trade_id) > ID_MAX:
            raise WireDriftError(f"a trade id of {len(trade.trade_id)} characters is none")
        stamp = None if trade.ts_ms is None else stamp_ns(str(trade.ts_ms), ts_ns)
        outputs.append(
            PublicTrade(
                ts_received_ns=ts_ns,
                ts_venue_ns=stamp,
                instrument_id=one.id,
                feed=self.feed,
                session=self.session,
                trade_id=trade.trade_id,
                price_micros=price,
                quantity_micros=quantity,
                taker_side="buy" if taker == "yes" else "sell",
            )
        )

    # -- lifecycle

    def _in_lifecycle(self, envelope: wire.Envelope, outputs: list[Output]) -> bool:
        """Whether the frame is to be used. After a gap nobody knows which market changed: every listing is read anew."""
        sequence = self._sequences.get(-1 if envelope.sid is None else envelope.sid)
        if sequence is None or envelope.seq is None:
            return True  # it proves nothing about books, and what it states is confirmed by the catalogue
        verdict = sequence.take(envelope.seq, is_data=True)
        if verdict is Verdict.HOLE:
            self.counters["gap"] += 1
            outputs.append(RefreshListing(instrument_id=None))
        return verdict is not Verdict.REPLAY

    def _lifecycle(self, kind: str, msg: Any, raw: bytes, ts_ns: int, outputs: list[Output]) -> None:
        """Take what a frame states of followed markets at once, and have the catalogue asked for the rest."""
        self.counters[kind] += 1
        for one, listed, is_over in heard(kind, msg, raw, self._tickers, ts_ns):
            outputs.append(RefreshListing(instrument_id=one.id))
            if is_over:
                outputs.append(ConfirmSettlement(instrument_id=one.id))
            if listed is one.listed:
                continue
            grid = PriceGrid.from_ranges(listed.grid)
            one.listed = listed
            outputs.append(listed)
            if grid != one.grid:
                one.grid = grid
                outputs += self.distrust(one.id, "the price grid changed", ts_ns)

    # -- time and REST

    def _ask_again(self, ts_ns: int) -> list[Output]:
        """Give up a connection that does not answer; ask again for single books that stayed invalid."""
        if self._deadline_ns and ts_ns > self._deadline_ns:
            self._deadline_ns = 0
            return [Reconnect(reason="no answer to a subscription or a get_snapshot")]
        if BOOKS not in self._sids:
            return []
        due: list[str] = []
        mute: list[Followed] = []
        for instrument_id in list(self._troubled):
            one = self.followed[instrument_id]
            if one.valid or one.withheld or instrument_id in self._waiting:
                continue
            if not one.ask_again_ns:
                one.ask_again_ns = ts_ns + RETRY_FIRST_NS
            elif self._due(one, ts_ns):
                if one.on_trial:
                    mute.append(one)
                else:
                    due.append(one.listed.symbol)
        self._update(BOOKS, "get_snapshot", due)
        self._renew_subscription(mute, ts_ns)
        return []

    def distrust(self, instrument_id: str, reason: str, ts_ns: int) -> list[Output]:
        """Fail one book closed and ask the socket for its snapshot."""
        one = self.followed.get(instrument_id)
        if one is None:
            return []
        outputs = self._fail_closed([one], reason, ts_ns)
        if BOOKS in self._sids and instrument_id not in self._waiting and self._due(one, ts_ns):
            self._update(BOOKS, "get_snapshot", [one.listed.symbol])
        return outputs

    def rest_book(self, instrument_id: str, body: bytes, ts_ns: int) -> list[Output]:
        """REST books carry no sequence, so they never enter a book: only a snapshot in sequence does."""
        del instrument_id, body, ts_ns
        return []

    def rest_differs(self, instrument_id: str, body: bytes) -> bool | None:
        """Whether a book by REST differs from the mirror; None when it cannot be read."""
        one = self.followed.get(instrument_id)
        if one is None:
            return None
        try:
            book = wire.RestBook.model_validate(decode_json(body)).orderbook_fp
            bids = _side(book.yes_dollars, None)
            asks = {MICROS - price: size for price, size in _side(book.no_dollars, None).items()}
        except _UNUSABLE:
            return None
        return bids != one.mirror.bids or asks != one.mirror.asks


def _side(rows: list[list[str]], grid: PriceGrid | None) -> dict[int, int]:
    levels: dict[int, int] = {}
    for row in rows:
        if len(row) != 2:
            raise WireDriftError(f"a level has {len(row)} fields, expected price and count")
        price, size = parse_price(row[0]), parse_size(row[1])
        if not size:
            raise WireDriftError(f"level {row[0]!r} of a whole book has no size")
        if grid is not None and not grid.contains(price):
            raise WireDriftError(f"price {row[0]!r} is off the grid {grid!r}")
        if price in levels:
            raise WireDriftError(f"price {row[0]!r} came twice on one side of a whole book")
        levels[price] = size
    return levels


def _say(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{error.title}.{where}: {first['msg']}"
    return str(error)
