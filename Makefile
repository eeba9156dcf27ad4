# Python 3.11 or newer and make are all that must be there: the first target that needs it makes .venv.
.DEFAULT_GOAL := help
.PHONY: help setup torch run test conformance gcpc benchmark benchmark-api soak kill-test compile docs lint format lock clean

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
READY := .venv/.ready
# Empty, so that bytecode is kept even where the machine says otherwise: without it every process compiles anew.
export PYTHONDONTWRITEBYTECODE =
DATASET ?= churn

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

torch: $(READY) ## install PyTorch for the image trainer (CI does; its tests are skipped without it)
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0

setup: $(READY) ## make .venv from the hashed lock

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## retrain the churn model on local Vertex (DATASET=churn|credit|lending_club|cdnow)
	$(BIN)/trainwright compile tabular_custom
	$(BIN)/trainwright local exec -- sh -ec '\
		$(BIN)/python -m examples.data $(DATASET) gs://trainwright-local/data; \
		$(BIN)/trainwright run tabular_custom --params pipelines/tabular_custom.$(DATASET).json'

lint: $(READY) ## style, types, import contracts, generated files are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/trainwright compile --check
	$(BIN)/python -m trainwright.local.reference docs/local-vertex.md --check
	$(BIN)/python benchmarks/gcpc.py --write docs/gcpc-ops.md --check
	$(BIN)/python -m trainwright.compiling.lint.reference docs/lint.md --check
	$(BIN)/trainwright lint

test: lint ## every check
	$(BIN)/python -m pytest

compile: $(READY) ## write compiled/ anew
	$(BIN)/trainwright compile

conformance: $(READY) ## run the compiled pipelines of kubeflow/pipelines: one table
	$(BIN)/python benchmarks/conformance.py

gcpc: $(READY) ## run every public op of Google Cloud Pipeline Components: one table
	$(BIN)/python benchmarks/gcpc.py

benchmark: $(READY) ## the engine beside kfp.local: one table (some minutes)
	$(BIN)/python benchmarks/engine.py

benchmark-api: $(READY) ## the API and storage: one table with targets (minutes)
	$(BIN)/python benchmarks/api.py

soak: $(READY) ## 8 clients for 30 minutes (MINUTES=), local Vertex killed 10 times (KILLS=): nothing may be lost
	$(BIN)/python benchmarks/soak.py --minutes $${MINUTES:-30} --kills $${KILLS:-10}

kill-test: $(READY) ## kill -9 local Vertex at 50 random instants, compare with an undisturbed run (minutes)
	TRAINWRIGHT_KILLS=$${TRAINWRIGHT_KILLS:-50} $(BIN)/python -m pytest -s tests/local/recovery -k random

docs: $(READY) ## write docs/local-vertex.md, docs/gcpc-ops.md and docs/lint.md anew
	$(BIN)/python -m trainwright.local.reference docs/local-vertex.md
	$(BIN)/python benchmarks/gcpc.py --write docs/gcpc-ops.md
	$(BIN)/python -m trainwright.compiling.lint.reference docs/lint.md

format: $(READY) ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: $(READY) ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --extra local --extra ml --extra examples --group dev pyproject.toml -o requirements.lock
	grep -E '^uv==' requirements.lock | sed 's/ .*//' | $(BIN)/uv pip compile --quiet --universal \
		--generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o requirements-bootstrap.lock

clean: ## remove the environment, caches and local state
	rm -rf .venv .trainwright build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
