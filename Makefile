# Every task of this repository. `make help` lists them.

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
# Debian packages.
PROGRAMS := chromium gcc libpython3.11-testsuite sqlite3 stress-ng valgrind
# Of the running interpreter's own tools only, whatever the shell has activated.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help setup programs demo bench eviction lab test test-rust test-python soak lint format man clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/built ## Make .venv and build the package into it, optimised

$(VENV)/made: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group dev
	touch $@

$(VENV)/built: $(VENV)/made $(RUST_SOURCES)
	$(BIN)/maturin develop --release --locked --extras demo,lab --quiet
	touch $@

programs: $(VENV)/programs ## Install what tests run under zpager: as root what Debian has, too

$(VENV)/programs: $(VENV)/built
	$(BIN)/pip install --quiet --group programs --group compare
	if [ "$$(id -u)" = 0 ] && command -v apt-get; then \
		apt-get update -qq; for program in $(PROGRAMS); do \
		apt-get install -y -qq $$program || echo "$$program is not installed; its tests skip"; done; fi
	touch $@

demo: setup ## Run the RFC's contest on this machine's memory: about a minute
	$(BIN)/zpager demo

bench: $(VENV)/bench ## Measure zpager beside the kernel's swap and others: 50 minutes; as root for all of it
	mkdir -p docs/bench
	$(BIN)/python -m bench --json docs/bench/results.json --plot docs/bench/ratios.svg

$(VENV)/bench: $(VENV)/built
	$(BIN)/pip install --quiet --group bench
	touch $@

eviction: setup ## Measure policies, pool limits and mechanisms for docs/eviction.md: 25 minutes
	$(BIN)/python -m bench.eviction

test: test-rust test-python ## Run all tests

test-rust:
	cargo test --locked --workspace --exclude zpager-python

test-python: setup
	$(BIN)/python -m pytest

lab: setup ## Replay the RFC's patch and its questions for docs/rfc.md, and print the report's address: 5 minutes at most
	$(BIN)/zpager lab rfc -o target/lab-rfc --page docs/rfc.md

soak: setup ## Run the tests that take long
	SIMULATION_OPERATIONS=20000000 cargo test --locked -p zpager-core --test simulation
	FAILING_SEEDS=20 cargo test --locked -p zpager-core --test failing_operations
	$(BIN)/python -m pytest -m soak

lint: setup ## Check formats, lints and types
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest zpager._core --allowlist tests/python/stubtest_allowlist.txt --ignore-unused-allowlist

format: setup ## Put everything into the format that lint wants
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

man: setup ## Write the man pages anew from the commands' own words
	$(BIN)/python manual/pages.py

clean: ## Remove what setup and the builds made
	rm -rf $(VENV) target
