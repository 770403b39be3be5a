"""Names the execution code: SHA-256 over the source text of every module that a plan, a request or a fill runs through.

Must never depend on where the code is installed, on line ends, or on the Python version. The journal names the digest that it
was written under; a journal that other code cannot refold is refused by that name.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

EXECUTION_PACKAGES: Final = ("crossbook.domain",)
EXECUTION_MODULES: Final = (
    "advice",
    "checkpoint",
    "choice",
    "depth",
    "engine",
    "fold",
    "halts",
    "image",
    "journal",
    "lane",
    "ledger",
    "machine",
    "paper",
    "plan",
    "risk",
    "run",
    "steps",
    "tables",
    "terms",
    "trade",
)


@cache
def execution_digest() -> str:
    """SHA-256, hex, over names and texts of the execution modules in the order of their names."""
    texts: dict[str, str] = {}
    for package in EXECUTION_PACKAGES:
        for entry in files(package).iterdir():
            if entry.name.endswith(".py"):
                texts[f"{package}.{entry.name.removesuffix('.py')}"] = entry.read_text("utf-8")
    for module in EXECUTION_MODULES:
        texts[f"executors.{module}"] = files("executors").joinpath(f"{module}.py").read_text("utf-8")
    digest = hashlib.sha256()
    for name in sorted(texts):
        text = texts[name].replace("\r\n", "\n").replace("\r", "\n")
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()
