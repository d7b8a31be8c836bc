# Every target makes the environment it needs (.venv) the first time.

# What is not set here has its default in configs/config.yaml.
DATASET ?=
RAW ?=
LOSS ?=
SCHEDULE ?=
EXPERIMENT ?=
PROTOCOL ?=
FOLD ?=
GPUS ?=
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
option = $(if $(2),'$(1)=$(2)')
folder = $(if $(2),'$(1)="$(2)"')
# A number, or a name as Dataset004_Hippocampus, is a dataset of nnU-Net's own.
NNUNET = $(shell printf %s '$(DATASET)' | grep -E '^([0-9]+|Dataset[0-9]{3}_.+)$$')
CHOICE = $(if $(NNUNET),dataset=nnunet dataset.id=$(NNUNET),$(call option,dataset,$(DATASET))) \
	$(call option,protocol,$(PROTOCOL)) $(call folder,dataset.raw,$(RAW))
RUN = $(CHOICE) $(call option,experiment,$(EXPERIMENT)) $(call option,loss,$(LOSS)) \
	$(call option,schedule,$(SCHEDULE)) $(call option,fold,$(FOLD)) $(call option,gpus,$(GPUS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check validate preprocess verify plans train predict evaluate tables gpu-check clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables (the first is the default):"
	@echo "    DATASET=lits|brats|hippocampus|phantom_lits|phantom_brats   RAW=folder of the raw data"
	@echo "    DATASET=N or DatasetNNN_Name: a dataset that lies in nnUNet_raw"
	@echo "    LOSS=gsl|dl|dice_ce|gdl|hl|bl   SCHEDULE=linear|step5|step25|step50|cosine|constant"
	@echo "    EXPERIMENT=a row of the paper's tables, a file of configs/experiment, instead of the three"
	@echo "    PROTOCOL=paper|released_code|nnunet   FOLD=all|0..4   GPUS=all|N (0 is the CPU)"
	@echo "    EXTRA=\"further Hydra overrides\""

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

test-slow: $(READY) ## Run the tests that take minutes: real processes, signals, whole trainings
	$(BIN)/python -m pytest -m slow $(ARGS)

check: $(READY) ## Lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

validate: $(READY) ## Say what is wrong with the raw data: all findings at once, and as CSV
	$(BIN)/python scripts/validate.py $(CHOICE) $(call folder,validate.output,$(OUT)) $(EXTRA)

preprocess: $(READY) ## Raw data to preprocessed cases, distance maps, class weights and folds
	$(BIN)/python scripts/preprocess.py $(CHOICE) $(EXTRA)

verify: $(READY) ## Check that a preprocessed dataset is whole and unchanged
	$(BIN)/python scripts/verify.py $(CHOICE) $(EXTRA)

plans: $(READY) ## Write a run's plans, for nnU-Net's stock commands
	$(BIN)/python scripts/plans.py $(RUN) $(EXTRA)

train: $(READY) ## Train the folds of a run and predict their held-out cases
	$(BIN)/python scripts/train.py $(RUN) $(EXTRA)

predict: $(READY) ## Predict new images: INPUT=folder OUTPUT=folder, with a run or MODEL=folder
	$(BIN)/python scripts/predict.py $(RUN) $(call folder,predict.model,$(MODEL)) \
		$(call folder,predict.input,$(INPUT)) $(call folder,predict.output,$(OUTPUT)) $(EXTRA)

evaluate: $(READY) ## Measure all runs, or two folders: PRED=folder REF=folder OUT=file.csv
	$(BIN)/python scripts/evaluate.py $(CHOICE) $(call folder,evaluate.predictions,$(PRED)) \
		$(call folder,evaluate.references,$(REF)) $(call folder,evaluate.output,$(OUT)) $(EXTRA)

gpu-check: $(READY) ## Check and time everything that needs a GPU
	$(BIN)/python scripts/gpu_check.py

tables: $(READY) ## Tables 1 and 2 of every dataset, from all runs
	$(BIN)/python scripts/tables.py $(EXTRA)

clean: ## Remove the environment and caches; data and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
