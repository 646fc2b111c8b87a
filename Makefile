# Everything a contributor runs. `make help` lists it.
#
#   PYTHON=python3.12   which interpreter the environment is made with (default: the first one that is new enough)
#   VENV=.venv-3.13     where the environment lives
#   ARGS="-k syslog"    passed on to `make demo` and `make test`
#   JOBS=4              test processes

VENV   ?= .venv
JOBS   ?= 2
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
UV     ?= $(or $(wildcard $(VENV)/bin/uv),uv)

BIN  := $(VENV)/bin
TEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
PIP  := $(BIN)/python -m pip -qq --disable-pip-version-check
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test bench soak check format lock wheel clean deb rpm bundle sbom audit azure sentinel splunk inspect

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.runtime ## a simulated tenant, its change events and why they happened; needs no credentials
	@$(BIN)/securescore demo $(ARGS)

test: $(VENV)/.dev ## the tests, but for the long ones; a quarter of the examples of every property
	@SECURESCORE_FUZZ=$${SECURESCORE_FUZZ:-0.25} $(TEST) -m "not long" $(ARGS)

bench: $(VENV)/.bench ## performance beside rivals: a table, then one JSON object (ARGS=--quick only proves that it runs)
	@$(BIN)/python -m tests.bench $(ARGS)

soak: $(VENV)/.dev ## kill -9 of the real daemon, 10,000 times (hours; ARGS="--kills 500", ARGS="--seconds 1800")
	@$(BIN)/python -m tests.crash.soak $(ARGS)

check: $(VENV)/.dev ## formatting, lint, types, import rules, then all tests, the long ones too
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@SECURESCORE_FUZZ=$${SECURESCORE_FUZZ:-1} $(MAKE) --no-print-directory test
	@$(TEST) -m long

format: $(VENV)/.dev ## put the sources into their canonical form
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lock: ## resolve the lock files again (maintainers; needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(LOCK) --all-extras $(ARGS) pyproject.toml -o requirements-dev.lock
	@$(LOCK) --constraint requirements-dev.lock --extra fast --extra mail pyproject.toml -o requirements.lock
	@sed -n 's/^requires = \[\(.*\)\]$$/\1/p' pyproject.toml | tr -d '",' | tr ' ' '\n' \
	  | $(LOCK) --constraint requirements-dev.lock - -o requirements-build.lock
	@$(LOCK) --constraint requirements-dev.lock --extra azure --extra fast --extra mail --extra sentinel pyproject.toml \
	  -o packaging/container/requirements.lock
	@$(LOCK) --constraint requirements-dev.lock --group bench -o tests/bench/requirements.lock
	@$(LOCK) --constraint requirements-dev.lock --group msgraph -o tests/requirements-msgraph.lock
	@$(LOCK) --group trestle -o tests/real/requirements-trestle.lock
	@$(LOCK) --group kusto -o tests/real/requirements-kusto.lock
	@$(LOCK) packaging/tools/requirements-arm-shapes.in -o packaging/tools/requirements-arm-shapes.lock
	@$(UV) pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux_2_28 --generate-hashes \
	  --no-annotate --no-header --constraint requirements-dev.lock packaging/azure/requirements.in \
	  -o packaging/azure/requirements.lock
	@for each in tests/real/npm/*/; do \
	  (cd "$$each" && npm install --package-lock-only --omit-lockfile-registry-resolved --silent) || exit 1; \
	done

wheel: $(VENV)/.runtime ## dist/*.whl
	@$(PIP) wheel --no-deps --no-build-isolation --no-index --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove the environment, caches and everything built
	@rm -rf $(VENV) build dist demo output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment in three steps, each remembered by a file so that a second run starts at once.

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Preparing $(VENV) with $$("$$python" --version); this happens once." >&2; \
	    "$$python" -m venv --clear $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "error: $$python could not make a virtual environment (on Debian: apt-get install python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "error: no Python 3.11 or newer among: $(PYTHON)" >&2; \
	echo "       Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1

$(VENV)/.runtime: $(VENV)/pyvenv.cfg requirements.lock requirements-build.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.bench: $(VENV)/.dev tests/bench/requirements.lock
	@$(PIP) install --require-hashes -r tests/bench/requirements.lock
	@touch $@

# Host packages (packaging/host). HOST_PYTHON is the target's own interpreter: one build for each of its minor versions.

HOST_PYTHON ?= /usr/bin/python3
HOST_BUILD  := $(BIN)/python packaging/host/build.py --python $(HOST_PYTHON)

deb: $(VENV)/.runtime ## dist/*.deb for this Debian or Ubuntu release
	@$(HOST_BUILD) deb

rpm: $(VENV)/.runtime ## dist/*.rpm for the same interpreter (needs rpmbuild)
	@$(HOST_BUILD) rpm

bundle: $(VENV)/.runtime ## dist/*-offline-*.tar.gz: wheels, hashes and an installer for hosts without a network
	@$(HOST_BUILD) bundle

sentinel: $(VENV)/.runtime ## dist/*-sentinel-content.json: rules, parsers, queries and workbook as one ARM template
	@$(BIN)/python packaging/azure/sentinel/build.py

azure: $(VENV)/.runtime ## dist/secure-score-connector-azure.zip: the Azure Functions app, for Python 3.13 on Linux x86-64
	@$(BIN)/python packaging/azure/build.py

sbom: $(VENV)/.runtime build/.sbom build/.ucc-gen ## all packages, each with its bill of materials (CycloneDX)
	@rm -rf build/tree
	@build/.sbom/bin/python packaging/tools/sbom.py --tree build/tree $$($(HOST_BUILD) deb rpm bundle --tree build/tree)
	@build/.sbom/bin/python packaging/tools/sbom.py $$($(BIN)/python packaging/azure/build.py) \
	  $$($(BIN)/python packaging/splunk/build.py addon --ucc build/.ucc-gen/bin/ucc-gen)

build/.sbom: $(VENV)/.runtime packaging/tools/requirements-sbom.lock
	@$(BIN)/python -m venv --clear $@
	@$@/bin/pip install -qq --disable-pip-version-check --require-hashes -r packaging/tools/requirements-sbom.lock

audit: $(VENV)/.dev ## the locked dependencies: hashes, and known weaknesses (ARGS="--advisories FILE", OSV format)
	@$(BIN)/python packaging/tools/audit.py $(ARGS)

# Splunk packages (packaging/splunk). Each of Splunk's tools has an environment of its own; AppInspect needs Splunk's Python.

PYTHON313 ?= python3.13

splunk: $(VENV)/.runtime build/.ucc-gen ## dist/TA_ms_secure_score-*.tar.gz, and the knowledge package for sites fed by HEC
	@$(BIN)/python packaging/splunk/build.py addon knowledge --ucc build/.ucc-gen/bin/ucc-gen

inspect: splunk build/.splunk-appinspect ## both Splunk packages through Splunk's AppInspect (needs python3.13 and libmagic1)
	@$(BIN)/python packaging/splunk/inspect_packages.py --tool build/.splunk-appinspect/bin/splunk-appinspect dist/*secure_score*.tar.gz

build/.ucc-gen: $(VENV)/.runtime packaging/splunk/requirements-ucc.lock
	@$(BIN)/python -m venv --clear $@
	@$@/bin/pip install -qq --disable-pip-version-check --require-hashes -r packaging/splunk/requirements-ucc.lock

build/.splunk-appinspect: packaging/splunk/requirements-appinspect.lock
	@$(PYTHON313) -m venv --clear $@
	@$@/bin/pip install -qq --disable-pip-version-check --require-hashes -r packaging/splunk/requirements-appinspect.lock
