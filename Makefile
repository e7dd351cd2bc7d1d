# Every task of the project; `make` alone lists them. Works with GNU make 3.81, which macOS has.

TARGET ?= sqlite
ROWS ?= 1000000
# Name another Python here, should none of these be the right one: make demo PYTHON=/opt/python3.12/bin/python3
PYTHON ?=

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo ui test benchmark format clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## list the tasks
	@awk -F ':.*## ' '/^[.a-z][a-z]*:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## migrate a realistic legacy database (TARGET=sqlite or TARGET=postgres)
	@$(BIN)/accounts-migration demo --target $(TARGET)

ui: $(INSTALLED) ## open the Dagster UI, with its daemon, on 127.0.0.1
	@$(BIN)/accounts-migration ui

test: $(INSTALLED) ## everything that CI runs
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/dagster definitions validate
	$(BIN)/python -m pytest -n 2 --dist worksteal

benchmark: $(INSTALLED) ## time the migration against the fastest possible (ROWS=1000000)
	@$(BIN)/python -m benchmarks.run --rows $(ROWS)

format: $(INSTALLED) ## format the code, and mend what ruff can mend
	$(BIN)/python -m ruff format
	$(BIN)/python -m ruff check --fix

clean: ## remove the environment and what the tools left behind; var/ stays, it may hold a migration
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(INSTALLED) ## the environment alone

# The stamp is written last: an interrupted installation is done again.
$(INSTALLED): pyproject.toml setup.cfg constraints.txt
	@fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; \
	chosen=; working=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
		if "$$python" -c "$$fits" >/dev/null 2>&1; then \
			chosen="$${chosen:-$$python}"; \
			if "$$python" -c 'import ensurepip, ssl, sqlite3, venv' >/dev/null 2>&1; then \
				working="$$python"; break; \
			fi; \
		fi; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo "Cannot make $(VENV): there is no Python 3.11, 3.12 or 3.13 here$(if $(PYTHON), under $(PYTHON))." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if [ -z "$$working" ]; then \
		echo "Cannot make $(VENV): $$chosen comes without the modules that an environment needs." >&2; \
		echo "Debian and Ubuntu keep them in a package of their own: apt-get install python3-venv" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$working"; \
	rm -rf $(VENV) && "$$working" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,embedded]'
	@# pip compiles what it installs, and not this folder; where the environment keeps Python from writing bytecode
	@# (PYTHONDONTWRITEBYTECODE), every command would compile it anew
	@$(BIN)/python -m compileall -q accounts_migration accounts_migration_tests benchmarks
	@touch $@
