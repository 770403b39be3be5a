"""Each switchable fault of the sandbox, seen from a client's end of the socket."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

WAIT_S = 90.0


@pytest.fixture(autouse=True)
def no_faults_left(client: Any) -> Iterator[None]:
    yield
    client.fault(fault="clear")


def test_drop_duplicate_and_reorder_show_in_the_sequence(client: Any) -> None:
    async def go(name: str, steps: list[int]) -> None:
        async with client.subscribed() as (_, theirs, ids):
            last = (await theirs.until(lambda f: f["type"] == "orderbook_delta"))["seq"]
            await client.fault_soon(venue="kalshi", fault=name, instrument=ids["kalshi"]["ticker"])
            seen: list[int] = []
            deadline = time.monotonic() + WAIT_S
            while steps[0] not in seen or len(seen) < seen.index(steps[0]) + len(steps):
                assert time.monotonic() < deadline, seen
                seq = (await theirs.until(lambda f: f.get("sid") == 1))["seq"]
                seen.append(seq - last)
                last = seq
            at = seen.index(steps[0])
            assert seen[at : at + len(steps)] == steps
            assert set(seen[:at]) <= {1}

    asyncio.run(go("drop_delta", [2, 1]))
    asyncio.run(go("duplicate", [0, 1]))
    asyncio.run(go("reorder", [2, -1, 2]))


@pytest.mark.parametrize("venue", ["polymarket", "kalshi"])
def test_silence_keeps_the_socket_and_its_pongs(client: Any, venue: str) -> None:
    async def go() -> None:
        async with client.subscribed() as (mine, theirs, _):
            line = mine if venue == "polymarket" else theirs
            await line.next()
            await client.fault_soon(venue=venue, fault="silence", seconds=1.5)
            quiet_from = time.monotonic()
            longest, last = 0.0, quiet_from
            while time.monotonic() < quiet_from + WAIT_S:
                await line.next()
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                if longest > 1:
                    break
            assert longest > 1.0
            await client.fault_soon(venue=venue, fault="silence", seconds=1.0)
            if venue == "polymarket":
                await mine.socket.send("PING")
                while await asyncio.wait_for(mine.socket.recv(), WAIT_S) != "PONG":
                    pass
            else:
                await asyncio.wait_for(await theirs.socket.ping(), WAIT_S)

    asyncio.run(go())


def test_tick_change(client: Any) -> None:
    async def go() -> None:
        async with client.subscribed() as (mine, _, ids):
            await mine.next()
            answer = await client.fault_soon(
                venue="polymarket", fault="tick_change", instrument=ids["polymarket"]["yes_token"]
            )
            assert answer["tick_micros"] == 1_000
            frame = await mine.until(lambda f: f["event_type"] == "tick_size_change")
            assert (frame["old_tick_size"], frame["new_tick_size"]) == ("0.01", "0.001")
            book = await mine.until(lambda f: f["event_type"] == "book")
            assert book["tick_size"] == "0.001"
        await client.fault_soon(venue="polymarket", fault="tick_change", instrument=ids["polymarket"]["condition_id"])

    asyncio.run(go())


def test_garbage_of_each_kind_arrives_and_the_feed_lives(client: Any) -> None:
    kinds = {
        "non_json": lambda text: not _is_json(text),
        "unknown_type": lambda text: "order_mood" in text,
        "missing_field": lambda text: _is_json(text) and "price_dollars" not in text and '"price":' not in text,
        "off_grid": lambda text: "0.50505" in text,
        "huge_number": lambda text: "1e400" in text,
        "negative_size": lambda text: '"-' in text,
        "unknown_market": lambda text: "KXNOSUCH" in text or '"asset_id":"1"' in text,
    }

    async def go(venue: str) -> None:
        async with client.subscribed() as (mine, theirs, ids):
            line = mine if venue == "polymarket" else theirs
            instrument = ids["polymarket"]["condition_id"] if venue == "polymarket" else ids["kalshi"]["ticker"]
            await line.next()
            for kind, fits in kinds.items():
                answer = await client.fault_soon(venue=venue, fault="garbage", kind=kind, instrument=instrument)
                assert answer["receivers"] == 1
                deadline = time.monotonic() + WAIT_S
                while True:
                    text = await asyncio.wait_for(line.socket.recv(), WAIT_S)
                    assert isinstance(text, str)
                    assert time.monotonic() < deadline, kind
                    if fits(text):
                        break
            await line.next()

    asyncio.run(go("polymarket"))
    asyncio.run(go("kalshi"))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_crossed_book_is_taken_back(client: Any) -> None:
    async def go() -> None:
        async with client.subscribed() as (mine, theirs, ids):
            await mine.next()
            await client.fault_soon(
                venue="polymarket", fault="crossed", seconds=0.4, instrument=ids["polymarket"]["condition_id"]
            )
            frame = await mine.until(
                lambda f: (
                    f["event_type"] == "price_change"
                    and float(f["price_changes"][0]["best_bid"] or 0) > float(f["price_changes"][0]["best_ask"] or 1)
                )
            )
            price = frame["price_changes"][0]["price"]
            await mine.until(
                lambda f: (
                    f["event_type"] == "price_change"
                    and (f["price_changes"][0]["price"], f["price_changes"][0]["side"]) == (price, "BUY")
                    and f["price_changes"][0]["size"] != "50"
                )
            )
            await theirs.until(lambda f: f["type"] == "orderbook_snapshot")
            await client.fault_soon(venue="kalshi", fault="crossed", seconds=0.4, instrument=ids["kalshi"]["ticker"])
            for delta in ("50.00", "-50.00"):
                await theirs.until(lambda f, delta=delta: f["msg"].get("delta_fp") == delta)

    asyncio.run(go())


@pytest.mark.parametrize("venue", ["polymarket", "kalshi"])
def test_disconnect_is_abrupt_and_one_may_come_back(client: Any, venue: str) -> None:
    async def go() -> None:
        async with client.subscribed() as (mine, theirs, _):
            line = mine if venue == "polymarket" else theirs
            await line.next()
            await client.fault_soon(venue=venue, fault="disconnect")
            with pytest.raises(websockets.ConnectionClosedError):
                await line.until(lambda _: False)
            assert line.socket.close_code == 1006
        async with client.subscribed() as (mine, theirs, _):
            await (mine if venue == "polymarket" else theirs).next()

    asyncio.run(go())


def test_bad_fault_requests_say_what_to_mend(client: Any) -> None:
    url = client.known["control"]["faults_url"]
    for body, word in (
        (b"{", "JSON"),
        (b'{"venue":"kalshi","fault":"melt"}', "drop_delta"),
        (b'{"venue":"kalshi","fault":"garbage","instrument":"KXNOSUCH"}', "address file"),
    ):
        answer = httpx.post(url, content=body)
        assert answer.status_code == 400
        assert word in answer.json()["error"]
