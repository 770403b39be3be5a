"""Names the decision code: SHA-256 over the source text of every module that a decision runs through.

Decides what counts as decision code. Must never depend on where the code is installed, on line ends, or on the Python version.
Two builds with one digest decide alike; a log names the digest it was decided by, and other code refuses to continue it.
The records' shapes are not part of it: they are pinned by schema ids.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

#: Packages whose every module counts, and single modules.
DECISION_PACKAGES: Final = ("crossbook.domain",)
DECISION_MODULES: Final = (
    "processors.checkpoint",
    "processors.decide_fold",
    "processors.decide_outputs",
    "processors.decide_partition",
    "processors.decide_state",
    "processors.edges",
    "processors.legs",
)


@cache
def decision_digest() -> str:
    """SHA-256, hex, over names and texts of the decision modules in the order of their names."""
    texts: dict[str, str] = {}
    for package in DECISION_PACKAGES:
        for entry in files(package).iterdir():
            if entry.name.endswith(".py"):
                texts[f"{package}.{entry.name.removesuffix('.py')}"] = entry.read_text("utf-8")
    for module in DECISION_MODULES:
        package, _, name = module.rpartition(".")
        texts[module] = files(package).joinpath(f"{name}.py").read_text("utf-8")
    digest = hashlib.sha256()
    for name in sorted(texts):
        text = texts[name].replace("\r\n", "\n").replace("\r", "\n")
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()
