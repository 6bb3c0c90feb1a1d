# make gan    trains a small GAN on three Horovod ranks
# make test   runs every check
# Both install what they need into .venv first; nothing is built twice.

PYTHON ?= python3
VENV   ?= .venv
NP     ?= 3
ARGS   ?=
RATE   ?= 1gbit

TORCH       := torch==2.13.0
TORCHVISION := torchvision==0.28.0

BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install gan bilinear test lint check cluster-test clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.project ## Create .venv with everything in it

gan: install ## Train a small GAN on NP (3) ranks; more options in ARGS
	$(BIN)/horovodrun -np $(NP) -H localhost:$(NP) $(BIN)/hvd-qgenx gan $(ARGS)

bilinear: install ## Compare methods on the bilinear game
	$(BIN)/hvd-qgenx bilinear $(ARGS)

test: install lint check ## Run linters, types and all tests

lint: install ## Run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: install ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

cluster-test: install ## Three hosts in network namespaces, links limited to RATE (root only)
	jobs/setup/system.sh cluster
	HVD_QGENX_RATE=$(RATE) $(BIN)/python -m pytest tests/cluster/test_hosts.py -s $(ARGS)

clean: ## Remove the environment
	rm -rf $(VENV) build *.egg-info

# One stamp for every layer: a layer is laid again only when what it depends on has changed.

$(VENV)/.system: jobs/setup/system.sh
	jobs/setup/system.sh
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.system
	$(PIP) $(TORCH) numpy pillow
	$(PIP) --no-deps $(TORCHVISION)
	@touch $@

$(VENV)/.horovod: $(VENV)/.torch jobs/setup/horovod.sh
	jobs/setup/horovod.sh $(BIN)/python
	@touch $@

$(VENV)/.project: $(VENV)/.horovod setup.cfg pyproject.toml
	$(PIP) --editable '.[horovod,dev]'
	@touch $@
