# `make repro` reproduces the study, `make test` tests the project; both set up .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
# DVC starts the stages with the `python` that it finds first.
export PATH := $(BIN):$(PATH)

.PHONY: repro test ui lint clean

repro: $(READY)
	dvc repro
	@cat reports/comparison.md
	@echo
	@echo "The table is reports/comparison.md, the page for a browser reports/index.html, the pictures are in reports/figures/."
	@echo "Next: dvc plots show, dvc metrics show, dvc exp show (after '. $(VENV)/bin/activate'), or make ui for MLflow."

test: $(READY)
	python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)
	ruff check .

ui: $(READY)
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

$(READY): requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
