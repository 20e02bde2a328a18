# Everything a developer does here; `make` alone lists it.

PYTHON ?= python3
VENV := .venv
CLIENTS := .venv-clients
BIN := $(VENV)/bin
INI ?= development.ini
SECONDS = 10

.PHONY: help serve test lint types layers check audit fuzz settings security scale bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.installed ## start an index on this folder, at http://localhost:6543/
	@exec $(BIN)/pypicloud-lite serve $(INI)

test: $(VENV)/.tests $(CLIENTS)/.installed ## run all tests
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: lint types layers ## run all static checks

lint: $(VENV)/.lint ## ruff, and whether older and newer Pythons can run the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin -q --target=3.11- --no-tips --violations pypicloud_lite

types: $(VENV)/.lint ## mypy, strict, against the oldest and the newest standard library
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.14

layers: $(VENV)/.lint ## imports point downwards only
	$(BIN)/lint-imports

audit: $(VENV)/.lint ## known vulnerabilities in what constraints.txt pins, if osv.dev can be asked
	@.ci/audit $(BIN)/pip-audit

fuzz: $(VENV)/.fuzz ## look for inputs that break a parser; make fuzz SECONDS=60 ARGS=zips
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

settings: $(VENV)/.installed ## write docs/settings.md and the two ini files anew
	$(BIN)/pypicloud-lite settings > docs/settings.md
	$(BIN)/pypicloud-lite make-config --yes --force --development development.ini
	$(BIN)/pypicloud-lite make-config --yes --force --production production.ini

security: $(VENV)/.tests ## write the table of hostile inputs in docs/security.md anew
	$(BIN)/python -m tests.support.catalogue

scale: $(VENV)/.tests ## measure 1,000 to 1,000,000 files and write docs/scale.md; ARGS=--quick only tries it
	$(BIN)/python bench/scale.py $(ARGS)

bench: $(VENV)/.tests ## measure against Pyramid alone and peers, and write docs/performance.md; ARGS=--quick only tries it
	$(BIN)/python -m bench.speed $(ARGS)

clean: ## remove what the other targets made, but no packages
	rm -rf $(VENV) $(CLIENTS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz

PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py constraints.txt | $(VENV)/bin/python
	@echo "Installing pypicloud-lite into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.tests: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.tests
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test,lint]'
	@touch $@

# Without atheris, fuzzing goes on by chance.
$(VENV)/.fuzz: $(VENV)/.tests
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test,fuzz]' || echo "atheris can't be installed here"
	@touch $@

# The clients have dependencies of their own, which must not decide ours.
$(CLIENTS)/.installed: requirements-clients.txt
	@echo "Installing the clients that the tests run into $(CLIENTS) ..."
	@$(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --requirement requirements-clients.txt
	@touch $@
