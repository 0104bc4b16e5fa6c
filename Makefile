# Everything a developer does here; `make` alone lists it. POSIX sh; every target may be repeated: stamps say what is done already.

.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help setup web run demo check test lua machine browser load diagram pictures lock wheel clean

# Compiled modules are kept, whatever the environment says: without them every start compiles ten seconds' worth of packages.
unexport PYTHONDONTWRITEBYTECODE

BIN = .venv/bin
UV = $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
COMPILE = $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
NPM = $(BIN)/python hatch_build.py
PYTEST = $(BIN)/python -m pytest

# Stamps stand in what they vouch for, so that removing a folder forgets what was done in it.
TOOLS = .venv/.stamp-tools
RUN = .venv/.stamp-run
DEV = .venv/.stamp-dev
NODE = .venv/.stamp-node
NODE_MODULES = node_modules/.stamp
PAGES = queue_service/static/.stamp
PAGE_SOURCES = $(shell find queue_service/web queue_service/texts counters/web displays/web -type f 2>/dev/null) \
	$(wildcard vite.config.ts svelte.config.js tsconfig.json)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(DEV) ## the environment in .venv, with what tests and checks need

web: $(PAGES) ## the pages, built into queue_service/static

run: $(RUN) $(PAGES) ## start the service; its settings are QUEUE_… names in the environment
	@exec $(BIN)/queue-service run

demo: $(RUN) $(PAGES) ## start the service with visitors and staff who play a day
	@exec $(BIN)/queue-service run --demo

check: $(DEV) ## seconds: format, lint, types, unused packages, pages' types, pure and house tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/deptry --no-ansi .
	if [ -d node_modules ]; then $(NPM) run --silent check; fi
	$(PYTEST) -q -p no:schemathesis tests/pure tests/house

test: $(DEV) $(PAGES) ## everything but load; pages in a browser when a Chromium is on PATH
	@status=0; \
	$(call TESTED,-n 4,--ignore=tests/browser) || status=$$?; \
	$(BROWSER_TESTS) || status=$$?; \
	exit $$status

# A busy neighbour fails a test that waits for a screen; a fault fails it again when it is alone.
TESTED = { $(PYTEST) $(1) --dist worksteal $(2) || { \
	  echo 'What failed is tried once more, one after the other.' >&2; \
	  $(PYTEST) --last-failed --last-failed-no-failures none $(2); \
	}; }

# Pages are tested in processes of their own: the browser's driver keeps an event loop running, under which no other test could start one.
# Without a Chromium they cannot run; a machine that should have one says so with CHROMIUM=needed.
BROWSER_TESTS = \
	if [ "$${CHROMIUM:-}" = needed ] || \
	   for name in chromium-headless-shell chromium chromium-browser google-chrome; do command -v $$name; done | grep -q .; then \
	  $(call TESTED,-n 3,tests/browser); \
	else \
	  echo 'No Chromium on PATH: tests/browser is left out.' >&2; \
	fi

lua: $(DEV) ## compile the functions, file by file and joined
	@if command -v luac >/dev/null; then luac -p queue_service/lua/*.lua; fi
	@if command -v luacheck >/dev/null; then \
	  $(BIN)/python -c 'from queue_service.library import source; print(source().partition("\n")[2], end="")' | \
	    luacheck --quiet --std lua51 --globals redis server cjson cmsgpack bit struct --no-max-line-length -; \
	fi
	$(PYTEST) -q tests/lua

machine: $(DEV) ## random histories against the reference model, many of them
	$(PYTEST) -q --hypothesis-profile=thorough --timeout=1800 tests/machine

browser: $(DEV) $(PAGES) ## the pages in a headless Chromium
	$(PYTEST) -q tests/browser

load: $(RUN) ## measure from the planned press to the screen: make load LOAD='…' passes words on
	$(BIN)/python -m loadtest $(LOAD)

diagram: $(RUN) ## a ticket's and a dossier's life, drawn from their tables (Mermaid)
	@$(BIN)/python -m queue_service.tickets
	@$(BIN)/python -m queue_service.dossiers

pictures: $(DEV) $(PAGES) ## the documents' pictures, taken from a running hall
	@$(BIN)/python docs/pictures/take.py

wheel: $(TOOLS) $(NODE_MODULES) ## a source archive and a wheel with the pages in it, in dist
	$(UV) build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

lock: $(TOOLS) ## resolve the packages anew into the lock files
	$(COMPILE) pyproject.toml --extra voice --output-file requirements.lock
	$(COMPILE) pyproject.toml --all-extras --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --output-file requirements-build.lock
	$(COMPILE) --group node --output-file requirements-node.lock

clean: ## remove what make made; data in var stay
	rm -rf .venv .bootstrap node_modules queue_service/static dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find queue_service counters displays loadtest tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment, by the first way that this machine allows, with uv in it.
$(TOOLS): requirements-build.lock
	@set -eu; \
	say() { printf '%s\n' "$$*" >&2; }; \
	python=; \
	for name in $${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -n "$$python" ] && ! command -v uv >/dev/null && ! "$$python" -c 'import ensurepip' 2>/dev/null && \
	   ! "$$python" -m pip --version >/dev/null 2>&1 && command -v apt-get >/dev/null; then \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -n'; \
	  if $$sudo true 2>/dev/null; then $$sudo apt-get install -y -qq python3-venv >/dev/null || :; fi; \
	fi; \
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
	  say "$$python can make no environment: it has no ensurepip and no pip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; \
	fi; \
	touch $@

$(RUN): $(TOOLS) requirements.lock pyproject.toml hatch_build.py
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN) requirements-dev.lock
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# Node.js from a wheel, where the machine has none that is new enough.
$(NODE): $(TOOLS) requirements-node.lock
	@$(NPM) --version >/dev/null 2>&1 || $(INSTALL) --require-hashes -r requirements-node.lock
	@touch $@

$(NODE_MODULES): package.json package-lock.json .npmrc | $(NODE)
	@$(NPM) ci --silent --no-progress
	@touch $@

$(PAGES): $(NODE_MODULES) $(PAGE_SOURCES)
	@$(NPM) run --silent build -- --logLevel warn
	@touch $@
