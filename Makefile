# Everything a contributor runs. GNU make; PYTHON=python3.12 chooses the interpreter of `setup`.

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
INSTALLED := .venv/.installed
LAUNCH := $(BIN)/accelerate launch --quiet --config_file configs/accelerate/single.yaml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test test-all checks lint types imports demo reference clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(INSTALLED) ## install the tested versions of everything into .venv

# The stamp comes last, so an install that was interrupted is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "LAMAE needs Python 3.11 or newer, and $(PYTHON) is not that." \
	    "Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@rm -f $@
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-input --disable-pip-version-check --progress-bar off \
	  -c constraints.txt -e '.[train,dev]'
	@touch $@

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

test: setup ## run the quick tests, at least one of every module: under five minutes on two cores
	$(PYTEST) -m 'not slow'

test-all: test ## run the quick tests, then the slow ones
	$(PYTEST) -m slow

checks: lint types imports test-all ## run all tests, the linters and the type checker

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

demo: setup ## simulate recordings, fit an encoder, train and use a diagnosis model: all into demo/
	rm -rf demo
	$(BIN)/python shards/main.py simulate configs/shards/simulate.yaml records=1000 output=demo/recordings
	$(BIN)/python shards/main.py configs/shards/demo.yaml source=demo/recordings output=demo/shards
	$(LAUNCH) pretrain/main.py configs/pretrain/demo.yaml \
	  start_from=lamae/weights/lamae-cpu.ptbxl data=demo/shards run_dir=demo/pretrain
	$(LAUNCH) finetune/main.py configs/finetune/demo.yaml \
	  encoder=demo/pretrain data=demo/shards run_dir=demo/probe
	$(BIN)/python shards/main.py simulate records=1 seed=1 classes=[AF] output=demo/new
	$(BIN)/python finetune/main.py predict model=demo/probe output=demo/new.csv \
	  source=$$(find demo/new -name '*.hea')
	@printf '\n%s\n' 'Open these files:' \
	  '  demo/probe/report.html   the report on the diagnosis model' \
	  '  demo/new.csv             its answer for one new recording (simulated: AF)' \
	  'and give this command for a page that reads recordings:' \
	  '  .venv/bin/lamae serve model=demo/probe'

reference: setup ## write docs/reference/, the pages of every verb and setting
	$(BIN)/python -m lamae.reference docs/reference \
	  shards.main:PROGRAM pretrain.main:PROGRAM finetune.main:PROGRAM

clean: ## remove what was made here, except .venv, data/ and runs/
	rm -rf demo build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find lamae shards pretrain finetune tests -name __pycache__ -type d -prune -exec rm -rf {} +
