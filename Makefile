# Every target uses the environment in .venv, made from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
READY := $(VENV)/.ready
SPARK := $(VENV)/.spark
PEERS := .venv-peers
WHYLOGS := .venv-whylogs
SHAP := .venv-shap
CLIENTS := .venv-clients

.PHONY: help setup libraries browser database cache scraper compiler spark demo test lint type unit covered branches figures bench prove clients peers lock site clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): requirements.lock pyproject.toml client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Homeostat needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
		--require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
		--editable client --editable .
	@touch $@

setup: $(READY)  ## make the virtual environment in .venv

libraries:  # LightGBM's wheel leaves OpenMP to the system
	@sh .ci/system libgomp1

browser:
	@sh .ci/system chromium

database:
	@sh .ci/system postgresql

cache:
	@sh .ci/system redis-server

scraper:  # Prometheus, Alertmanager and their tools
	@sh .ci/system prometheus prometheus-alertmanager

compiler:  # for the library that tests power cuts
	@sh .ci/system gcc libc6-dev

# Half a gigabyte: only for the tests of the Spark job.
$(SPARK): requirements-spark.lock $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-spark.lock
	@touch $@

spark: $(SPARK) libraries
	@sh .ci/system default-jre-headless

demo: setup libraries  ## play eight weeks of card-fraud traffic through the whole loop
	$(BIN)/homeostat demo $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory site

type: setup
	$(BIN)/mypy

# Types are checked beside the tests: alone, that leaves a core idle. What apt brings comes before,
# one after another.
test: setup lint libraries browser database cache scraper compiler spark  ## everything CI checks
	@$(MAKE) --no-print-directory --jobs=2 type unit

# Statistics and state machines have every branch tested; what touches the world, nearly all.
# Workers have one thread each; tests/conftest.py says how many there are and which files begin.
unit: setup libraries browser database cache scraper compiler spark
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		$(BIN)/python -m pytest --quiet -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=
	@$(MAKE) --no-print-directory covered branches

covered:  # of what the last run of `unit` saw
	@$(BIN)/coverage report --fail-under=95

branches:
	@$(BIN)/coverage report --fail-under=100 \
		--omit="*/homeostat_client/*,*/engine/*,*/adapters/*,*/simulation/*,*/entrypoints/*"

figures: setup  ## measure install size, import time, and the demo's time and memory
	$(BIN)/python benchmarks/figures.py

bench: setup  ## time a comparison of two large files beside reading them
	$(BIN)/python benchmarks/compare_speed.py $(ARGS)

prove: setup  ## count false alarms and delays in simulated worlds, peers' rules beside ours (hours)
	sh benchmarks/false_alarms/prove.sh $(BIN)/python benchmarks/results

$(PEERS)/.ready: benchmarks/peers/requirements.txt $(READY)
	$(PYTHON) -m venv $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python -r $<
	@touch $@

$(WHYLOGS)/.ready: $(READY)
	$(PYTHON) -m venv $(WHYLOGS)
	$(BIN)/uv pip install --quiet --python $(WHYLOGS)/bin/python 'whylogs>=1.6,<1.7' 'numpy<2' \
		'pyarrow>=17,<24' 'pandas<2.3' 'datasketches>=5.1' pytest pytest-timeout hypothesis
	@touch $@

$(SHAP)/.ready: $(READY)
	$(PYTHON) -m venv $(SHAP)
	$(BIN)/uv pip install --quiet --python $(SHAP)/bin/python 'shap>=0.46' 'pyarrow>=17' pytest \
		pytest-timeout hypothesis 'datasketches>=5.1'
	@touch $@

$(CLIENTS)/.ready: $(READY)
	$(PYTHON) -m venv $(CLIENTS)
	$(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python 'tritonclient[http,grpc]>=2.50' \
		'mlflow-skinny>=3' pandas scipy 'mlserver>=1.7' pytest pytest-timeout hypothesis
	@touch $@

clients: $(CLIENTS)/.ready  ## ask the gateway with the clients of Triton, MLflow and MLServer
	@# Stubs of one protocol by two projects do not go into one process.
	for client in "not mlserver" mlserver; do \
		HOMEOSTAT_SERVER_PYTHON=$(BIN)/python $(CLIENTS)/bin/python -m pytest --quiet --noconftest \
			-m peers -k "$$client" tests/peers/test_protocols.py || exit 1; \
	done

peers: clients $(PEERS)/.ready $(WHYLOGS)/.ready $(SHAP)/.ready  ## hold presets, formats and explanations to the real Evidently, NannyML, whylogs and shap (4 GB)
	PYTHONPATH=src $(PEERS)/bin/python -m pytest --quiet -m peers tests/peers/test_presets.py
	$(WHYLOGS)/bin/python -m pytest --quiet -m peers tests/peers/test_whylogs.py
	$(SHAP)/bin/python -m pytest --quiet -m peers tests/peers/test_shap.py

site: setup  ## build the documentation into .site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lock:  ## renew the lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --no-emit-package homeostat-client \
		--extra lightgbm --group dev pyproject.toml -o requirements.lock
	echo 'pyspark>=3.5' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --python-version 3.11 - -o requirements-spark.lock

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
