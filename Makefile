# Each target sets up what it needs. PYTHON=... names an interpreter, VENV=... another environment.
VENV ?= .venv
BIN := $(VENV)/bin
CODE := $(wildcard src tests examples benchmarks)
LOCKFLAGS ?=
LOCK = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(LOCKFLAGS)

.DEFAULT_GOAL := help
.PHONY: help demo test soak check bench bench-optimizers fix lock clean

help:
	@echo "make demo    watch a program get measurably better, offline, in under a minute"
	@echo "make test    run every test, on up to four cores"
	@echo "make soak    kill runs at every passage of every point and, with workers and supervisors, at 500 instants; servers at 30"
	@echo "make check   format, lint, types, import contracts"
	@echo "make fix     format, and repair what the linter can"
	@echo "make bench   measure, against a peer, and write docs/benchmarks.md"
	@echo "make bench-optimizers  compare the strategies with a peer's, and write docs/optimizers.md"
	@echo "make lock    choose the pinned versions again (LOCKFLAGS=--upgrade for newer ones)"
	@echo "make clean   remove environments, caches and builds"

$(VENV)/.stamp-core: requirements.lock pyproject.toml
	@.ci/environment core $(VENV)

$(VENV)/.stamp-dev: requirements-dev.lock pyproject.toml
	@.ci/environment dev $(VENV)

demo: $(VENV)/.stamp-core
	@$(BIN)/dspex demo

test: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

soak: $(VENV)/.stamp-dev
	$(BIN)/python -m tests.hosting.soak --instants 500

check: $(VENV)/.stamp-dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python $(CODE)
	$(BIN)/lint-imports

bench: $(VENV)/.stamp-dev
	$(BIN)/python -m benchmarks.run_all

bench-optimizers: $(VENV)/.stamp-dev
	$(BIN)/python -m benchmarks.optimizers --report

fix: $(VENV)/.stamp-dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# The core lock first: the development lock is held to its versions.
lock:
	@uv --version >/dev/null 2>&1 || { echo "make lock needs uv on the PATH (pip install uv)" >&2; exit 1; }
	uv pip compile pyproject.toml --group build $(LOCK) -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev -c requirements.lock $(LOCK) -o requirements-dev.lock

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
