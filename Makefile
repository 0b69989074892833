# `make` lists the targets. Everything runs inside .venv, made on first use.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help app test lint format bench doctor lock clean chromium

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
CHROMIUM ?= /usr/bin/chromium
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

app: $(VENV)/.installed ## install what is missing and serve the page (ARGS="--port 8000")
	$(PY) -m app $(ARGS)

# Two workers on two cores: threads that spin while they wait would take the other's core.
test: export OMP_WAIT_POLICY := PASSIVE
test: $(VENV)/.installed-dev chromium ## run the whole test suite (ARGS="-k name", "-n 0" one by one)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25 $(ARGS)

lint: $(VENV)/.installed-dev ## check style and likely mistakes
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.installed-dev ## rewrite the code in the house style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.installed ## measure speed against the references
	$(PY) -m dynamask bench $(ARGS)

doctor: $(VENV)/.installed ## what this machine has
	$(PY) -m dynamask doctor

lock: $(VENV)/.installed-dev ## write requirements.lock from what is installed
	@{ sed -n '/^#/p' requirements.lock; $(PIP) freeze | grep -v -E '^-e|@ file'; } > .make-lock
	@mv .make-lock requirements.lock

clean: ## remove caches and the virtual environment
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Expected Python 3.11 or newer as '$(PYTHON)'; give another one: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Expected a Python that can make virtual environments; on Debian: apt install python3-venv" >&2; \
	  rm -rf $(VENV); exit 1; }

# The stamps lie inside .venv, so they go when it goes.
$(VENV)/.installed: requirements.txt requirements.lock | $(PY)
	@echo "Installing requirements.txt (about 4 minutes and 5 GB the first time) ..."
	$(PIP) install --quiet -r requirements.txt -c requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt requirements.lock | $(PY)
	@echo "Installing requirements-dev.txt (about 4 minutes and 5 GB the first time) ..."
	$(PIP) install --quiet -r requirements-dev.txt -c requirements.lock
	@touch $@ $(VENV)/.installed

chromium:
	@if [ -x "$(CHROMIUM)" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then root=""; \
	elif sudo -n true 2>/dev/null; then root="sudo -n"; \
	else root=none; fi; \
	if [ "$$root" = none ] || ! command -v apt-get >/dev/null; then \
	  echo "Expected a browser at $(CHROMIUM) for the page's tests, found none and may not install it; run: apt-get install chromium" >&2; \
	  exit 1; \
	fi; \
	echo "Installing Debian's chromium for the page's tests ..."; \
	$$root apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends chromium >/dev/null || { \
	  echo "Expected apt-get to install chromium, it could not; install it by hand and run make test again" >&2; exit 1; }
