# Two commands are the promise: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test pipeline check bench screens test-slow lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## create .venv and install the locked packages

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Saring needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## the whole story on this machine, and its URL
	$(BIN)/saring demo

# Two at once, a file to each: much of a test is waiting, and more processes only take each other's time.
test: $(READY) ## the tests, without the slow proofs
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

pipeline: $(READY) ## dvc.yaml: check, train, evaluate and register what params.yaml names
	PATH="$(CURDIR)/$(BIN):$$PATH" DVC_NO_ANALYTICS=1 $(BIN)/dvc repro

check: $(READY) ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) ## speed and size, as ratios inside one run
	$(BIN)/python -m benchmarks

screens: $(READY) ## the pictures of the console in docs/screens
	$(BIN)/python -m benchmarks.screens

test-slow: $(READY) ## the slow proofs
	$(BIN)/python -m pytest -m slow

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra traces --extra train --extra dev --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --quiet --output-file requirements.lock

clean: ## remove .venv and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
