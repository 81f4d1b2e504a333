# `make` lists what can be made. Everything runs in .venv, which is made from requirements.txt and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready
DEMO := build/demo
LARGEST := SELECT number FROM invoices ORDER BY total_minor DESC, number LIMIT 1
# A command and what it prints, without the hints at its end.
SHOWN = @echo '$(1)' && $(1) | sed '/^What to look at next/,$$d'
PIP_OPTIONS := --quiet --quiet --disable-pip-version-check

# The first Python that is new enough; `make PYTHON=/path/to/python` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)

# What the shell has set for other projects must not reach this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV DAGSTER_HOME

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY) ## Bill real usage events and show the invoices
	@rm -rf $(DEMO) && mkdir -p build && cp -R data/ai-usage $(DEMO) && rm -rf $(DEMO)/warehouse
	$(call SHOWN,$(BIN)/meterhouse --project $(DEMO) run --through 2026-02-28)
	$(call SHOWN,$(BIN)/meterhouse --project $(DEMO) invoices list --status finalized --largest --limit 4)
	@number=$$($(BIN)/meterhouse --project $(DEMO) sql --csv "$(LARGEST)" | tail -n 1); \
		echo '$(BIN)/meterhouse --project $(DEMO) invoices show' "$$number"; \
		$(BIN)/meterhouse --project $(DEMO) invoices show "$$number"
	@cat docs/after-the-demo.txt

.PHONY: test
test: lint pytest ## Lint, types, import direction, all tests, examples of the docs

.PHONY: lint
lint: $(READY) ## Lint, format, types, import direction
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: pytest
pytest: $(READY) ## All tests, on all cores
	$(BIN)/pytest --numprocesses auto --dist worksteal --quiet

.PHONY: format
format: $(READY) ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: $(READY) ## Write docs/reference and the output of examples from what the code declares and prints
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/examples.py

.PHONY: bench
bench: $(READY) ## Measure speed and memory beside a reference in the same run; EVENTS=1000000 for a quick one
	$(BIN)/python -m benchmarks $(if $(EVENTS),--events $(EVENTS) --postgres-events $(EVENTS)) $(if $(REPEATS),--repeats $(REPEATS))

.PHONY: bench-large
bench-large: $(READY) ## Growth and peak memory, 10 M and 100 M events: takes long, and 20 GB of disk
	$(BIN)/python -m benchmarks --only large

.PHONY: ui
ui: $(READY) ## Open Dagster on http://localhost:3000
	@mkdir -p .dagster && cp dagster.yaml .dagster/
	DAGSTER_HOME="$(CURDIR)/.dagster" $(BIN)/dagster dev

.PHONY: lock
lock: $(READY) ## Lock the requirements again; PACKAGE=name upgrades one, UPGRADE=1 all
	@sed -n '1p' requirements.txt > .venv/lock.txt
	@sed '1d' requirements.txt > .venv/locked.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-header --no-emit-index-url --no-emit-find-links --quiet $(if $(PACKAGE),--upgrade-package $(PACKAGE)) \
		$(if $(UPGRADE),--upgrade) --output-file .venv/locked.txt
	@cat .venv/locked.txt >> .venv/lock.txt && mv .venv/lock.txt requirements.txt

.PHONY: clean
clean: ## Remove the environment and everything made
	rm -rf .venv build .dagster .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

# hatchling is in the lock, so the package is built in the environment itself and nothing unlocked is downloaded.
$(READY): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install $(PIP_OPTIONS) --no-deps --no-build-isolation --editable .
	@touch $@

$(LOCKED): requirements.txt
	@test -n "$(PYTHON)" || { echo "meterhouse needs Python 3.11 or newer. Install it, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Making the environment in .venv (about a minute, once) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install $(PIP_OPTIONS) --require-hashes --requirement requirements.txt
	@touch $@
