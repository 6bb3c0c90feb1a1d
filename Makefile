# make gan    trains a small GAN on three Horovod ranks
# make test   runs every check
# Both install what they need into .venv first; nothing is built twice.

PYTHON ?= python3
VENV   ?= .venv
NP     ?= 3
ARGS   ?=
# no: without Horovod, MPI and a compiler; torchrun starts ranks then.
HOROVOD ?= yes
RATE   ?= 1gbit
HOSTS  ?= 3
CRD    ?= $(HVD_QGENX_CRD)
SWEEP  ?= jobs/sweeps/compression.toml
JOBS   ?= 3

# The container: docker, podman or buildah; Dockerfile.horovod says which base image is the default.
ENGINE     ?= docker
IMAGE      ?= hvd-qgenx
BASE_IMAGE ?=

BIN   := $(VENV)/bin
SETUP := jobs/setup
LOCK  := $(SETUP)/lock

BARE    := $(filter no,$(HOROVOD))
LOCAL   := $(BIN)/$(if $(BARE),torchrun --nproc-per-node $(NP) --no-python,horovodrun -np $(NP) -H localhost:$(NP))
CLUSTER := $(BIN)/python -m tests.cluster.bench

# What docs/performance.md is made of.
FOUND   := runs/performance
LOADS   := --model resnet18 --numel 1e3 --numel 1e5
WORKERS := --repeats 1 --workers 2 --workers 4 --workers 8 --workers 16

.DEFAULT_GOAL := help
.PHONY: help install gan sweep bilinear test lint kernels check cluster-test bench cluster-bench ddp-bench cluster-sweep performance \
	games pages docs fields lock image image-test clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.project ## Create .venv with everything in it

gan: install ## Train a small GAN on NP (3) ranks; more options in ARGS; HOROVOD=no does without Horovod
	$(LOCAL) $(BIN)/hvd-qgenx gan $(ARGS)

sweep: install ## Train four modes of compression with three seeds, and compare; another file of jobs/sweeps in SWEEP
	$(BIN)/hvd-qgenx sweep $(SWEEP) $(ARGS)

bilinear: install ## Compare methods on the bilinear game
	$(BIN)/hvd-qgenx bilinear $(ARGS)

test: install ## Run linters, types and all tests
	$(MAKE) --jobs=2 lint kernels
	$(MAKE) check

lint: install ## Run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.horovod

kernels: install ## Compile the processor's kernels once, rather than in every process that comes first
	$(BIN)/hvd-qgenx bench codec --bits 4 --size 2^12 >/dev/null
	$(BIN)/hvd-qgenx gan --updates 1 --out $$(mktemp --directory)/run >/dev/null

check: kernels ## Run the tests, JOBS (3) side by side
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder --durations 30 $(ARGS)

cluster-test: install ## Three hosts in network namespaces, links limited to RATE (root only)
	$(SETUP)/system.sh cluster
	HVD_QGENX_RATE=$(RATE) $(BIN)/python -m pytest tests/cluster/test_hosts.py -s $(ARGS)

bench: install ## Speed of compressors, and of exchanges on NP (3) local ranks; more options of the latter in ARGS
	$(BIN)/hvd-qgenx bench codec --bits 4 --size 2^24 --json runs/bench/codec.json
	$(LOCAL) $(BIN)/hvd-qgenx bench exchange --json runs/bench/exchange.json $(ARGS)

cluster-bench: install ## The same exchanges over HOSTS (3, or 2) in network namespaces, links limited to RATE (1gbit; root only)
	$(SETUP)/system.sh cluster
	$(CLUSTER) $(HOSTS) $(RATE) runs/bench/exchange-$(HOSTS)-$(RATE).json $(ARGS)

ddp-bench: install ## DDP's communication hooks over these hosts, torch's and ours, at 1 gbit and 100 mbit (root only)
	$(SETUP)/system.sh cluster
	$(BIN)/python -m tests.cluster.ddp_hooks 5 1gbit 100mbit

cluster-sweep: install ## The sweep over three hosts in network namespaces, links limited to RATE (root only)
	$(SETUP)/system.sh cluster
	$(BIN)/python -m tests.cluster.run $(RATE) hvd-qgenx sweep jobs/sweeps/hosts.toml \
		--out runs/hosts-$(RATE) --label $(RATE) $(ARGS)

performance: install ## Measure all that docs/performance.md shows, and write it (root only, ten minutes)
	$(SETUP)/system.sh cluster
	rm -f $(FOUND)/*.json
	$(BIN)/hvd-qgenx bench codec --size 2^24 --json $(FOUND)/codec-1-widths.json
	$(BIN)/hvd-qgenx bench codec --bits 4 --size 1e3 --size 1e4 --size 1e5 --size 1e6 --size 1e8 \
		--json $(FOUND)/codec-2-sizes.json
	$(BIN)/hvd-qgenx bench codec --bits 4 --size 2^24 --threads 2 --json $(FOUND)/codec-3-threads.json
	$(BIN)/hvd-qgenx bench codec minmax uniform rotated --bits 4 --size 2^24 --dtype float16 --dtype bfloat16 \
		--json $(FOUND)/codec-4-half.json
	$(BIN)/hvd-qgenx bench codec uniform:norm=linf dither alq rotated --bits 4 --size 2^24 --coding huffman \
		--json $(FOUND)/codec-5-coded.json
	$(CLUSTER) 3 1gbit $(FOUND)/exchange-1-1gbit.json $(LOADS) --model gan
	$(CLUSTER) 3 100mbit $(FOUND)/exchange-2-100mbit.json $(LOADS) --repeats 5
	$(CLUSTER) 2 10gbit $(FOUND)/exchange-6-10gbit.json --model resnet18 --repeats 9
	$(LOCAL) $(BIN)/hvd-qgenx bench exchange $(LOADS) --model gan --json $(FOUND)/exchange-3-loopback.json
	$(BIN)/hvd-qgenx bench exchange --numel 1e6 --exchange two-phase $(WORKERS) --json $(FOUND)/exchange-4-bytes.json
	$(BIN)/hvd-qgenx bench exchange --numel 1e6 --exchange allgather $(WORKERS) --json $(FOUND)/exchange-5-bytes.json
	$(BIN)/hvd-qgenx bench report $(FOUND)/*.json --out docs/performance.md

games: install ## Play what docs/games.md shows, and write its tables and picture (25 minutes of processor time)
	$(BIN)/python -m hvd_qgenx.games.page

pages: install ## Write the page of settings, docs/settings.md, from their declarations
	$(BIN)/python -m hvd_qgenx.tasks.reference > docs/settings.md

docs: pages ## Build the documentation's site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fields: install ## Write the fields that --check of mpijob and trainjob knows from all definitions in CRD, as kubectl get crd prints them
	$(BIN)/python -m hvd_qgenx.mpijob.compact < "$(CRD)" > hvd_qgenx/mpijob/fields.json

lock: $(VENV)/.system ## Find versions and hashes of all packages again; newer ones with ARGS=--upgrade
	$(SETUP)/python.sh $(BIN)/python dev
	$(BIN)/python $(SETUP)/lock.py $(ARGS)

image: ## Build the container IMAGE on BASE_IMAGE with ENGINE (docker); more options of its build in ARGS
	$(ENGINE) build --file Dockerfile.horovod --tag $(IMAGE) --build-arg REVISION=$(shell git rev-parse HEAD) \
		$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(ARGS) .

image-test: install image ## Build it with ENGINE=buildah, and run jobs in it (root only)
	$(SETUP)/system.sh cluster
	HVD_QGENX_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/container -s

clean: ## Remove the environment
	rm -rf $(VENV) build *.egg-info

# One stamp for every layer: a layer is laid again only when what it depends on has changed.

$(VENV)/.system: $(SETUP)/system.sh
	PYTHON=$(PYTHON) $(SETUP)/system.sh python
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.system $(SETUP)/python.sh $(LOCK)/torch.lock $(LOCK)/cpu.lock $(LOCK)/cuda.lock
	$(SETUP)/python.sh $(BIN)/python torch
	@touch $@

$(VENV)/.horovod: $(VENV)/.torch $(SETUP)/horovod.sh $(LOCK)/build.lock $(LOCK)/horovod.lock
	PYTHON=$(PYTHON) $(SETUP)/system.sh build
	$(SETUP)/horovod.sh $(BIN)/python
	@touch $@

$(VENV)/.project: $(VENV)/$(if $(BARE),.torch,.horovod) $(LOCK)/run.lock $(LOCK)/dev.lock setup.cfg setup.py pyproject.toml
	$(SETUP)/python.sh $(BIN)/python run dev
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/pip check || { echo "The lock lacks what setup.cfg asks for: run make lock" >&2; exit 1; }
	@touch $@
