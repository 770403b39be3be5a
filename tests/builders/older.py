"""A checkout of other code: this one's, and a line that a digest tells apart and nothing else."""

import os
import shutil
import subprocess
import sys

from crossbook.runtime.code_digest import PACKAGES
from tests.builders.places import REPOSITORY

#: What names the code of a stage, and a module of it.
DIGESTS = {
    "decide": ("processors.decide.code_digest", "decision_digest", "processors/decide/fold.py"),
    "execute": ("executors.recovery.code_digest", "execution_digest", "executors/fold.py"),
}


def older_code(folder, stage):
    """Make it in a folder; return the digest that the stage has there."""
    module, name, changed = DIGESTS[stage]
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / changed).open("a", encoding="utf-8") as source:
        source.write("\n\nOLDER = True\n")
    said = subprocess.run(
        [sys.executable, "-c", f"from {module} import {name} as digest; print(digest())"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.stdout.strip()
