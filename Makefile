# Everything a fresh machine needs is `make quickstart` or `make test`: both build .venv first where it is missing or old.
# PYTHON picks the interpreter (3.11 or newer); pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL …) are honoured.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.DEFAULT_GOAL := help
.PHONY: help quickstart check test lint docs format bench clean

help:  ## list these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

quickstart: $(STAMP)  ## adapt the default base to advertising copy, measure, export, run: results in ./quickstart
	$(BIN)/metier quickstart --out quickstart

check: lint  ## formatter, linter, types, floors and the fast tests: about 3 minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadgroup --hypothesis-profile=ci -m "not slow" --durations=10

test: lint docs  ## formatter, linter, types, floors, docs, then every test
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -q -n 2 --dist loadgroup --hypothesis-profile=ci --durations=10

lint: $(STAMP)  ## formatter, linter, types, floors; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## guide, reference and trade pages, built strictly into ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict -f sdk/docs/mkdocs.yml

format: $(STAMP)  ## fix what formatter and linter can fix, and update the READMEs' table of gains
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python sdk/docs/gains.py

bench: $(STAMP)  ## every benchmark of tests/benchmarks, as JSON in ./runs/bench
	mkdir -p runs/bench
	for script in tests/benchmarks/*.py; do \
	  $(BIN)/python $$script --json > runs/bench/$$(basename $$script .py).json || exit 1; \
	done

clean:  ## remove what was built and the quickstart; your runs and the cache of bases stay
	rm -rf $(VENV) quickstart site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Metier needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[gpu,train,serve,dev]' $(PLUGINS:%=-e ./%)
	touch $@
