"""Names the execution code: SHA-256 over the source text of every module that a plan, a request or a fill runs through.

Decides where execution code begins; what it imports follows from there. The journal names the digest that it was written under; a
journal that other code cannot refold is refused by that name.
"""

from functools import cache
from typing import Final

from crossbook.runtime.code_digest import code_digest, import_closure

ROOTS: Final = (
    "executors.recovery.checkpoint",
    "executors.engine",
    "executors.recovery.image",
    "executors.lane",
    "executors.venues.paper",
)
WITHIN: Final = ("crossbook.domain", "crossbook.market", "executors")


@cache
def execution_modules() -> tuple[str, ...]:
    """Every module that counts, by name."""
    return tuple(import_closure(ROOTS, within=WITHIN))


@cache
def execution_digest() -> str:
    """SHA-256, hex, over names and texts of the execution modules in the order of their names."""
    return code_digest(*ROOTS, within=WITHIN)
