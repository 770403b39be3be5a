"""A spawned sandbox and a client of both its venues, for the tests of this folder."""

import asyncio
import base64
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.builders.places import REPOSITORY as ROOT

WAIT_S = 90.0


class Line:
    """One connection: JSON frames, with waiting for the first that fits."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def text(self, within_s: float = WAIT_S) -> str:
        text = await asyncio.wait_for(self.socket.recv(), within_s)
        assert isinstance(text, str)
        return text

    async def next(self) -> Any:
        return json.loads(await self.text())

    async def until(self, fits: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            frame = await self.next()
            if fits(frame):
                return frame
        raise AssertionError("no such frame in time")


class Client:
    """Speaks to one running sandbox by its address file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        where = folder / "addresses.json"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.sandbox", "--address-file", str(where), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("sandbox ready on 127.0.0.1:"), line
        self.known: dict[str, Any] = json.loads(where.read_text())

    def stop(self) -> None:
        """SIGTERM, and its end; the exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(WAIT_S) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def signed(self, path: str = "/trade-api/ws/v2") -> dict[str, str]:
        key = load_pem_private_key(self.known["kalshi"]["private_key_pem"].encode(), password=None)
        assert isinstance(key, Ed25519PrivateKey)
        stamp = str(time.time_ns() // 1_000_000)
        return {
            "KALSHI-ACCESS-KEY": self.known["kalshi"]["key_id"],
            "KALSHI-ACCESS-TIMESTAMP": stamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(key.sign(f"{stamp}GET{path}".encode())).decode(),
        }

    @contextlib.asynccontextmanager
    async def venues(self) -> AsyncIterator[tuple[Line, Line]]:
        """Polymarket and Kalshi, connected, nothing subscribed."""
        # Without a bound the client keeps reading, so that its closing handshake is not stuck behind unread frames.
        free: dict[str, Any] = {"compression": None, "max_queue": None}
        known = self.known
        async with (
            websockets.connect(known["polymarket"]["market_socket_url"], **free) as mine,
            websockets.connect(known["kalshi"]["socket_url"], additional_headers=self.signed(), **free) as theirs,
        ):
            yield Line(mine), Line(theirs)

    @contextlib.asynccontextmanager
    async def subscribed(self, pair: int = 0) -> AsyncIterator[tuple[Line, Line, dict[str, Any]]]:
        """Both venues subscribed to one pair, and its wire ids."""
        async with self.venues() as (mine, theirs):
            ids = self.known["pairs"][pair]
            tokens = [ids["polymarket"]["yes_token"], ids["polymarket"]["no_token"]]
            await mine.send(assets_ids=tokens, type="market", custom_feature_enabled=True)
            params = {"channels": ["orderbook_delta", "trade"], "market_tickers": [ids["kalshi"]["ticker"]]}
            await theirs.send(id=1, cmd="subscribe", params=params)
            yield mine, theirs, ids

    def fault(self, **body: object) -> dict[str, Any]:
        answer = httpx.post(self.known["control"]["faults_url"], json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def fault_soon(self, **body: object) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.fault(**body))

    def status(self) -> dict[str, Any]:
        return dict(httpx.get(self.known["control"]["status_url"]).json())


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One sandbox for the folder, at 400 updates a second, with a truth file."""
    folder = tmp_path_factory.mktemp("sandbox")
    client = Client(folder, "--rate", "400", "--truth-file", str(folder / "truth.jsonl"))
    try:
        yield client
    finally:
        client.stop()


@pytest.fixture
def another(tmp_path: Path) -> Callable[..., Client]:
    """Start a sandbox of one's own with further options; the test stops it."""
    return lambda *options: Client(tmp_path, *options)
