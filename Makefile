# `make repro` reproduces the study, `make test` tests the project; both set up .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
# DVC starts the stages with the `python` that it finds first.
export PATH := $(BIN):$(PATH)

.PHONY: repro test ui plots experiments docs lint clean

repro: $(READY)
	dvc repro
	@python -m confidnet_core show -m fpr_at_95_tpr,aupr_error,auroc,aurc --no-intervals
	@echo
	@echo "All tables are in reports/comparison.md, the page for a browser reports/index.html, the pictures are in reports/figures/."
	@echo "Next: make plots, make experiments, make ui for MLflow; or dvc metrics show and others after '. $(VENV)/bin/activate'."

# In the order of the files: sorted by number of tests, the few long ones would all come last, side by side with nothing.
test: $(READY)
	python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	ruff check .

ui: $(READY)
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

# A page that draws without a network.
plots: $(READY)
	python -m confidnet_core offline > /dev/null
	dvc plots show --html-template .dvc/tmp/plots.html

# What changed, in columns that fit a terminal; `dvc metrics diff EXP1 EXP2` has every score.
experiments: $(READY)
	@dvc exp show --no-pager --only-changed --drop 'Created|.*(csv|txt|py)$$|.*/.*|.*\.(aupr_error\..*|best_score)'

# The tables of results in README.md and docs/, from the CSV files under reports/.
docs: $(READY)
	python -m docs.tables

$(READY): requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
