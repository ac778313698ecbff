# The targets are listed by `make help`, from the words after their `##`. Those that need the environment set it up first.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
AUDIT := $(VENV)/audit
# DVC starts the stages with the `python` that it finds first.
export PATH := $(BIN):$(PATH)

# One worker more than there are cores, since a quarter of the time is waiting for disk and servers; at most 4. The files are in the order of
# tests/conftest.py, the long ones first: by number of tests, they would come last, side by side with nothing.
WORKERS := $(shell cores=$$(nproc 2> /dev/null || echo 2); echo $$(( cores < 4 ? cores + 1 : 4 )))
PYTEST := python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# What needs no trained network, no DVC, no MLflow server and no other process.
QUICK := tests/project tests/metrics tests/config tests/comparison

.DEFAULT_GOAL := help
.PHONY: help repro quick test kills full-disk fuzz audit lint types format hooks ui plots experiments docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

repro: $(READY) ## the whole study: what has changed is computed again, and its table printed
	@python -m confidnet_core.system.leftovers
	@python -m confidnet_core.cli.params_check
	dvc repro
	@python -m confidnet_core show -m fpr_at_95_tpr,aupr_error,auroc,aurc --no-intervals
	@echo
	@echo "All tables are in reports/comparison.md, the page for a browser reports/index.html, the pictures are in reports/figures/."
	@echo "Next: make plots, make experiments, make ui for MLflow; or dvc metrics show and others after '. $(VENV)/bin/activate'."

experiments: $(READY) ## experiments side by side: what changed, and what came of it
	@python -m confidnet_core experiments

plots: $(READY) ## a page with what `dvc plots` draws, which needs no network
	python -m confidnet_core offline > /dev/null
	dvc plots show --html-template .dvc/tmp/plots.html

docs: $(READY) ## the tables of results in README.md and docs/, written from reports/
	python -m docs.tables

ui: $(READY) ## MLflow in a browser, opened at the results
	python -m confidnet_core.tracking.ui

# Types and tests side by side; the tests take over the core of the types once these are done.
quick: $(READY) lint ## in a minute: style, types, and the tests that need no pipeline
	@$(MAKE) --no-print-directory --output-sync=target --jobs 2 types quick-tests

.PHONY: quick-tests
quick-tests: $(READY)
	python -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m 'not slow' --durations 0 --durations-min 2 $(QUICK)

test: $(READY) lint types ## everything: style, types and all tests
	$(PYTEST)

test-%: $(READY) ## the tests of a package, as `make test-metrics`, or of files, as `make test-splits`
	$(PYTEST) $(if $(wildcard tests/$*),tests/$*,$(or $(wildcard tests/*/test_$*.py),$(error tests/ has no $*/ and no test_$*.py)))

kills: $(READY) ## 50 SIGKILLs at random moments of a small study, which ends bit for bit as without: half an hour
	CONFIDNET_KILLS=50 python -m pytest tests/pipeline/test_kills.py

full-disk: $(READY) ## a small study on a disk that fills in each stage in turn, as root: half an hour
	CONFIDNET_FULL_DISK=all python -m pytest tests/pipeline/test_full_disk.py

fuzz: $(READY) ## random input, 10 times as much as in the tests, in about ten minutes
	$(PYTEST) --dist load --hypothesis-profile fuzz tests/fuzz

audit: $(READY) ## known vulnerabilities of the packages, by pip-audit in an environment of its own, which needs a network
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet pip-audit; }
	$(AUDIT)/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip --strict

lint: $(READY) ## style, by ruff
	ruff check .
	ruff format --check .

types: $(READY) ## types, by pyright
	basedpyright

format: $(READY) ## style put right, by ruff
	ruff check --fix .
	ruff format .

hooks: $(READY) ## style and types checked before each git commit
	pre-commit install

$(READY): requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	test ! -e pyproject.toml || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .  # `confidnet`
	touch $(READY)

clean: ## without environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
