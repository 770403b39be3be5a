"""The digests of decision and execution name all of that code, and nothing that is not."""

import ast
import hashlib

import pytest

from crossbook.runtime.code_digest import code_digest, digest_of, import_closure, read_source
from executors.recovery import code_digest as execution
from processors.decide import code_digest as decision

IMPURE = {
    "asyncio",
    "time",
    "random",
    "logging",
    "structlog",
    "confluent_kafka",
    "httpx",
    "websockets",
    "clickhouse_connect",
    "os",
}


def imports(module):
    for node in ast.walk(ast.parse(read_source(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_it_is_a_sha256_and_stable():
    first = decision.decision_digest()
    assert len(first) == hashlib.sha256().digest_size * 2
    code_digest.cache_clear()
    assert decision.decision_digest() == first != execution.execution_digest()


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        (
            decision.decision_modules,
            {"processors.decide.fold", "processors.strategies.edges", "crossbook.market.market_state"},
        ),
        (execution.execution_modules, {"executors.hedge.machine", "executors.portfolio.risk", "crossbook.domain.fees"}),
    ],
    ids=["decision", "execution"],
)
def test_what_is_named_is_all_that_runs_and_touches_nothing_impure(modules, named):
    assert named <= set(modules())
    for module in modules():
        assert not {imported.partition(".")[0] for imported in imports(module)} & IMPURE, module


@pytest.mark.parametrize("code", [decision, execution], ids=["decision", "execution"])
def test_touching_any_of_it_changes_the_digest_and_touching_records_does_not(code):
    def with_a_touch(touched):
        return digest_of(import_closure(code.ROOTS, within=code.WITHIN, read=lambda m: _touched(m, touched)))

    def _touched(module, touched):
        text = read_source(module)
        return f"{text}\nTOUCHED = 1\n" if module == touched else text

    plain = with_a_touch("")
    modules = import_closure(code.ROOTS, within=code.WITHIN)
    assert len({with_a_touch(module) for module in modules} | {plain}) == len(modules) + 1
    assert with_a_touch("schemas.records.market") == plain == with_a_touch("deploy.lab.outcome.outcome")
