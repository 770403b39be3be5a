"""The digest names all decision code and nothing of where it is installed."""

import ast
import hashlib
from importlib.resources import files

from processors.code_digest import DECISION_MODULES, DECISION_PACKAGES, decision_digest

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


def source(module):
    package, _, name = module.rpartition(".")
    return files(package).joinpath(f"{name}.py").read_text("utf-8")


def imports(module):
    for node in ast.walk(ast.parse(source(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_it_is_a_sha256_and_stable():
    assert len(decision_digest()) == hashlib.sha256().digest_size * 2
    decision_digest.cache_clear()
    assert decision_digest() == decision_digest()


def test_every_module_that_a_decision_runs_through_is_named():
    named = set(DECISION_MODULES)
    for module in DECISION_MODULES:
        for imported in imports(module):
            if imported.startswith("processors.") and imported != "processors.errors":
                assert imported in named, f"{module} imports {imported}, which the digest leaves out"
            if imported.startswith("crossbook.domain."):
                assert "crossbook.domain" in DECISION_PACKAGES


def test_decision_modules_touch_nothing_impure():
    for module in DECISION_MODULES:
        assert not {imported.partition(".")[0] for imported in imports(module)} & IMPURE, module
