"""The sandbox process: one event loop, REST by uvicorn, sockets by ``frames.VenueSocket``, all on 127.0.0.1.

Decides ports, start and stop. It prints one ready line, writes the address file atomically, and leaves within a second
of SIGTERM or SIGINT. It must never listen on another interface.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from deploy.sandbox import control
from deploy.sandbox.binance.price import SYMBOL
from deploy.sandbox.engine import Engine
from deploy.sandbox.errors import SandboxError
from deploy.sandbox.frames import VenueSocket
from deploy.sandbox.kalshi import keys as kalshi_keys
from deploy.sandbox.kalshi import rest as kalshi
from deploy.sandbox.polymarket import rest as polymarket
from deploy.sandbox.world.presets import PRESETS
from deploy.sandbox.world.world import World

HOST = "127.0.0.1"
TURN_EVERY_S = 0.005
BACKLOG = 64


def create_app(engine: Engine) -> Starlette:
    """The REST face of both venues and the control endpoints."""
    return Starlette(
        routes=[
            Mount("/gamma", routes=polymarket.gamma_routes(engine)),
            Mount("/clob", routes=polymarket.clob_routes(engine)),
            Mount("/trade-api/v2", routes=kalshi.routes(engine)),
            Mount("/sandbox", routes=control.routes(engine)),
        ]
    )


def addresses(engine: Engine, *, main: int, polymarket_port: int, kalshi_port: int) -> dict[str, object]:
    """What the address file says: where everything is, the test key, and the pairs with their wire ids."""
    world = engine.world
    pairs = []
    for mine, theirs in world.pairs:
        listed, other = mine.subject.polymarket, theirs.subject.kalshi
        assert listed is not None
        assert other is not None
        pairs.append(
            {
                "pair": mine.subject.key,
                "title": mine.subject.title,
                "relation": "identity",
                "polymarket": {
                    "condition_id": listed.condition_id,
                    "yes_token": listed.token_yes,
                    "no_token": listed.token_no,
                    "slug": listed.slug,
                    "version": listed.version,
                },
                "kalshi": {
                    "ticker": other.ticker,
                    "event_ticker": other.event_ticker,
                    "series_ticker": other.series_ticker,
                },
            }
        )
    return {
        "pid": os.getpid(),
        "preset": world.preset.name,
        "seed": world.seed,
        "rate": world.rate,
        "polymarket": {
            "gamma_url": f"http://{HOST}:{polymarket_port}/gamma",
            "clob_url": f"http://{HOST}:{polymarket_port}/clob",
            "market_socket_url": f"ws://{HOST}:{polymarket_port}/ws/market",
        },
        "kalshi": {
            "rest_url": f"http://{HOST}:{kalshi_port}/trade-api/v2",
            "socket_url": f"ws://{HOST}:{kalshi_port}/trade-api/ws/v2",
            "key_id": kalshi_keys.KEY_ID,
            "private_key_pem": kalshi_keys.sandbox_key_pem(),
        },
        "binance": {
            "socket_url": f"ws://{HOST}:{main}",
            "symbols": [SYMBOL],
            "leads": None if world.lead is None else world.lead.subject,
        },
        "control": {
            "faults_url": f"http://{HOST}:{main}/sandbox/faults",
            "truth_url": f"http://{HOST}:{main}/sandbox/truth",
            "status_url": f"http://{HOST}:{main}/sandbox/status",
        },
        "pairs": pairs,
    }


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the whole file or none; readable by its owner only, like any key file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def listen(port: int) -> socket.socket:
    """A listening loopback socket; raises ``SandboxError`` when the port is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise SandboxError(f"port {port} on {HOST} cannot be used ({error}): choose another or give 0") from error
    return sock


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to ``run`` and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    world = World(
        preset=options.preset,
        seed=options.seed,
        rate_updates_per_s=options.rate,
        pairs_n=options.pairs,
        spot_lead_ns=options.spot_lead_ms * 1_000_000,
    )
    main = listen(options.port)
    socks = {"main": main}
    for name in ("polymarket_port", "kalshi_port"):
        port = getattr(options, name)
        socks[name] = main if port is None else listen(port)
    engine = Engine(world, start_delay_s=options.start_delay, truth_file=options.truth_file)
    app = create_app(engine)

    def venue_socket(**_: object) -> VenueSocket:
        return VenueSocket(engine.hub_at)

    config = uvicorn.Config(
        app,
        http="h11",
        ws=venue_socket,  # type: ignore[arg-type] # a factory of protocols, which is all that uvicorn calls
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=list(dict.fromkeys(socks.values()))))
    await server.listening.wait()
    ports = {name: sock.getsockname()[1] for name, sock in socks.items()}
    known = addresses(
        engine, main=ports["main"], polymarket_port=ports["polymarket_port"], kalshi_port=ports["kalshi_port"]
    )
    if options.address_file is not None:
        write_atomically(options.address_file, json.dumps(known, indent=1) + "\n")
    print(
        f"sandbox ready on {HOST}:{ports['main']} preset={options.preset} seed={options.seed} rate={options.rate}",
        flush=True,
    )
    try:
        await _drive(engine, stop)
    finally:
        engine.close()
        server.should_exit = True
        await serving


async def _drive(engine: Engine, stop: asyncio.Event) -> None:
    """Turn the engine about every 5 ms; give the sockets a chance between turns even when behind."""
    while not stop.is_set():
        behind = engine.turn()
        if behind:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TURN_EVERY_S)


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m deploy.sandbox``."""
    p = argparse.ArgumentParser(
        prog="python -m deploy.sandbox",
        description="Wire-compatible Polymarket, Kalshi and Binance on loopback, with known truth.",
    )
    p.add_argument("--preset", choices=sorted(PRESETS), default="eventful")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--rate", type=int, default=300, help="book updates a second, both venues together")
    p.add_argument("--pairs", type=int, default=6, help="pairs listed on both venues")
    p.add_argument(
        "--spot-lead-ms",
        type=int,
        default=500,
        help="the spot price leads the first crypto subject by this much; 0: it leads nothing",
    )
    p.add_argument("--port", type=int, default=0, help="everything is served here; 0 lets the system choose")
    p.add_argument("--polymarket-port", type=int, help="serve Polymarket on this port too and name it in the addresses")
    p.add_argument("--kalshi-port", type=int, help="serve Kalshi on this port too and name it in the addresses")
    p.add_argument("--truth-file", type=Path, help="append planted edges here, one JSON object a line")
    p.add_argument("--address-file", type=Path, help="write addresses, test key and pairs here when ready")
    p.add_argument("--start-delay", type=float, help="start after so many seconds even without subscribers")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal, 2 when the sandbox cannot start."""
    options = parser().parse_args(arguments)
    try:
        asyncio.run(run(options))
    except (SandboxError, ValueError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    return 0
