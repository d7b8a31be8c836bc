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
# The peers of the benchmarks lie in an environment of their own, on top of the first.
BENCH := .venv-bench/bin
BENCH_READY := .venv-bench/.ready
# Shells use a variable of this name themselves: only what stands on the command line counts.
CHOSEN_LINES = $(if $(filter command,$(origin LINES)),$(LINES))
option = $(if $(2),'$(1)=$(2)')
folder = $(if $(2),'$(1)="$(2)"')
# A number, or a name as Dataset004_Hippocampus, is a dataset of nnU-Net's own.
NNUNET = $(shell printf %s '$(DATASET)' | grep -E '^([0-9]+|Dataset[0-9]{3}_.+)$$')
CHOICE = $(if $(NNUNET),dataset=nnunet dataset.id=$(NNUNET),$(call option,dataset,$(DATASET))) \
	$(call option,protocol,$(PROTOCOL)) $(call folder,dataset.raw,$(RAW))
BROWSER = $(or $(CHROMIUM),$(shell command -v chromium || command -v chromium-browser || command -v google-chrome))
RUN = $(CHOICE) $(call option,experiment,$(EXPERIMENT)) $(call option,loss,$(LOSS)) \
	$(call option,schedule,$(SCHEDULE)) $(call option,fold,$(FOLD)) $(call option,gpus,$(GPUS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-browser check validate preprocess verify plans train predict evaluate tables figures report gpu-check bench bench-growth bench-accuracy clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
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

test-browser: $(READY) ## Run the tests of the report in Chromium (CHROMIUM=path if it is not found)
	@test -n "$(BROWSER)" || { echo "error: no Chromium: install one, or name it with CHROMIUM=path"; exit 2; }
	CHROMIUM="$(BROWSER)" $(BIN)/python -m pytest -m browser $(ARGS)

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
		$(call folder,evaluate.references,$(REF)) $(call folder,evaluate.output,$(OUT)) \
		$(if $(PRED)$(REF),$(if $(DATASET),,evaluate.regions=labels)) $(EXTRA)

gpu-check: $(READY) ## Check and time everything that needs a GPU
	$(BIN)/python scripts/gpu_check.py

bench: $(BENCH_READY) ## Time every line against its peers, and write results/bench; LINES="loss loader" for some
	$(BENCH)/python -m benchmarks.run $(CHOSEN_LINES)

bench-growth: $(BENCH_READY) ## How cost grows with classes, patch and volume
	$(BENCH)/python -m benchmarks.run --growth $(CHOSEN_LINES)

bench-accuracy: $(BENCH_READY) ## What our training is worth beside stock nnU-Net's: RAW=Task04_Hippocampus; over an hour
	@test -n "$(RAW)" || { echo "error: call with RAW=folder of Task04_Hippocampus"; exit 2; }
	$(BENCH)/python -m benchmarks.accuracy '$(RAW)' $(EXTRA) $(if $(filter-out all,$(FOLD)),--folds $(FOLD))

$(BENCH_READY): $(READY) benchmarks/peers.txt
	$(BIN)/python -m venv .venv-bench
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(BENCH)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/_project.pth"
	@grep -v '^#' benchmarks/peers.txt | while read -r peer; do \
		$(BENCH)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock "$$peer" || \
		echo "$$peer does not install here: the benchmarks go on without it"; done
	@touch $(BENCH_READY)

tables: $(READY) ## Tables 1 and 2 of every dataset, from all runs
	$(BIN)/python scripts/tables.py $(EXTRA)

figures: $(READY) ## Figures of every dataset, or of DATASET, from all runs
	$(BIN)/python scripts/figures.py $(call option,figures.dataset,$(DATASET)) $(call option,protocol,$(PROTOCOL)) $(EXTRA)

report: $(READY) ## One HTML file of everything, for every dataset or for DATASET
	$(BIN)/python scripts/report.py $(call option,report.dataset,$(DATASET)) $(EXTRA)

clean: ## Remove the environment and caches; data and results stay
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
