# Everything a developer does here. `make help` lists it. POSIX sh; every target may be repeated: stamps say what is done already.

.POSIX:
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help setup lock

BIN = .venv/bin
UV = $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --no-header pyproject.toml

# Stamps. They stand in what they vouch for, so that removing the folder forgets them.
TOOLS_STAMP = .venv/.stamp-tools
RUN_STAMP = .venv/.stamp-run
DEV_STAMP = .venv/.stamp-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(DEV_STAMP) ## the environment in .venv, with what tests and checks need

# An environment, by the first way that this machine allows, with uv in it.
$(TOOLS_STAMP): requirements-build.lock
	@set -eu; \
	say() { printf '%s\n' "$$*" >&2; }; \
	python=; \
	for name in $${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -x $(UV) ] && $(BIN)/python -c '' 2>/dev/null; then \
	  $(INSTALL) --require-hashes -r requirements-build.lock; \
	elif command -v uv >/dev/null; then \
	  uv venv --quiet --clear --python "$${python:->=3.11}" .venv; \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-build.lock; \
	elif [ -z "$$python" ]; then \
	  say "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3.11 setup"; exit 1; \
	elif "$$python" -c 'import ensurepip' 2>/dev/null; then \
	  "$$python" -m venv --clear .venv; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock; \
	elif "$$python" -m pip --version >/dev/null 2>&1; then \
	  rm -rf .venv .bootstrap; \
	  "$$python" -m pip install --quiet --disable-pip-version-check --target .bootstrap --require-hashes -r requirements-build.lock; \
	  PYTHONPATH=.bootstrap "$$python" -m uv venv --quiet --python "$$python" .venv; \
	  PYTHONPATH=.bootstrap "$$python" -m uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-build.lock; \
	  rm -rf .bootstrap; \
	else \
	  say "This Python can make no environment (no ensurepip, no pip). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; \
	fi; \
	touch $@

$(RUN_STAMP): $(TOOLS_STAMP) requirements.lock pyproject.toml
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements-dev.lock
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

lock: $(TOOLS_STAMP) ## resolve the packages anew into the lock files
	$(COMPILE) --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE:pyproject.toml=) --upgrade --group build --output-file requirements-build.lock
	$(COMPILE:pyproject.toml=) --upgrade --group node --output-file requirements-node.lock
