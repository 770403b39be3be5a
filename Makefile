# crossbook: `make demo` and `make test` are the two commands; the rest is for those who change it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-all-pythons coverage explore check bench lock clean
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "crossbook needs Python >= 3.11; name one with: make PYTHON=python3.13"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
		|| { echo "could not install: the Python package index is out of reach (or a hash differs); check the network or PIP_INDEX_URL and run make again"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	@$(BIN)/crossbook demo $(ARGS)

test: install
	@# What starts whole stacks needs both cores and watches clocks: it runs afterwards, one file after the other.
	$(BIN)/python -m pytest tests --ignore=tests/bench -m "not alone" -n 3 --dist loadfile --no-loadscope-reorder $(ARGS) || test $$? -eq 5
	$(BIN)/python -m pytest tests/integration -m alone $(ARGS) || test $$? -eq 5

test-all-pythons: install
	@# The unit suite on 3.11 to 3.14, with interpreters of uv, the path or pyenv; an absent one is skipped by name.
	$(BIN)/python -m tests.all_pythons

coverage: install
	@# Branches of the pure modules (`pyproject.toml`) that no unit test takes, by line.
	$(BIN)/python -m pytest tests/unit -n 2 --dist loadfile -m "not stack" --cov --cov-report=term-missing --cov-fail-under=95 $(ARGS)

explore: install
	@# The trade machine's state space, further than the suite goes: EXPLORE_LIVES random lives, every history of EXPLORE_DEPTH events.
	EXPLORE_LIVES=$${EXPLORE_LIVES:-5000} EXPLORE_DEPTH=$${EXPLORE_DEPTH:-10} $(BIN)/python -m pytest -n 2 \
		tests/unit/executors/hedge/test_exploration.py tests/unit/executors/hedge/test_every_history.py $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/contract

bench: install
	$(BIN)/python -m tests.bench $(ARGS)

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -q pyproject.toml tests/requirements-build.in -o requirements.lock

clean:
	rm -rf $(VENV) .crossbook build *.egg-info
