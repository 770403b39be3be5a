"""Server-side WebSocket connections of the sandbox: handshake, keepalive, bounded sending.

Decides how bytes leave. Incoming traffic and control frames go through websockets' sans-I/O ``ServerProtocol``; data
frames are framed here, once for all receivers, because a server's frames are not masked. A receiver that does not read
is not waited for: over ``SEND_BUFFER_MAX`` unsent bytes its hub decides what the venue would do.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

SEND_BUFFER_MAX = 4 * 1024 * 1024
MESSAGE_MAX = 1024 * 1024


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame."""
    n = len(payload)
    if n < 126:
        return bytes((0x81, n)) + payload
    if n < 65_536:
        return b"\x81\x7e" + n.to_bytes(2, "big") + payload
    return b"\x81\x7f" + n.to_bytes(8, "big") + payload


class Hub(Protocol):
    """A venue's side of its sockets."""

    def refuse(self, request: Request) -> tuple[int, str] | None:
        """None to accept the upgrade, else the HTTP status and JSON body of the refusal."""

    def join(self, socket: "VenueSocket") -> None:
        """The handshake is done."""

    def receive(self, socket: "VenueSocket", text: str) -> None:
        """A text message came in."""

    def overflow(self, socket: "VenueSocket") -> None:
        """The receiver does not keep up."""

    def leave(self, socket: "VenueSocket") -> None:
        """The connection is gone; called once, also when it never joined."""


class VenueSocket(asyncio.Protocol):
    """One connection; ``send`` queues, ``flush`` writes what is queued in one go."""

    def __init__(self, hub_at: Callable[[str], Hub | None]) -> None:
        self._hub_at = hub_at
        self._wire = ServerProtocol(max_size=MESSAGE_MAX)
        self._transport: asyncio.Transport | None = None
        self._queue: list[bytes] = []
        self._partial = ""
        self.hub: Hub | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._partial += bytes(event.data).decode("utf-8", "replace")
                if event.fin and self.hub is not None:
                    text, self._partial = self._partial, ""
                    self.hub.receive(self, text)
        self.flush()
        self._write_control()

    def eof_received(self) -> None:
        self._wire.receive_eof()
        self._write_control()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.hub is not None:
            self.hub.leave(self)
        self._transport = None

    def _shake_hands(self, request: Request) -> None:
        hub = self._hub_at(request.path.partition("?")[0])
        refusal = (404, '{"error":"no socket at this path"}') if hub is None else hub.refuse(request)
        if refusal is not None or hub is None:
            status, body = refusal or (404, "")
            self._wire.send_response(self._json_refusal(status, body))
            return
        response = self._wire.accept(request)
        self._wire.send_response(response)
        if self._wire.state is State.OPEN:
            self.hub = hub
            self._write_control()
            hub.join(self)

    def _json_refusal(self, status: int, body: str) -> Response:
        response = self._wire.reject(status, body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def _write_control(self) -> None:
        if self._transport is None:
            return
        for chunk in self._wire.data_to_send():
            if chunk:
                self._transport.write(chunk)
            else:
                self._transport.close()

    @property
    def open(self) -> bool:
        return self._transport is not None and self._wire.state is State.OPEN

    def send(self, frame: bytes) -> None:
        """Queue one framed message; nothing is sent on a connection that is not open."""
        self._queue.append(frame)

    def flush(self) -> None:
        """Write the queue, or hand the connection to its hub's ``overflow``."""
        if not self._queue:
            return
        queue, self._queue = self._queue, []
        if not self.open:
            return
        assert self._transport is not None
        if self._transport.get_write_buffer_size() > SEND_BUFFER_MAX and self.hub is not None:
            self.hub.overflow(self)
            return
        self._transport.write(b"".join(queue))

    def write_last(self, frame: bytes) -> None:
        """Write one frame past the bound: the farewell to a receiver that did not keep up."""
        if self.open:
            assert self._transport is not None
            self._transport.write(frame)

    def ping(self, body: bytes) -> None:
        """Send a Ping control frame."""
        if self.open:
            self._wire.send_ping(body)
            self._write_control()

    def close(self) -> None:
        """Close with code 1001 (going away)."""
        if self.open:
            self._wire.send_close(1001, "going away")
            self._write_control()
        elif self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection without a close frame: the other end sees code 1006."""
        if self._transport is not None:
            self._transport.abort()
