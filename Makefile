# Every target uses the environment in .venv, made from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
READY := $(VENV)/.ready

.PHONY: help setup libraries browser demo test lint type unit figures lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Homeostat needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
		--require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY)  ## make the virtual environment in .venv

libraries:  # LightGBM's wheel leaves OpenMP to the system
	@sh .ci/system libgomp1

browser:
	@sh .ci/system chromium

demo: setup libraries  ## play eight weeks of card-fraud traffic through the whole loop
	$(BIN)/homeostat demo $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

type: setup
	$(BIN)/mypy

test: setup lint type unit  ## everything CI checks

# Statistics and state machines have every branch tested; what touches the world, nearly all.
unit: setup libraries browser
	$(BIN)/python -m pytest --quiet -n auto --dist loadfile --cov --cov-report=
	@$(BIN)/coverage report --fail-under=95
	@$(BIN)/coverage report --fail-under=100 \
		--omit="*/engine/*,*/adapters/*,*/simulation/*,*/entrypoints/*"

figures: setup  ## measure install size, import time, and the demo's time and memory
	$(BIN)/python benchmarks/figures.py

lock:  ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --extra lightgbm --group dev pyproject.toml -o requirements.lock

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
