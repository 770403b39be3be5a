"""Runs of a sweep, side by side in processes of their own; each is written when it is done, and none is done twice.

Decides what makes two runs the same: the log (its id and how far each topic goes), mode, range, every setting, the seed and the code.
The file of a run bears the digest of all that, so a sweep that was interrupted, or widened, goes on where it was. Must never leave
half a file: a summary is written beside its place and moved there.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from crossbook.runtime.clock import now_ns
from crossbook.runtime.code_digest import code_digest
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from deploy.lab.analysis.summary import summarise
from deploy.lab.backtest.errors import BacktestError
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import read_head, run_backtest
from schemas.codec import load_codec

RUNS: Final = "runs"
#: Hex digits of a run's digest that name its file.
KEY_DIGITS: Final = 24
EXIT_ORPHANED: Final = 1
#: Where the code begins that makes an outcome, marks it and sums it up; what only shows one is not part of it.
CODE: Final = ("deploy.lab.backtest.run", "deploy.lab.analysis.summary")
_COMPARED: Final = ("market", "intents", "orders", "fills")


class Source(Protocol):
    """Where a log is; it can be sent to another process."""

    def open(self) -> Log:
        """The log."""


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive's folder."""

    folder: Path

    def open(self) -> Log:
        """The archive as a log."""
        from crossbook.log.archive.read import ArchiveLog

        return ArchiveLog(self.folder)


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """The topics of a prefix."""

    kafka: KafkaSettings

    def open(self) -> Log:
        """The topics as a log."""
        return KafkaLog(self.kafka)


class Finished(NamedTuple):
    """One run of a sweep: what it changed, its summary, and whether it was found done."""

    key: str
    changes: Mapping[str, Any]
    summary: dict[str, Any]
    was_there: bool


def identity(log: Log) -> dict[str, Any]:
    """What names the contents of a log: its id and where each of its topics begins and ends."""
    head = read_head(log, load_codec())
    extents = {}
    for topic in _COMPARED:
        for partition in range(log.partitions) if topic in {"market", "intents"} else count():
            try:
                extents[f"{topic}-{partition}"] = list(log.extent(topic, partition))
            except LogError:  # an archive of other topics, or no more portfolios
                break
    return {"log_id": head.log_id, "extents": extents}


def key_of(log_identity: Mapping[str, Any], options: BacktestOptions, code: str | None = None) -> str:
    """Digest of everything that a run's result is a function of; `code` names the code, by default the one that runs."""
    named = {
        "log": dict(log_identity),
        "positions": options.positions,
        "changes": dict(options.changes),
        "seed": options.seed,
        "range": asdict(options.range),
        "portfolio": options.portfolio,
        "own": None if options.own is None else options.own.model_dump(),
        "execute": options.execute.model_dump(),
        "paper": options.paper.model_dump(),
        "backtest": options.backtest.model_dump(),
        "guards": options.guards,
        "code": code_digest(*CODE) if code is None else code,
    }
    text = json.dumps(named, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def run_sweep(
    source: Source,
    options: BacktestOptions,
    runs: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    jobs: int = 0,
    finished: Callable[[Finished], None] | None = None,
) -> list[Finished]:
    """Do every run that `folder` does not hold yet; return all of them in the order given.

    `jobs` 0 takes a process a core. Ctrl-C (KeyboardInterrupt) keeps what is done.

    Raises:
        BacktestError: a run failed; its settings are named, and the others were done.
    """
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    known = identity(source.open())
    wanted: dict[str, BacktestOptions] = {}
    changes: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        one = replace(options, changes={**options.changes, **run}, name=describe(run) or options.name)
        key = key_of(known, one)
        wanted[key], changes[key] = one, run
    done: dict[str, Finished] = {}

    def note(key: str, summary: dict[str, Any], *, was_there: bool) -> None:
        done[key] = Finished(key, changes[key], summary, was_there)
        if finished is not None:
            finished(done[key])

    for key in wanted:
        if (summary := read_summary(folder, key)) is not None:
            note(key, summary, was_there=True)
    missing = [key for key in wanted if key not in done]
    failures: list[str] = []
    workers = min(jobs or os.cpu_count() or 1, len(missing))
    if workers > 1:
        _side_by_side(source, {key: wanted[key] for key in missing}, folder, workers, note, failures)
    else:
        for key in missing:
            try:
                note(key, run_one(source, wanted[key], key, folder), was_there=False)
            except Exception as error:  # noqa: BLE001 - the other runs of the sweep are worth having
                failures.append(f"{wanted[key].name}: {error}")
    if failures:
        raise BacktestError(f"{len(failures)} of {len(wanted)} runs failed; the first was {failures[0]}")
    return [done[key] for key in wanted]


def _side_by_side(
    source: Source,
    wanted: Mapping[str, BacktestOptions],
    folder: Path,
    workers: int,
    note: Callable[..., None],
    failures: list[str],
) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of whatever the caller runs
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    futures: dict[Future[dict[str, Any]], str] = {}
    try:
        for key, options in wanted.items():
            futures[pool.submit(run_one, source, options, key, folder)] = key
        for future in as_completed(futures):
            key = futures[future]
            error = future.exception()
            if error is None:
                note(key, future.result(), was_there=False)
            else:
                failures.append(f"{wanted[key].name}: {error}")
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()


def _begin_worker() -> None:
    """A worker leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def run_one(source: Source, options: BacktestOptions, key: str, folder: Path) -> dict[str, Any]:
    """Do one run and write its summary."""
    started_ns = now_ns()
    summary = summarise(run_backtest(source.open(), options)) | {"key": key, "ts_started_ns": started_ns}
    write_json(folder / RUNS / f"{key}.json", summary)
    return summary


def describe(changes: Mapping[str, Any]) -> str:
    """What a run changes, in one line."""
    return " ".join(f"{name}={value}" for name, value in changes.items())


def read_summary(folder: Path, key: str) -> dict[str, Any] | None:
    """The summary of a run that was done; None when there is none that can be read."""
    try:
        found = json.loads((folder / RUNS / f"{key}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("key") == key else None


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(value, indent=1, default=str) + "\n", "utf-8")
    unfinished.replace(path)
