"""Names the decision code: SHA-256 over the tokens of every module that a decision runs through.

Decides where decision code begins; what it imports follows from there. Two builds with one digest decide alike; a log names the digest
it was decided by, and other code refuses to continue it. The records' shapes are not part of it: they are pinned by schema ids.
"""

from functools import cache
from typing import Final

from crossbook.runtime.code_digest import code_digest, import_closure

ROOTS: Final = ("processors.decide.checkpoint", "processors.decide.partition")
WITHIN: Final = ("crossbook.domain", "crossbook.market", "processors")


@cache
def decision_modules() -> tuple[str, ...]:
    """Every module that counts, by name."""
    return tuple(import_closure(ROOTS, within=WITHIN))


@cache
def decision_digest() -> str:
    """SHA-256, hex, over names and tokens of the decision modules in the order of their names."""
    return code_digest(*ROOTS, within=WITHIN)
