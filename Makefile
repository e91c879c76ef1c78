# Two commands matter: `make run` and `make test`. Everything they need is installed into app/.venv.
PYTHON ?= python3.11
RELEASE ?= bookworm
VERSION ?=
VENV := app/.venv
BIN := $(abspath $(VENV)/bin)
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(abspath app)

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench examples lock clean deb reproducible test-packaging

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.installed ## start a node on 127.0.0.1:8080, deploy the examples, show an exchange, stay up
	@$(BIN)/python app/examples/run.py

test: $(VENV)/.installed ## every test (or some: make test TESTS=tests/store)
	$(BIN)/python -m pytest $(TESTS)

lint: export MYPYPATH := $(abspath app):$(abspath tests)
lint: $(VENV)/.installed ## ruff and mypy --strict, of the package and of the tests' helpers
	$(BIN)/ruff check --config app/pyproject.toml app tests
	$(BIN)/ruff format --check --config app/pyproject.toml app tests
	cd app && $(BIN)/mypy
	$(BIN)/mypy --config-file app/pyproject.toml --explicit-package-bases -p support -p bench

format: $(VENV)/.installed ## ruff format
	$(BIN)/ruff check --fix --config app/pyproject.toml app tests
	$(BIN)/ruff format --config app/pyproject.toml app tests

bench: $(VENV)/.installed ## benchmarks against peers, in one run; prints tables, writes tests/bench/results/*.json
	cd app && $(BIN)/python -m bench $(BENCH)
bench: export PYTHONPATH := $(abspath app):$(abspath tests)

examples: $(VENV)/.installed ## build the example agents into app/examples/build
	$(BIN)/python app/examples/build.py

lock: $(VENV)/.installed ## resolve the dependencies of app/pyproject.toml anew, with hashes
	$(BIN)/python app/lock.py

deb: export PIP := $(BIN)/python -m pip
deb: $(VENV)/.installed ## build/deb/RELEASE/caxton_VERSION_amd64.deb (RELEASE=bookworm VERSION=as the program); root
	@sh packaging/build.sh $(RELEASE) $(VERSION)

reproducible: export PIP := $(BIN)/python -m pip
reproducible: $(VENV)/.installed ## build the package twice, elsewhere and otherwise, and compare the bytes; root
	@sh packaging/reproducible.sh $(RELEASE) $(VERSION)

$(VENV)/.installed: app/requirements-dev.txt app/requirements-programs.txt app/bootstrap.sh
	PYTHON=$(PYTHON) sh app/bootstrap.sh $(VENV)

clean: ## remove what was built and installed here (never data)
	rm -rf $(VENV) app/examples/build
