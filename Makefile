# Every target makes the environment it needs (.venv) the first time.

DATASET ?= lits
RAW ?=
LOSS ?= gsl
SCHEDULE ?=
FOLD ?= all
GPUS ?= all
PROTOCOL ?= paper
EXTRA ?=
MODEL ?=
INPUT ?=
OUTPUT ?=
PRED ?=
REF ?=
OUT ?=
PYTHON ?= python3

BIN := .venv/bin
READY := .venv/.ready
CHOICE = dataset=$(DATASET) protocol=$(PROTOCOL) $(if $(RAW),'dataset.raw=$(abspath $(RAW))')
RUN = $(CHOICE) loss=$(LOSS) $(if $(SCHEDULE),schedule=$(SCHEDULE)) 'fold=$(FOLD)' gpus=$(GPUS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check preprocess plans train predict evaluate tables clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: DATASET=lits|brats|hippocampus|phantom_lits|phantom_brats  RAW=folder  LOSS=dl|dice_ce|gdl|hl|bl|gsl"
	@echo "             SCHEDULE=linear|step5|step25|step50|cosine|constant  FOLD=all|0..4  GPUS=all|N  (0: CPU)"
	@echo "             PROTOCOL=paper|released_code|nnunet  EXTRA=\"further Hydra overrides\""

setup: $(READY) ## Make the environment in .venv

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "error: $$($(PYTHON) --version) is not supported; call with PYTHON=python3.10, 3.11 or 3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## Phantoms to tables in minutes: preprocess, train Dice-CE and GSL, predict, compare
	$(BIN)/python scripts/demo.py $(EXTRA)

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## Lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

preprocess: $(READY) ## Raw data to preprocessed cases, distance maps, class weights and folds
	$(BIN)/python scripts/preprocess.py $(CHOICE) $(EXTRA)

plans: $(READY) ## Write a run's plans, for nnU-Net's stock commands
	$(BIN)/python scripts/plans.py $(RUN) $(EXTRA)

train: $(READY) ## Train the folds of a run and predict their held-out cases
	$(BIN)/python scripts/train.py $(RUN) $(EXTRA)

predict: $(READY) ## Predict new images: INPUT=folder OUTPUT=folder, with a run or MODEL=folder
	$(BIN)/python scripts/predict.py $(RUN) $(if $(MODEL),'predict.model=$(abspath $(MODEL))') \
		$(if $(INPUT),'predict.input=$(abspath $(INPUT))') $(if $(OUTPUT),'predict.output=$(abspath $(OUTPUT))') $(EXTRA)

evaluate: $(READY) ## Measure all runs, or two folders: PRED=folder REF=folder OUT=file.csv
	$(BIN)/python scripts/evaluate.py $(CHOICE) $(if $(PRED),'evaluate.predictions=$(abspath $(PRED))') \
		$(if $(REF),'evaluate.references=$(abspath $(REF))') $(if $(OUT),'evaluate.output=$(abspath $(OUT))') $(EXTRA)

tables: $(READY) ## Tables 1 and 2 of every dataset, from all runs
	$(BIN)/python scripts/tables.py $(EXTRA)

clean: ## Remove the environment and caches; data and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
