"""The sandbox over real sockets: what a client of either venue sees, the truth it is told, start and stop."""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import websockets

from tests.builders.places import REPOSITORY

# -- catalogue and books over REST


def test_gamma_pages_by_keyset(client: Any) -> None:
    url = client.known["polymarket"]["gamma_url"]
    rows, cursor = [], ""
    for _ in range(10):
        body = httpx.get(f"{url}/markets/keyset", params={"limit": 3, "after_cursor": cursor}).json()
        rows += body["markets"]
        cursor = body.get("next_cursor", "")
        if not cursor:
            break
    assert len({row["conditionId"] for row in rows}) == 8
    assert {row["version"] for row in rows} == {"v1", "v2"}
    assert httpx.get(f"{url}/markets/keyset", params={"limit": 9999}).json().get("next_cursor") is None
    assert httpx.get(f"{url}/markets/keyset", params={"offset": 1}).status_code == 422
    assert httpx.get(f"{url}/markets/keyset", params={"closed": "true"}).json()["markets"] == []
    events = httpx.get(f"{url}/events/keyset").json()["events"]
    assert sum(len(event["markets"]) for event in events) == 8
    assert sum(row["volumeNum"] >= 1_000_000 for row in rows) == 7


def test_clob_metadata_and_books(client: Any) -> None:
    url = client.known["polymarket"]["clob_url"]
    assert httpx.get(f"{url}/version").json() == {"version": 2}
    assert abs(httpx.get(f"{url}/time").json() - time.time()) < 5
    for pair in client.known["pairs"]:
        ids = pair["polymarket"]
        market = httpx.get(f"{url}/clob-markets/{ids['condition_id']}").json()
        assert [token["t"] for token in market["t"]] == [ids["yes_token"], ids["no_token"]]
        book = httpx.get(f"{url}/book", params={"token_id": ids["yes_token"]}).json()
        text = json.dumps({**book, "hash": ""}, separators=(",", ":"))
        assert hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() == book["hash"]
        tick = httpx.get(f"{url}/tick-size", params={"token_id": ids["no_token"]}).json()
        assert str(tick["minimum_tick_size"]) == book["tick_size"]
    tokens = [{"token_id": client.known["pairs"][0]["polymarket"]["no_token"]}, {"token_id": "1"}]
    assert len(httpx.post(f"{url}/books", json=tokens).json()) == 1, "unknown tokens are left out in silence"
    assert httpx.get(f"{url}/book", params={"token_id": "1"}).status_code == 404
    assert httpx.get(f"{url}/neg-risk", params={"token_id": tokens[0]["token_id"]}).json() == {"neg_risk": False}
    assert 0 < float(httpx.get(f"{url}/midpoint", params={"token_id": tokens[0]["token_id"]}).json()["mid"]) < 1


def test_kalshi_rest(client: Any) -> None:
    url = client.known["kalshi"]["rest_url"]
    rows, cursor = [], ""
    while True:
        query = {"with_nested_markets": "true", "limit": 3, "cursor": cursor, "status": "open"}
        body = httpx.get(f"{url}/events", params=query).json()
        rows += body["events"]
        cursor = body["cursor"]
        if not cursor:
            break
    assert len({row["event_ticker"] for row in rows}) == 8
    assert httpx.get(f"{url}/events", params={"limit": 201}).status_code == 400
    multipliers = set()
    for row in rows:
        series = httpx.get(f"{url}/series/{row['series_ticker']}").json()["series"]
        multipliers.add(series["fee_multiplier"])
        (market,) = row["markets"]
        book = httpx.get(f"{url}/markets/{market['ticker']}/orderbook").json()["orderbook_fp"]
        for side in ("yes_dollars", "no_dollars"):
            prices = [float(price) for price, _ in book[side]]
            assert prices == sorted(prices)
        assert float(book["yes_dollars"][-1][0]) + float(book["no_dollars"][-1][0]) < 1
    assert multipliers == {1, 0.5}
    tickers = [row["markets"][0]["ticker"] for row in rows[:2]]
    both = httpx.get(f"{url}/markets/orderbooks", params={"tickers": tickers}).json()["orderbooks"]
    assert [row["ticker"] for row in both] == tickers
    assert httpx.get(f"{url}/exchange/status").json()["trading_active"] is True
    assert httpx.get(f"{url}/series/fee_changes").json() == {"series_fee_change_arr": []}
    assert httpx.get(f"{url}/markets/KXNOSUCH").json()["error"]["code"] == "not_found"


# -- sockets


def test_the_kalshi_socket_wants_a_signature(client: Any) -> None:
    async def go() -> None:
        for headers, word in (({}, b"missing"), (client.signed("/ws/v2"), b"INCORRECT_API_KEY_SIGNATURE")):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(client.known["kalshi"]["socket_url"], additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert word in refused.value.response.body

    asyncio.run(go())


def test_an_unknown_socket_path_is_404(client: Any) -> None:
    async def go() -> None:
        url = client.known["polymarket"]["market_socket_url"] + "/other"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 404

    asyncio.run(go())


def test_polymarket_frames(client: Any) -> None:
    """Array of books first; a book kept from price changes equals its own tops and, in the end, the REST book."""

    async def go() -> None:
        async with client.subscribed() as (mine, _, ids):
            text = await mine.text()
            assert isinstance(text, str)
            assert text.endswith("\n")
            first = json.loads(text)
            assert [book["event_type"] for book in first] == ["book", "book"]
            token = ids["polymarket"]["yes_token"]
            levels = _levels(first[0])
            kinds = set()
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and kinds != {"price_change", "last_trade_price", "book"}:
                frame = await mine.next()
                kinds.add(frame["event_type"])
                if frame["event_type"] == "book" and frame["asset_id"] == token:
                    assert _levels(frame) == levels, "a book after a trade repeats what the changes said"
                if frame["event_type"] == "price_change":
                    yes, no = frame["price_changes"]
                    assert yes["asset_id"] == token
                    assert float(yes["price"]) + float(no["price"]) == pytest.approx(1)
                    assert (yes["size"], {yes["side"], no["side"]}) == (no["size"], {"BUY", "SELL"})
                    levels.pop((yes["side"], yes["price"]), None)
                    if yes["size"] != "0":
                        levels[yes["side"], yes["price"]] = yes["size"]
                    bid = max((float(p) for side, p in levels if side == "BUY"), default=0.0)
                    ask = min((float(p) for side, p in levels if side == "SELL"), default=1.0)
                    assert (float(yes["best_bid"] or 0), float(yes["best_ask"] or 1)) == (bid, ask)
                    assert bid < ask
            assert kinds == {"price_change", "last_trade_price", "book"}

    asyncio.run(go())


def _levels(book: dict[str, Any]) -> dict[tuple[str, str], str]:
    sides = (("BUY", book["bids"]), ("SELL", book["asks"]))
    return {(side, level["price"]): level["size"] for side, levels in sides for level in levels}


def test_polymarket_keepalive_and_silence_for_the_unknown(client: Any) -> None:
    async def go() -> None:
        async with client.venues() as (mine, _):
            await mine.send(assets_ids=["12345"], type="market")
            await mine.socket.send("not json")
            await mine.socket.send("PING")
            assert await mine.text() == "PONG"
            token = client.known["pairs"][2]["polymarket"]["yes_token"]
            await mine.send(operation="subscribe", assets_ids=[token])
            (book,) = await mine.next()
            assert book["asset_id"] == token
            await mine.send(operation="unsubscribe", assets_ids=[token])
            await mine.socket.send("PING")
            while await mine.text() != "PONG":
                pass
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(mine.socket.recv(), 0.5)

    asyncio.run(go())


def test_kalshi_frames_are_gapless_and_rebuild_the_book(client: Any) -> None:
    async def go() -> None:
        async with client.subscribed() as (_, theirs, _ids):
            for sid, channel in ((1, "orderbook_delta"), (2, "trade")):
                frame = await theirs.until(lambda f: f["type"] == "subscribed")
                assert frame["msg"] == {"channel": channel, "sid": sid}
                if sid == 1:
                    snapshot = await theirs.next()
                    assert (snapshot["type"], snapshot["seq"]) == ("orderbook_snapshot", 1)
            book = {
                (side, price): round(float(count) * 100)
                for side in ("yes", "no")
                for price, count in snapshot["msg"].get(f"{side}_dollars_fp", [])
            }
            seq = 1
            for _ in range(60):
                frame = await theirs.until(lambda f: f["sid"] == 1)
                assert frame["seq"] == (seq := seq + 1)
                msg = frame["msg"]
                level = (msg["side"], msg["price_dollars"])
                book[level] = book.get(level, 0) + round(float(msg["delta_fp"]) * 100)
                assert book[level] >= 0
                best = [
                    max((float(p) for s, p in book if s == side and book[s, p]), default=0) for side in ("yes", "no")
                ]
                assert sum(best) < 1

    asyncio.run(go())


def test_kalshi_commands(client: Any) -> None:
    async def go() -> None:
        async with client.venues() as (_, theirs):
            first, second = (client.known["pairs"][i]["kalshi"]["ticker"] for i in (0, 1))
            await theirs.send(id=3, cmd="subscribe", params={"channels": ["nonsense"]})
            assert (await theirs.next()) == {
                "id": 3,
                "type": "error",
                "msg": {"code": 8, "msg": "Unknown channel name"},
            }
            await theirs.send(id=4, cmd="subscribe", params={"channels": ["orderbook_delta"], "market_ticker": first})
            assert (await theirs.next())["type"] == "subscribed"
            await theirs.send(
                id=5,
                cmd="update_subscription",
                params={"sids": [1], "action": "add_markets", "market_tickers": [second]},
            )
            acknowledged = await theirs.until(lambda f: f["type"] == "ok")
            assert acknowledged["msg"] == {"market_tickers": [first, second]}
            following = await theirs.next()
            assert (following["type"], following["seq"]) == ("orderbook_snapshot", acknowledged["seq"] + 1)
            await theirs.send(id=6, cmd="list_subscriptions")
            listed = await theirs.until(lambda f: f["type"] == "ok")
            assert listed["msg"] == [{"channel": "orderbook_delta", "sid": 1}]
            await theirs.send(id=7, cmd="unsubscribe", params={"sids": [1]})
            assert "seq" in await theirs.until(lambda f: f["type"] == "unsubscribed")

    asyncio.run(go())


# -- truth, start, stop


def test_truth_in_file_and_endpoint_agree(client: Any) -> None:
    async def go() -> None:
        async with client.subscribed():
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                lines = (
                    (client.folder / "truth.jsonl").read_text().splitlines()
                    if (client.folder / "truth.jsonl").exists()
                    else []
                )
                if sum('"end"' in line for line in lines) >= 2:
                    break
                await asyncio.sleep(0.2)

    asyncio.run(go())
    rows = [json.loads(line) for line in (client.folder / "truth.jsonl").read_text().splitlines()]
    ended = {row["id"]: row for row in rows if row.pop("event") == "end"}
    assert len(ended) >= 2
    body = httpx.get(client.known["control"]["truth_url"]).json()
    planted = {row["id"]: row for row in body["planted"]}
    for identity, row in ended.items():
        assert planted[identity] == row
        assert body["ts_started_ns"] < row["ts_start_ns"] < row["ts_end_ns"] < time.time_ns()
        assert row["net_micros_per_contract"] >= 35_000
        assert row["quantity_micros"] >= 20_000_000
    assert set(body["probabilities_micros"]) > {pair["pair"] for pair in client.known["pairs"]}


def test_time_waits_for_both_venues_and_a_signal_stops_it(another: Callable[..., Any]) -> None:
    client = another("--rate", "300")
    try:

        async def go() -> None:
            async with client.venues() as (mine, _):
                await mine.send(assets_ids=[client.known["pairs"][0]["polymarket"]["yes_token"]], type="market")
                await mine.next()
                status = await asyncio.to_thread(client.status)
                assert (status["started"], status["elapsed_ns"]) == (False, 0)
            async with client.subscribed() as (mine, _, _ids):
                await mine.until(lambda f: isinstance(f, dict) and f["event_type"] == "price_change")

        asyncio.run(go())
    finally:
        client.stop()
    assert (client.folder / "addresses.json").stat().st_mode & 0o077 == 0, "it holds a key"


def test_a_receiver_that_does_not_read_is_dropped(another: Callable[..., Any]) -> None:
    client = another("--rate", "20000", "--start-delay", "0")
    try:

        async def go() -> None:
            tokens = [pair["polymarket"]["yes_token"] for pair in client.known["pairs"]]
            url = client.known["polymarket"]["market_socket_url"]
            async with websockets.connect(url, compression=None, max_queue=1, close_timeout=0.1) as socket:
                await socket.send(json.dumps({"assets_ids": tokens, "type": "market"}))
                deadline = time.monotonic() + 120
                while not (await asyncio.to_thread(client.status))["overflows"]["polymarket"]:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)

        asyncio.run(go())
    finally:
        client.stop()


def test_a_port_in_use_is_one_clear_line(client: Any) -> None:
    port = client.known["control"]["faults_url"].split(":")[2].split("/")[0]
    run = subprocess.run(
        [sys.executable, "-m", "deploy.sandbox", "--port", port],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert f"port {port}" in run.stderr
