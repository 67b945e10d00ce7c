# Everything is built into .venv, once; it needs Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # which has every worker and every command under test compile everything anew

.DEFAULT_GOAL := help
.PHONY: help demo test lint format fixtures package lowest newest nightly bench endurance fuzz soak clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z ]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.ready ## One market through a legacy and a generic plugin at once
	@$(BIN)/plugin-compat demo

test: .venv/.ready ## The whole test suite with its coverage gate
	@$(BIN)/coverage erase
	@$(BIN)/pytest -n 4 --dist worksteal --cov --cov-report=term:skip-covered

lint: .venv/.ready ## ruff, mypy --strict, and the order of the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@.ci/same-ids

format: .venv/.ready ## Bring the sources into the common form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fixtures: .venv/.ready ## Rebuild the plugins (needs Go as pinned in fixtures/plugins/go.mod, Node.js and rustup)
	@$(BIN)/python -m fixtures.build

package: .venv/.ready ## The wheel, installed and tried in an empty environment
	@.ci/package

lowest newest: .venv/.ready ## The suite on the lowest, or the newest, dependencies
	@.ci/suite-on $@

nightly: .venv/.ready ## All that takes hours: random modules, a million messages, fuzzing, soak
	@.ci/nightly

bench: .venv/.ready ## Every figure of docs/performance.md beside its peers (half an hour; BENCH=--quick: minutes)
	@$(BIN)/python -m benchmarks $(BENCH)

endurance: .venv/.ready ## Streams of both kinds at full speed over connections that drop (some minutes)
	@$(BIN)/python -m benchmarks.endurance

soak: .venv/.ready ## Streams of both kinds on an exchange that misbehaves for an hour
	@$(BIN)/python -m benchmarks.soak

fuzz: .venv/.ready ## 100,000 damaged modules for the detector (about ten minutes)
	@$(BIN)/python -m benchmarks.fuzz

clean: ## Remove what was built
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

.venv/.ready: pyproject.toml constraints.txt
	@echo "setting up .venv (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Use make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@
