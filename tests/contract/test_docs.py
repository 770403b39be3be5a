"""The documentation is true: generated pages are current, and what is named in prose exists.

Looked at are README.md and every page of docs/: commands in fenced blocks and in running text, make targets, settings and their
variables, files, tests, links, and examples of file formats, which must load.
"""

import ast
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from crossbook.runtime.settings import CONFIG_VARIABLE, Settings
from deploy.document import DOCS, commands, main, pages, settings, trade_moves
from deploy.stage import STAGES
from executors.terms import ExecuteTerms, PaperTerms, Terms
from producers.recordings.fees import load_fee_file
from producers.universe.pairs import load_pairs_file
from schemas.records import RECORDS, TradeUpdate
from schemas.topics import TOPICS
from tests.builders.executors.worlds import make_world, run_world
from tests.builders.places import REPOSITORY as ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
WRITTEN_BY_HAND = ("architecture.md", "runbook.md", "pairs.md", "recordings.md", "decisions.md")
COMMANDS = {command.words: command.command for command in commands()}
SETTINGS = {f"{one.section}.{one.name}" for one in settings() if one.section}
SECTIONS = {one.section for one in settings() if one.section}
VARIABLES = {one.variable for one in settings()} | {CONFIG_VARIABLE}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
SUFFIXES = (".py", ".md", ".sql", ".yaml", ".yml", ".toml", ".avsc", ".json", ".lock")

pages_of_docs = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(text_of(page)) if language in languages]


def prose(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def command_lines(page: Path) -> list[list[str]]:
    """Words of every line of a fenced block that begins with `crossbook` or `make`, after variables that are set for it."""
    found = []
    for body in blocks(page, "", "sh", "bash", "console"):
        for line in body.replace("\\\n", " ").splitlines():
            if not re.match(r"(\$ )?([A-Z_]+=\S+ )*(crossbook|make) ", line):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while "=" in words[0]:
                words.pop(0)
            found.append(words)
    return found


def command_of(words: list[str]) -> tuple[str, ...] | None:
    """The command that words call, or None."""
    return next((tuple(words[:size]) for size in (2, 1) if tuple(words[:size]) in COMMANDS), None)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def slugs(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


# What is generated


def test_generated_pages_are_current():
    for name, text in pages().items():
        assert text_of(DOCS / name) == text, f"docs/{name} is stale; write it with: python -m deploy.document"
    assert main(["--check"]) == 0


def test_a_stale_page_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("deploy.document.DOCS", tmp_path)
    assert main([]) == 0
    assert main(["--check"]) == 0
    (tmp_path / "settings.md").write_text("old")
    assert main(["--check"]) == 1
    assert "settings.md" in capsys.readouterr().err


def test_every_setting_command_topic_and_record_has_its_place():
    settings_page, commands_page = text_of(DOCS / "settings.md"), text_of(DOCS / "commands.md")
    assert all(f"| `{one.name}` |" in settings_page and f"`{one.variable}`" in settings_page for one in settings())
    assert all(f"\n## crossbook {' '.join(words)}\n" in commands_page for words in COMMANDS)
    records_page = text_of(DOCS / "records.md")
    assert all(f"| `{topic}` |" in records_page for topic in TOPICS)
    architecture = text_of(DOCS / "architecture.md")
    assert [topic for topic in TOPICS if f"`{topic}`" not in architecture] == []
    assert [record for record in RECORDS if f"`{record}" not in architecture] == []
    assert [stage for stage in STAGES if f"`{stage}`" not in architecture] == []


def test_every_room_is_in_the_architecture():
    architecture = text_of(DOCS / "architecture.md")
    rooms = {
        file.parent.relative_to(ROOT).as_posix()
        for folder in ("producers", "processors", "executors", "projections", "schemas", "crossbook", "deploy")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "__init__.py"
    }
    assert sorted(room for room in rooms if f"`{room}" not in architecture) == []


def test_the_moves_that_trades_make_are_drawn():
    drawn = set(trade_moves())
    paper = PaperTerms(
        reject_ppm=150_000, partial_ppm=300_000, vanish_ppm=300_000, late_ppm=200_000, reverse_ppm=200_000
    )
    made: set[tuple[str, str]] = set()
    for seed in range(4):
        at: dict[str, str] = {}
        for record in run_world(make_world(seed, 900), Terms(execute=ExecuteTerms(), paper=paper))[1]:
            if isinstance(record, TradeUpdate):
                made.add((at.get(record.trade_id, "proposed"), record.state))
                at[record.trade_id] = record.state
    assert made <= drawn
    assert {("proposed", "leading"), ("leading", "hedging"), ("hedging", "unwinding"), ("hedged", "closed")} <= made


# What is written by hand


def test_the_pages_are_there():
    assert {page.name for page in PAGES} >= {"README.md", "records.md", *WRITTEN_BY_HAND, *pages()}


@pages_of_docs
def test_commands_in_blocks_exist_with_their_options(page):
    for words in command_lines(page):
        if words[0] == "make":
            target = next((word for word in words[1:] if "=" not in word), "demo")
            assert target in make_targets(), words
            continue
        called = command_of(words[1:])
        if called is None:
            assert words[1:] in (["--help"], ["pairs", "--help"], ["import", "--help"]), words
            continue
        known = {"--help", *(o for p in COMMANDS[called].params for o in (*p.opts, *p.secondary_opts))}
        given = [word.split("=")[0] for word in words[1 + len(called) :] if re.match(r"--?[a-z]", word)]
        assert set(given) <= known, words


@pages_of_docs
def test_commands_in_running_text_exist(page):
    for said in INLINE.findall(prose(page)):
        if said.startswith("crossbook "):
            words = [word for word in said.split()[1:] if word not in {"…", "COMMAND"}]
            group = {known[:1] for known in COMMANDS}
            assert not words or words[0].startswith("-") or command_of(words) or tuple(words[:1]) in group, said
        elif said.startswith("make "):
            assert said.split()[1] in make_targets(), said


@pages_of_docs
def test_modules_that_are_run_exist(page):
    for module in re.findall(r"python -m ([\w.]+)", text_of(page)):
        assert module in {"pytest", "pip"} or importlib.util.find_spec(module), module


@pages_of_docs
def test_settings_and_variables_exist(page):
    text = text_of(page)
    unknown = [v for v in re.findall(r"\bCROSSBOOK_[A-Z_]*[A-Z]\b", text) if v not in VARIABLES]
    assert unknown == []
    for said in INLINE.findall(prose(page)):
        section, dot, name = said.partition(".")
        if dot and section in SECTIONS and re.fullmatch(r"[a-z_]+", name) and f".{name}" not in SUFFIXES:
            known = said in SETTINGS | SECTIONS or page.name == "records.md"  # there it is the path of a field
            assert known, f"{page.name}: no setting {said}"


@pages_of_docs
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in slugs(file), f"{page.name} links to {target}"


@pages_of_docs
def test_files_that_are_named_exist(page):
    for said in INLINE.findall(prose(page)):
        path = said.split("::")[0]
        if "/" in path and path.endswith(SUFFIXES) and not set(path) & set("<>*{}… "):
            assert (ROOT / path).exists() or (page.parent / path).exists(), f"{page.name} names {path}"


@pages_of_docs
def test_tests_that_are_named_exist(page):
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(page)):
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in names, f"{page.name}: {file} has no {test}"


@pages_of_docs
def test_examples_of_settings_are_settings(page, monkeypatch, tmp_path):
    for number, body in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(body, "utf-8")
        monkeypatch.setenv(CONFIG_VARIABLE, str(file))
        tomllib.loads(body)
        Settings()


def test_the_pairs_file_in_the_docs_is_one(tmp_path):
    examples = [body for body in blocks(DOCS / "pairs.md", "yaml") if body.startswith("pairs:")]
    assert examples
    for body in examples:
        (tmp_path / "pairs.yaml").write_text(body, "utf-8")
        pairs = load_pairs_file(tmp_path / "pairs.yaml")
        assert {"yes", "no"} <= set(pairs[0].payouts)
    assert any(len(pair.payouts) == 6 for pair in pairs), "one example gives all six outcomes"


def test_the_fee_file_in_the_docs_is_one(tmp_path):
    (body,) = [body for body in blocks(DOCS / "recordings.md", "yaml") if body.startswith("version:")]
    (tmp_path / "fees.yaml").write_text(body, "utf-8")
    fees = load_fee_file(tmp_path / "fees.yaml")
    assert {market.venue for market in fees.markets} == {"kalshi", "polymarket"}
    assert all(market.schedule() for market in fees.markets)
