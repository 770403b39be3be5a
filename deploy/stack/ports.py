"""Loopback ports: which are free, and who sits on one that is not.

Decides nothing about what listens where. Only 127.0.0.1 is ever looked at.
"""

import contextlib
import socket

from deploy.stack.errors import PortInUseError
from deploy.stack.processes import listener

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """`count` different ports that nobody listens on. They are not reserved: use them soon."""
    assert 0 <= count <= 64, f"{count} ports were asked for; a local stack needs a handful"
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(int(each.getsockname()[1]) for each in sockets)


def require_free(port: int, purpose: str) -> None:
    """Raise `PortInUseError` naming who has `port`, unless it can be bound."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after a kill is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            holder = listener(port)
            raise PortInUseError(
                f"port {port} on {LOOPBACK}, wanted for {purpose}, is in use{f' by {holder}' if holder else ''}: stop that process or choose another port"
            ) from error
