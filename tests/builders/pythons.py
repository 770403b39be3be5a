"""Other interpreters of this machine: those of uv, those on the path, those of pyenv."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

PYENV = Path.home() / ".pyenv" / "versions"


def interpreter(version: str) -> Path | None:
    """A Python of a version (`3.12`) that runs, None where there is none; nothing is downloaded."""
    return next((one for one in _candidates(version) if _says(one) == version), None)


def _candidates(version: str) -> Iterator[Path]:
    if (uv := shutil.which("uv")) is not None:
        asked = [uv, "python", "find", "--no-python-downloads", version]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        if told:
            yield Path(told)
    if (found := shutil.which(f"python{version}")) is not None:
        yield Path(found)
    yield from sorted(PYENV.glob(f"{version}.*/bin/python"), reverse=True)


def _says(python: Path) -> str:
    """The version that it is; empty where it does not run, as a shim of pyenv for a version that is not there."""
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
