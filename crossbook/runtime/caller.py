"""Calls that a library may never return from, made where they can be left behind.

Decides only on which thread a call runs and how long it is waited for. It must never retry: what a lost call did is not known.
"""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

Calls: TypeAlias = "queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None]"


class Caller:
    """Makes calls on a thread of its own, so that one that never returns can be left behind with the thread."""

    def __init__(self) -> None:
        calls: Calls = queue.SimpleQueue()
        self._calls = calls
        threading.Thread(target=_make_calls, args=(calls,), name="caller", daemon=True).start()
        weakref.finalize(self, calls.put, None)

    def call(self, function: Callable[[], None], timeout_s: float) -> None:
        """Make one call and wait for it.

        Raises:
            TimeoutError: it did not return in time; this Caller is of no more use.
            Exception: whatever the function raised.
        """
        done: Future[None] = Future()
        self._calls.put((function, done))
        done.result(timeout_s)


def _make_calls(calls: Calls) -> None:
    while (entry := calls.get()) is not None:
        function, done = entry
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            done.set_exception(error)
