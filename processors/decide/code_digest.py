"""Names the decision code: SHA-256 over the tokens of every module that a decision runs through.

Decides where decision code begins: the fold, and each strategy that it may run. What they import follows from there. Two builds with one digest decide alike; a log names the digest
it was decided by, and other code refuses to continue it. The records' shapes are not part of it: they are pinned by schema ids.
"""

from typing import Final

from crossbook.runtime.code_digest import code_digest, import_closure
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES

ROOTS: Final = ("processors.decide.checkpoint", "processors.decide.partition")
WITHIN: Final = ("crossbook.domain", "crossbook.market", "processors")


def decision_modules(strategies: Strategies = STRATEGIES) -> tuple[str, ...]:
    """Every module that counts, by name."""
    modules = _modules(strategies)
    return tuple(import_closure((*ROOTS, *modules), within=_within(modules)))


def decision_digest(strategies: Strategies = STRATEGIES) -> str:
    """SHA-256, hex, over names and tokens of the decision modules in the order of their names."""
    modules = _modules(strategies)
    return code_digest(*ROOTS, *modules, within=_within(modules))


def _modules(strategies: Strategies) -> tuple[str, ...]:
    return tuple(sorted({make.__module__ for make in strategies.values()}))


def _within(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Decision code and the packages that bring strategies."""
    return *WITHIN, *(module.rpartition(".")[0] or module for module in modules)
