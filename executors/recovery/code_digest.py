"""Names the execution code: SHA-256 over the tokens of every module that a plan, a request or a fill runs through.

Decides where execution code begins; what it imports follows from there. The journal names the digest that it was written under; a
journal that other code cannot refold is refused by that name.
"""

from functools import cache
from typing import Final

from crossbook.runtime.code_digest import code_digest, import_closure

#: The image of an executor is made of all that decides: engine, lanes, fold and venues.
ROOTS: Final = ("executors.recovery.checkpoint",)
WITHIN: Final = ("crossbook.domain", "crossbook.market", "executors")


@cache
def execution_modules() -> tuple[str, ...]:
    """Every module that counts, by name."""
    return tuple(import_closure(ROOTS, within=WITHIN))


@cache
def execution_digest() -> str:
    """SHA-256, hex, over names and tokens of the execution modules in the order of their names."""
    return code_digest(*ROOTS, within=WITHIN)
