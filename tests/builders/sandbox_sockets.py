"""A connection to the sandbox whose other end is a list."""

import json
from typing import Any

from deploy.sandbox.engine import Engine
from deploy.sandbox.frames import VenueSocket


class Ear(VenueSocket):
    """A connection whose other end is a list."""

    def __init__(self) -> None:
        super().__init__(lambda _path: None)
        self.heard: list[dict[str, Any]] = []
        self.closed = False

    def send(self, frame: bytes) -> None:
        offset = {126: 4, 127: 10}.get(frame[1], 2)
        self.heard.append(json.loads(frame[offset:]))

    def write_last(self, frame: bytes) -> None:
        self.send(frame)

    def close(self) -> None:
        self.closed = True

    def take(self) -> list[dict[str, Any]]:
        heard, self.heard = self.heard, []
        return heard


def ear(engine: Engine) -> Ear:
    socket = Ear()
    engine.kalshi.join(socket)
    return socket


def tell(engine: Engine, socket: Ear, cmd: str, identity: int = 1, **params: object) -> list[dict[str, Any]]:
    engine.kalshi.receive(socket, json.dumps({"id": identity, "cmd": cmd, "params": params}))
    return socket.take()
