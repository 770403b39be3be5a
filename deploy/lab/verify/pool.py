"""Processes that verify partitions side by side.

Decides only where a partition is verified. Must never lose the reason why one could not be, and never outlive the command: a Ctrl-C
or an error ends every process at its next batch.
"""

import signal
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from typing import Any, NamedTuple, Self, TypeVar

from crossbook.domain.errors import StageError
from crossbook.log.reading import Log
from deploy.errors import DeployError, WorkerError
from executors.recovery.verify import VerifyResult as ExecuteResult
from executors.recovery.verify import verify_executions
from processors.verify.verify import FromCheckpoint, Positions, verify_decide
from processors.verify.verify import VerifyResult as DecideResult

POLL_S = 0.2
T = TypeVar("T")


class Refused(NamedTuple):
    """An error of another process: errors of stages need not survive pickling."""

    text: str
    exit_code: int


class _StoppedError(Exception):
    """The command is over."""


class _Shared:
    """What the processes share: events folded by partition, and in the last place whether to stop. Set once a process."""

    counts: "SynchronizedArray[int] | None" = None


class Pool:
    """A pool of spawned processes; use it as a context."""

    def __init__(self, jobs: int, partitions: int) -> None:
        context = get_context("spawn")
        self._counts: SynchronizedArray[int] = context.Array("q", partitions + 1)
        self._executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_adopt, initargs=(self._counts,))
        self._futures: list[Future[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._counts[-1] = 1
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, task: Callable[..., T | Refused], *arguments: object) -> "Future[T | Refused]":
        """Give a task to the pool."""
        future = self._executor.submit(task, *arguments)
        self._futures.append(future)
        return future

    def wait(self, told: Callable[[int], None] | None) -> None:
        """Wait for all tasks, or for the first that is refused; tell how many events were folded meanwhile."""
        before = 0
        left: set[Future[Any]] = set(self._futures)
        while left:
            done, left = wait(left, POLL_S, FIRST_EXCEPTION)
            now = sum(self._counts[:-1])
            if told is not None and now > before:
                told(now - before)
            before = now
            for future in done:
                self.result(future)

    @staticmethod
    def result(future: "Future[T | Refused]") -> T:
        """What a task returned.

        Raises:
            WorkerError: it was refused; the text says why.
        """
        found = future.result()
        if isinstance(found, Refused):
            raise WorkerError(found.text, found.exit_code)
        return found


def decide_task(
    log: Log, partition: int, positions: Positions, from_checkpoint: FromCheckpoint | None
) -> DecideResult | Refused:
    """Verify one partition of `market`, in a process of the pool."""
    counts = _Shared.counts
    assert counts is not None, "the pool's initializer ran"

    def told(events: int) -> None:
        counts[partition] += events
        if counts[-1]:
            raise _StoppedError

    try:
        return verify_decide(
            log, [partition], ranges={partition: positions}, from_checkpoint=from_checkpoint, told=told
        )
    except (StageError, DeployError) as error:
        return Refused(str(error), error.exit_code)
    except _StoppedError:
        return Refused("interrupted", 1)


def execute_task(log: Log) -> ExecuteResult | Refused:
    """Verify the journal, in a process of the pool."""
    try:
        return verify_executions(log)
    except (StageError, DeployError) as error:
        return Refused(str(error), error.exit_code)


def _adopt(counts: "SynchronizedArray[int]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; the command tells us
    _Shared.counts = counts
