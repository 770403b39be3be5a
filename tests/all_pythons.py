"""The unit suite on every Python that the project supports: `python -m tests.all_pythons`, or `make test-all-pythons`.

Interpreters are those of uv, of the path or of pyenv; each gets an environment under `build/pythons` from the lock. A version without
an interpreter is skipped by its name, and so is one of `UNRELEASED` for which a dependency has no wheel. Exit code 1: a suite failed, or
an environment could not be made.
"""

import os
import subprocess
import sys

from tests.builders.places import REPOSITORY
from tests.builders.pythons import interpreter

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
#: Versions that not every dependency has wheels for.
UNRELEASED = {"3.14"}
FOLDER = REPOSITORY / "build" / "pythons"
#: Brokers and recordings are the same under every Python.
SUITE = ("-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not stack and not recordings", "tests/unit")


def verdict(version: str) -> str:
    """What came of a version: `passed`, `failed: …` or `skipped: …`."""
    python = interpreter(version)
    if python is None:
        return "skipped: no interpreter of uv, on the path or of pyenv"
    print(f"Python {version}: {python}", flush=True)
    here = FOLDER / version
    if subprocess.run(["make", "install", f"PYTHON={python}", f"VENV={here}"], cwd=REPOSITORY, check=False).returncode:
        why = "the locked dependencies cannot be installed (see above)"
        return f"skipped: {why}" if version in UNRELEASED else f"failed: {why}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([here / "bin" / "python", *SUITE], cwd=REPOSITORY, env=environment, check=False)
    return f"failed: exit code {done.returncode}" if done.returncode else "passed"


def main() -> int:
    """Run the suite on each version; return the exit code."""
    verdicts = {version: verdict(version) for version in VERSIONS}
    for version, said in verdicts.items():
        print(f"Python {version}: {said}")
    return int(any(said.startswith("failed") for said in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
