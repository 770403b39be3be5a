"""The folds give equal bytes under every hash seed and, where another interpreter is at hand, under that one too.

`CROSSBOOK_PYTHON_OTHER` names an interpreter that has the dependencies (see requirements.lock); without it that case is skipped.
"""

import os
import subprocess
import sys

import pytest

from tests.integration.whole_stack import REPOSITORY, environment

OTHER = "CROSSBOOK_PYTHON_OTHER"
#: Folds a generated market by decide, and a generated world by the executor; prints a digest of each log's bytes.
FOLD = """
import hashlib
from crossbook.runtime.settings import DecideSettings
from executors.journal import key_of
from executors.terms import ExecuteTerms, PaperTerms, Terms
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from schemas.codec import load_codec
from tests.bench.market import MIXED, MS_NS, World
from tests.builders.executors.worlds import make_world, run_world

codec = load_codec()
world, start_ns = World(6, MIXED), 1_780_000_000_000_000_000
events = world.head(start_ns, DecideSettings())
events += world.planted_stream(start_ns + MS_NS, 4_000, 2 * MS_NS, plant_every=400, dwell=60)
fold = PartitionFold(0, codec, DecideState(decision_digest()))
decided, outputs = hashlib.sha256(), 0
for offset, record in enumerate(events):
    for topic, key, output in fold.take(offset, codec.encode(record)):
        decided.update(repr((topic, key)).encode() + codec.encode(output))
        outputs += 1
paper = PaperTerms(vanish_ppm=150_000, partial_ppm=150_000, reject_ppm=50_000, late_ppm=100_000)
executed, written = hashlib.sha256(), 0
for record in run_world(make_world(5, 1_500), Terms(execute=ExecuteTerms(pairs_open_max=20), paper=paper))[1]:
    executed.update(repr(key_of(record)).encode() + codec.encode(record))
    written += 1
print(decided.hexdigest(), outputs, executed.hexdigest(), written)
"""


def fold(python: str, hash_seed: str) -> tuple[str, ...]:
    """Digests and counts of both folds under an interpreter."""
    done = subprocess.run(
        [python, "-c", FOLD],
        cwd=REPOSITORY,
        env=environment() | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(done.stdout.split())


@pytest.fixture(scope="module")
def here() -> tuple[str, ...]:
    """What this interpreter says, under hash seed 0."""
    found = fold(sys.executable, "0")
    assert int(found[1]) > 100
    assert int(found[3]) > 100
    return found


def test_the_hash_seed_does_not_matter(here: tuple[str, ...]) -> None:
    for seed in ("1", "4242"):
        assert fold(sys.executable, seed) == here


def test_another_interpreter_agrees(here: tuple[str, ...]) -> None:
    other = os.environ.get(OTHER, "")
    if not other:
        pytest.skip(f"{OTHER} names no interpreter that has the dependencies")
    assert fold(other, "7") == here
