"""Polymarket's market channel, sans-I/O: frames to books in YES terms.

Decides what a frame means for the one mirrored book of a market. The feed subscribes to the YES token only: the venue's two
token books are mirrors (a bid for NO at q is an ask of YES at 1-q), so NO's own stream would double the traffic and add
nothing; what still comes for the NO token (a price_change often names both) is mirrored into the same levels, YES's word
first, so nothing is ever counted twice. There are no sequence numbers: order is the venue's stamp, trust is the frame's own
best bid and ask, and a book that is crossed or disagrees with them for more than a second is read again by REST. It must
never believe a hash, and never a resolution that the catalogue has not confirmed.
"""

import json
import re
from typing import Any

import msgspec
from pydantic import ValidationError

from crossbook.domain.errors import DomainError
from crossbook.domain.grid import POLYMARKET_TICKS_MICROS, PriceGrid, complement
from crossbook.domain.money import MICROS, parse_price, parse_size
from crossbook.domain.names import POLYMARKET
from producers.errors import WireDriftError
from producers.feeds.protocol import (
    SECOND_NS,
    ConfirmSettlement,
    FetchBook,
    Followed,
    Output,
    RefreshListing,
    VenueProtocol,
    decode_json,
    stamp_ns,
)
from producers.polymarket import wire
from schemas.records import PublicTrade, Side, Venue

#: A book that is crossed, or unlike the frame's own best prices, for longer than this is read again.
SUSPECT_NS = SECOND_NS
#: A whole book is stamped with its last change (the first book of a real session was an hour old), in milliseconds.
BOOK_PAST_NS = 30 * 86_400 * SECOND_NS
#: A transaction hash has 66 characters.
ID_MAX = 200
_PONG = b"PONG"
_TOKEN = re.compile(rb"[0-9]{10,80}")
_UNUSABLE = (ValidationError, DomainError, WireDriftError, RecursionError)
_OTHER_SIDE: dict[str, Side] = {"BUY": "sell", "SELL": "buy"}
_SIDE: dict[str, Side] = {"BUY": "buy", "SELL": "sell"}


class PolymarketProtocol(VenueProtocol):
    """One connection to the market channel."""

    venue: Venue = POLYMARKET

    def __init__(self, feed: str = POLYMARKET, **times: int) -> None:
        super().__init__(feed, **times)
        self._opened = False  # the opening frame of the subscription was queued on this connection
        self._tokens: dict[str, tuple[Followed, bool]] = {}
        self._conditions: dict[str, Followed] = {}

    # -- subscription

    def _subscribe(self, ts_ns: int) -> None:
        self._opened = False
        self._subscribe_more(list(self.followed.values()), ts_ns)

    def _subscribe_more(self, ones: list[Followed], ts_ns: int) -> None:
        if not ones:
            return  # an empty list would open the connection for nothing, or for everything
        # custom_feature_enabled brings best_bid_ask and market_resolved.
        tokens = [one.listed.yes_token or "" for one in ones]
        if self._opened:
            self._send({"operation": "subscribe", "assets_ids": tokens, "custom_feature_enabled": True})
        else:
            self._opened = True
            self._send({"assets_ids": tokens, "type": "market", "custom_feature_enabled": True})
        self._subscription_asked(ts_ns)
        self._await_books(ones)

    def _renew_subscription(self, ones: list[Followed], ts_ns: int) -> None:
        if ones:
            self._send({"operation": "unsubscribe", "assets_ids": [one.listed.yes_token or "" for one in ones]})
            self._subscribe_more(ones, ts_ns)

    def _send(self, frame: dict[str, Any]) -> None:
        self._outgoing.append(json.dumps(frame, separators=(",", ":")))

    def _await_books(self, ones: list[Followed]) -> None:
        """An unknown or overlooked asset is answered by silence; `tick` asks for what does not come."""
        for one in ones:
            self._troubled[one.id] = None

    def _unsubscribe(self, one: Followed) -> None:
        self._send({"operation": "unsubscribe", "assets_ids": [one.listed.yes_token or ""]})

    def _index(self, one: Followed) -> None:
        assert one.listed.yes_token, "the catalogue lists no Polymarket market without its YES token"
        assert one.listed.no_token, "the catalogue lists no Polymarket market without its NO token"
        self._tokens[one.listed.yes_token] = (one, True)
        self._tokens[one.listed.no_token] = (one, False)
        self._conditions[one.listed.symbol] = one

    def _unindex(self, one: Followed) -> None:
        self._tokens.pop(one.listed.yes_token or "", None)
        self._tokens.pop(one.listed.no_token or "", None)
        self._conditions.pop(one.listed.symbol, None)

    # -- frames

    def receive(self, frame: bytes | str, ts_ns: int) -> list[Output]:
        """Take one frame; never raises."""
        raw = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        if len(raw) < 8 and raw.strip() == _PONG:
            self.counters["pong"] += 1
            return []
        self.counters["frames"] += 1
        outputs: list[Output] = []
        try:
            content = decode_json(raw)
        except WireDriftError as error:
            return self._unusable("garbage", str(error), raw, ts_ns)
        for event in content if type(content) is list else (content,):
            if type(event) is not dict:
                outputs += self._unusable("garbage", "an event is no JSON object", raw, ts_ns)
                continue
            try:
                self._event(event, ts_ns, outputs)
            except _UNUSABLE as error:
                outputs += self._unusable("drift", _say(error), raw if event is content else _again(event), ts_ns)
        return outputs

    def _event(self, event: dict[str, Any], ts_ns: int, outputs: list[Output]) -> None:
        kind = event.get("event_type")
        if kind == "price_change":
            self._price_change(wire.PriceChange.model_validate(event), ts_ns, outputs)
        elif kind == "book":
            self._book(wire.Book.model_validate(event), ts_ns, outputs)
        elif kind == "last_trade_price":
            self._trade(wire.LastTradePrice.model_validate(event), ts_ns, outputs)
        elif kind == "best_bid_ask":
            self._best(wire.BestBidAsk.model_validate(event), ts_ns)
        elif kind == "tick_size_change":
            self._tick_change(wire.TickSizeChange.model_validate(event), ts_ns, outputs)
        elif kind == "market_resolved":
            self._resolved(wire.MarketResolved.model_validate(event), ts_ns, outputs)
        elif kind == "new_market":
            self.counters["new_market"] += 1  # global and repeated; the catalogue finds new markets
        else:
            shown = kind[:40] if isinstance(kind, str) else type(kind).__name__
            raise WireDriftError(f"event_type {shown!r} is unknown")

    def _unusable(self, kind: str, error: str, raw: bytes, ts_ns: int) -> list[Output]:
        """Dead-letter a frame and fail closed whatever followed instruments its bytes name."""
        outputs: list[Output] = [self._dead(kind, error, raw, ts_ns)]
        named: dict[str, Followed] = {}
        for token in _TOKEN.findall(raw):
            found = self._tokens.get(token.decode())
            if found is not None:
                named[found[0].id] = found[0]
        for one in named.values():
            outputs += self.distrust(one.id, f"{kind}: {error}"[:200], ts_ns)
        return outputs

    def _find(self, asset_id: str) -> tuple[Followed, bool]:
        found = self._tokens.get(asset_id)
        if found is None:
            self.counters["unknown_market"] += 1
            raise WireDriftError(f"asset {asset_id[:80]!r} is not followed")
        return found

    # -- books

    def _book(self, book: wire.Book, ts_ns: int, outputs: list[Output]) -> None:
        one, is_yes = self._find(book.asset_id)
        if not is_yes and one.valid:
            self.counters["mirror_ignored"] += 1
            return
        stamp = stamp_ns(book.timestamp, ts_ns, BOOK_PAST_NS)
        _sides(book, None, is_yes=is_yes)  # a book that is none makes no feed live
        self._data_came(ts_ns, outputs)
        if one.valid or one.withheld == "late":
            self._heard(one, ts_ns)
        else:
            self._answered(one, ts_ns)
        self._adopt(one, book, stamp, ts_ns, outputs, is_yes=is_yes)

    def _adopt(
        self, one: Followed, book: wire.Book, stamp: int, ts_ns: int, outputs: list[Output], *, is_yes: bool
    ) -> bool:
        """Take a whole book, unless it is older than the mirror; whether it was taken."""
        if stamp < one.ts_venue_ns:
            self.counters["older_book"] += 1
            return False
        if book.tick_size is not None:
            self._new_tick(one, book.tick_size, ts_ns, outputs)
        bids, asks = _sides(book, one.grid, is_yes=is_yes)
        one.mirror.replace(bids, asks)
        one.level_stamps.clear()
        one.ts_venue_ns = one.snapshot_venue_ns = stamp
        one.suspect_since_ns = ts_ns if one.mirror.crossed else 0
        if one.suspect_since_ns:
            self._troubled[one.id] = None
        self._show(one, ts_ns, outputs)
        return True

    def _price_change(self, event: wire.PriceChange, ts_ns: int, outputs: list[Output]) -> None:
        stamp = stamp_ns(event.timestamp, ts_ns)
        by_market: dict[str, tuple[Followed, list[tuple[wire.Change, bool]]]] = {}
        tokens = self._tokens
        for change in event.price_changes:
            found = tokens.get(change.asset_id)
            if found is None:
                found = self._find(change.asset_id)  # raises
            one, is_yes = found
            entry = by_market.get(one.id)
            if entry is None:
                by_market[one.id] = (one, [(change, is_yes)])
            else:
                entry[1].append((change, is_yes))
        if not by_market:
            raise WireDriftError("price_changes is empty")
        self._data_came(ts_ns, outputs)
        self._note_change(stamp, ts_ns, outputs)
        for one, changes in by_market.values():
            self._change(one, changes, stamp, ts_ns, outputs)

    def _change(
        self, one: Followed, changes: list[tuple[wire.Change, bool]], stamp: int, ts_ns: int, outputs: list[Output]
    ) -> None:
        """Set the levels of one market's changes; YES's word counts where both tokens speak of one level."""
        levels: dict[tuple[bool, int], int] = {}
        said_by_yes: set[tuple[bool, int]] = set()
        for change, is_yes in changes:
            price = parse_price(change.price)
            size = parse_size(change.size)
            if not one.grid.contains(price if is_yes else MICROS - price):
                raise WireDriftError(f"price {change.price!r} is off the grid {one.grid!r}")
            is_bid = (change.side == "BUY") is is_yes
            key = (is_bid, price if is_yes else MICROS - price)
            if is_yes:
                said_by_yes.add(key)
            elif key in said_by_yes:
                continue
            levels[key] = size
        self._heard(one, ts_ns)
        if not one.valid and not one.withheld:
            self.counters["before_snapshot"] += 1
            return
        if stamp < one.snapshot_venue_ns:
            self.counters["older_change"] += 1
            return
        late = stamp < one.ts_venue_ns
        bids: list[tuple[int, int]] = []
        asks: list[tuple[int, int]] = []
        for key, size in levels.items():
            if late and one.level_stamps.get(key, 0) > stamp:
                self.counters["late_level"] += 1
                continue
            one.level_stamps[key] = stamp
            is_bid, price = key
            if one.mirror.set(price, size, is_bid=is_bid):
                (bids if is_bid else asks).append((price, size))
        if not late:
            one.ts_venue_ns = stamp
            last, is_yes = changes[-1]
            self._check_top(one, last.best_bid, last.best_ask, ts_ns, is_yes=is_yes)
        if one.withheld:
            self.counters["withheld"] += 1
            outputs += self._spoke(one, ts_ns)
        elif bids or asks:
            outputs.append(self._delta(one, bids, asks, stamp, ts_ns))
        else:
            self.counters["unchanged"] += 1

    def _check_top(self, one: Followed, best_bid: str, best_ask: str, ts_ns: int, *, is_yes: bool) -> None:
        """Hold the mirror against the frame's own best prices; lasting difference makes `tick` fetch the book."""
        bid_text, ask_text = (best_bid, best_ask) if is_yes else (best_ask, best_bid)
        mirror = one.mirror
        agrees = (
            not mirror.crossed
            and _agrees(bid_text, mirror.best_bid, is_yes=is_yes)
            and _agrees(ask_text, mirror.best_ask, is_yes=is_yes)
        )
        if agrees:
            if one.suspect_since_ns:
                one.suspect_since_ns = 0
                self._troubled.pop(one.id, None)
        elif not one.suspect_since_ns:
            one.suspect_since_ns = ts_ns
            self._troubled[one.id] = None
            self.counters["suspect"] += 1

    def _best(self, event: wire.BestBidAsk, ts_ns: int) -> None:
        one, is_yes = self._find(event.asset_id)
        self.counters["best_bid_ask"] += 1
        if one.valid or one.withheld:
            self._check_top(one, event.best_bid, event.best_ask, ts_ns, is_yes=is_yes)

    # -- trades, ticks, ends

    def _trade(self, event: wire.LastTradePrice, ts_ns: int, outputs: list[Output]) -> None:
        one, is_yes = self._find(event.asset_id)
        stamp = stamp_ns(event.timestamp, ts_ns)
        price, quantity = parse_price(event.price), parse_size(event.size)
        if not 0 < price < MICROS or not quantity:
            raise WireDriftError(f"trade of {event.size} at {event.price} cannot be")
        if len(event.transaction_hash) > ID_MAX:
            raise WireDriftError(f"a transaction hash of {len(event.transaction_hash)} characters is none")
        outputs.append(
            PublicTrade(
                ts_received_ns=ts_ns,
                ts_venue_ns=stamp,
                instrument_id=one.id,
                feed=self.feed,
                session=self.session,
                trade_id=event.transaction_hash,
                price_micros=price if is_yes else complement(price),
                quantity_micros=quantity,
                taker_side=(_SIDE if is_yes else _OTHER_SIDE)[event.side],
            )
        )

    def _tick_change(self, event: wire.TickSizeChange, ts_ns: int, outputs: list[Output]) -> None:
        one, _ = self._find(event.asset_id)
        self.counters["tick_size_change"] += 1
        self._new_tick(one, event.new_tick_size, ts_ns, outputs)

    def _new_tick(self, one: Followed, tick_text: str, ts_ns: int, outputs: list[Output]) -> None:
        """Adopt another tick: list the instrument anew and drop its book until a fresh one comes."""
        tick = parse_price(tick_text)
        if tick not in POLYMARKET_TICKS_MICROS:
            raise WireDriftError(f"tick size {tick_text!r} is unknown")
        grid = PriceGrid.linear(tick)
        if grid == one.grid:
            return
        one.grid = grid
        one.listed = msgspec.structs.replace(one.listed, ts_received_ns=ts_ns, grid=grid.ranges, keyframe=False)
        outputs.append(one.listed)
        outputs += self.distrust(one.id, f"tick size became {tick_text}", ts_ns)

    def _resolved(self, event: wire.MarketResolved, ts_ns: int, outputs: list[Output]) -> None:
        one = self._conditions.get(event.market)
        if one is None:
            self.counters["unknown_resolved"] += 1
            return
        self.counters["resolution_pending"] += 1
        if (
            one.listed.status != "closed"
        ):  # not believed for a payout, but enough to trade no more until the catalogue has said
            one.listed = msgspec.structs.replace(one.listed, ts_received_ns=ts_ns, status="closed", keyframe=False)
            outputs.append(one.listed)
            outputs.append(RefreshListing(instrument_id=one.id))
        outputs.append(ConfirmSettlement(instrument_id=one.id))

    # -- time and REST

    def _ask_again(self, ts_ns: int) -> list[Output]:
        """Distrust books that stayed suspect for more than a second, and ask for invalid ones that are due again."""
        outputs: list[Output] = []
        unanswered: list[Followed] = []
        for instrument_id in list(self._troubled):
            one = self.followed[instrument_id]
            if one.valid or one.withheld:
                if one.valid and one.suspect_since_ns and ts_ns - one.suspect_since_ns > SUSPECT_NS:
                    why = "crossed" if one.mirror.crossed else "unlike its own best prices"
                    outputs += self.distrust(instrument_id, f"the book stayed {why}", ts_ns)
            elif self.ts_data_ns is None:
                continue  # the whole subscription is not answered yet; it has its own time
            elif not one.ask_again_ns:
                one.ask_again_ns = ts_ns + one.retry_ns  # give the socket's own snapshot a moment first
            elif self._due(one, ts_ns):
                if self._spoke_here(one):
                    outputs.append(FetchBook(instrument_id=instrument_id, reason=one.reason))
                else:
                    unanswered.append(one)
        self._renew_subscription(unanswered, ts_ns)
        return outputs

    def distrust(self, instrument_id: str, reason: str, ts_ns: int) -> list[Output]:
        """Fail one book closed and ask for it by REST."""
        one = self.followed.get(instrument_id)
        if one is None:
            return []
        outputs = self._fail_closed([one], reason, ts_ns)
        if self._spoke_here(one) and self._due(one, ts_ns):
            outputs.append(FetchBook(instrument_id=instrument_id, reason=reason))
        return outputs

    @staticmethod
    def _spoke_here(one: Followed) -> bool:
        """Whether the socket tells of this instrument: a book read aside must not stand in for a stream that is mute."""
        return bool(one.silence.heard_ns) and not one.on_trial

    def rest_book(self, instrument_id: str, body: bytes, ts_ns: int) -> list[Output]:
        """Adopt a book read by REST, unless it is older than what the socket gave, crossed, or the socket is mute about it."""
        one = self.followed.get(instrument_id)
        if one is None or one.valid or not self.connected or not self._spoke_here(one):
            return []
        outputs: list[Output] = []
        try:
            book = wire.Book.model_validate(decode_json(body))
            if self._tokens.get(book.asset_id, (None, False)) != (one, True):
                raise WireDriftError(f"the book of asset {book.asset_id[:80]!r} was not asked for")
            bids, asks = _sides(book, None, is_yes=True)
            if bids and asks and max(bids) >= min(asks):
                raise WireDriftError("the book by REST is crossed")
            stamp = stamp_ns(book.timestamp, ts_ns, BOOK_PAST_NS)
            if self._adopt(one, book, stamp, ts_ns, outputs, is_yes=True):
                one.silence.vouched(ts_ns)
        except _UNUSABLE as error:
            outputs.append(self._dead("rest", _say(error), body, ts_ns))
        return outputs

    def rest_differs(self, instrument_id: str, body: bytes) -> bool | None:
        """Whether a book by REST, not older than the mirror, differs from it; None when it says nothing."""
        one = self.followed.get(instrument_id)
        if one is None:
            return None
        try:
            book = wire.Book.model_validate(decode_json(body))
            if not (book.timestamp.isdigit() and len(book.timestamp) <= 15):
                return None
            bids, asks = _sides(book, None, is_yes=True)
        except _UNUSABLE:
            return None
        if int(book.timestamp) * 1_000_000 < one.ts_venue_ns:
            return None
        return bids != one.mirror.bids or asks != one.mirror.asks


def _sides(book: wire.Book, grid: PriceGrid | None, *, is_yes: bool) -> tuple[dict[int, int], dict[int, int]]:
    """Levels of a book in YES terms; raises on a level of no size, and off the grid when one is given."""
    own_bids = _levels(book.bids, grid, is_yes=is_yes)
    own_asks = _levels(book.asks, grid, is_yes=is_yes)
    return (own_bids, own_asks) if is_yes else (own_asks, own_bids)


def _levels(rows: list[wire.Level], grid: PriceGrid | None, *, is_yes: bool) -> dict[int, int]:
    levels: dict[int, int] = {}
    for row in rows:
        price = parse_price(row.price)
        size = parse_size(row.size)
        if not is_yes:
            price = MICROS - price
        if not size:
            raise WireDriftError(f"level {row.price!r} of a whole book has no size")
        if grid is not None and not grid.contains(price):
            raise WireDriftError(f"price {row.price!r} is off the grid {grid!r}")
        if price in levels:
            raise WireDriftError(f"price {row.price!r} came twice on one side of a whole book")
        levels[price] = size
    return levels


def _agrees(text: str, best: int | None, *, is_yes: bool) -> bool:
    """Whether a frame's best price is the mirror's; an empty text says nothing, 0 and 1 say that the side is empty."""
    if not text:
        return True
    price = parse_price(text)
    if price in {0, MICROS}:
        return best is None
    return best == (price if is_yes else MICROS - price)


def _say(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{error.title}.{where}: {first['msg']}"
    return str(error)


def _again(event: dict[str, Any]) -> bytes:
    """One event of an array, as bytes for the dead letter."""
    try:
        return json.dumps(event, separators=(",", ":")).encode()
    except RecursionError:
        return b"(nested too deeply to show)"
