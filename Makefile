# Two commands matter: `make run` and `make test`. What they need is installed into app/.venv, and for tests of roles into .venv-ansible.
PYTHON ?= python3.11
VENV := app/.venv
BIN := $(abspath $(VENV)/bin)
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(abspath app)

.DEFAULT_GOAL := help
.PHONY: help run installed test test-machines test-core test-cluster test-rest lint check-dependencies format bench soak chaos sim examples toolchains lock clean lab lab-up lab-down site controller deb reproducible packages host scenarios test-all test-site test-limits

# The lab: machines of inventories/lab on this host (root, systemd-nspawn; see molecule/shared/lab).
LAB := PYTHONPATH=$(abspath molecule/shared) $(PYTHON) -m lab
LAB_INVENTORY := inventories/lab/hosts.yml
ANSIBLE_VENV ?= .venv-ansible
ANSIBLE := $(abspath $(ANSIBLE_VENV)/bin)
RELEASE ?= bookworm
VERSION ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' app/caxton/__init__.py)
NEXT_VERSION := 9.9.9
DEB := $(abspath build/deb/$(RELEASE)/caxton_$(VERSION)_amd64.deb)
MACHINE_ROOMS := tests/ansible tests/infra tests/monitoring tests/packaging
CORE_ROOMS := tests/executor tests/router tests/store
CLUSTER_ROOMS := tests/chaos tests/cluster tests/sim tests/system/cluster
# Holds the path of the package that an upgrade comes from.
PREVIOUS := build/deb/$(RELEASE)/previous

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.installed ## start a node on 127.0.0.1:8080, deploy the examples, show an exchange, stay up
	@$(BIN)/python app/examples/run.py

installed: $(VENV)/.installed $(ANSIBLE_VENV)/.installed toolchains ## what runs, tests and builds: app/.venv, .venv-ansible, compilers

test: installed ## every test (or some: make test TESTS=tests/store)
	$(BIN)/python -m pytest $(TESTS)

# The parts of `make test`, which may run side by side. Each remembers by itself what failed (TESTS=--last-failed).
test-machines: ROOMS = $(MACHINE_ROOMS) ## a part of it: what boots machines, runs this host's daemons or Ansible
test-core: ROOMS = $(CORE_ROOMS) ## a part of it: router, executor, store
test-cluster: ROOMS = $(CLUSTER_ROOMS) ## a part of it: many nodes, what breaks between them
test-rest: ROOMS = $(addprefix --ignore=,$(MACHINE_ROOMS) $(CORE_ROOMS) $(CLUSTER_ROOMS)) ## a part of it: every other room
test-machines test-core test-cluster test-rest: installed
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$@ $(ROOMS) $(TESTS)

host: ## as root: install the Debian packages that the lab, the package and the tests of real daemons need
	sh packaging/host.sh packaging/host-packages.txt .ci/packages.txt

packages: export PIP := $(BIN)/python -m pip
packages: $(VENV)/.installed ## what tests install, and the image of their machines: this package, one to upgrade to, one from; root
	test -e $(DEB) || sh packaging/build.sh $(RELEASE) $(VERSION)
	CAXTON_BUILD_LINTIAN=no sh packaging/build.sh $(RELEASE) $(NEXT_VERSION)
	CAXTON_BUILD_LINTIAN=no sh packaging/previous.sh $(RELEASE) | tail -n 1 >$(PREVIOUS)
	$(LAB) image --release $(RELEASE)

scenario-%: export PATH := $(ANSIBLE):$(PATH)
scenario-%: export CAXTON_PACKAGE := $(DEB)
scenario-%: $(ANSIBLE_VENV)/.installed
	@test -e $(DEB) -a -s $(PREVIOUS) || { echo 'the packages for the machines are not there: make packages' >&2; exit 1; }
	CAXTON_PREVIOUS_PACKAGE=$$(cat $(PREVIOUS)) molecule test -s $*

scenarios: scenario-default scenario-cluster scenario-upgrade scenario-disaster_recovery ## the molecule scenarios, on lab machines; root, after make packages

test-all: host lint check-dependencies reproducible packages test scenarios test-site test-limits ## everything that CI runs, and what takes too long for it

test-site: $(VENV)/.installed $(ANSIBLE_VENV)/.installed ## ten runs of site.yml, and runs that are killed; root, after make packages
	$(BIN)/python -m pytest -m site tests/infra/test_site_runs.py

lint: export MYPYPATH := $(abspath app):$(abspath tests):$(abspath molecule/shared)
lint: $(VENV)/.installed $(ANSIBLE_VENV)/.installed ## ruff, mypy --strict, bandit, ansible-lint (profile production), yamllint
	$(BIN)/ruff check --config app/pyproject.toml app tests packaging molecule
	$(BIN)/ruff format --check --config app/pyproject.toml app tests packaging molecule
	cd app && $(BIN)/mypy
	$(BIN)/mypy --config-file app/pyproject.toml --explicit-package-bases -p support -p bench -p soak -p chaos -p sim -p lab
	$(BIN)/bandit --quiet --configfile app/pyproject.toml --recursive app/caxton packaging
	$(ANSIBLE)/yamllint --strict .
	PATH=$(ANSIBLE):$$PATH $(ANSIBLE)/ansible-lint --offline -q

check-dependencies: $(VENV)/.installed ## every lock file: pinned with hashes, nothing with a known vulnerability
	$(BIN)/python app/check_dependencies.py

format: $(VENV)/.installed ## ruff format
	$(BIN)/ruff check --fix --config app/pyproject.toml app tests packaging molecule
	$(BIN)/ruff format --config app/pyproject.toml app tests packaging molecule

bench: $(VENV)/.installed ## benchmarks against peers, in one run; prints tables, writes tests/bench/results/*.json
	cd app && $(BIN)/python -m bench $(BENCH)
bench: export PYTHONPATH := $(abspath app):$(abspath tests)

sim: $(VENV)/.installed ## registry and placement of 3 to 1,000 simulated nodes, as a table (smaller: SIM="--nodes N --agents N")
	cd app && $(BIN)/python -m sim $(SIM)
sim: export PYTHONPATH := $(abspath app):$(abspath tests)

chaos: $(VENV)/.installed ## as root: faults at random on a cluster under load, 5 minutes (longer: CHAOS="--seconds 3600"; again: CHAOS="--seed N")
	cd app && $(BIN)/python -m chaos $(CHAOS)
chaos: export PYTHONPATH := $(abspath app):$(abspath tests)

soak: $(VENV)/.installed ## a million executions of every kind with kills, then 100,000 instances; an hour (less: SOAK="--executions N --instances N")
	cd app && $(BIN)/python -m soak $(SOAK)
soak: export PYTHONPATH := $(abspath app):$(abspath tests)

examples: toolchains ## build the example agents into app/examples/build
	$(BIN)/python app/examples/build.py

toolchains: $(VENV)/.installed ## compilers of the examples that come from npm (C and Zig come with the environment, Rust from Debian)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(VENV)/npm/.installed; \
	else echo "npm is missing: the AssemblyScript example is not built"; fi

$(VENV)/npm/.installed: app/examples/package-lock.json
	mkdir -p $(VENV)/npm
	cp app/examples/package.json app/examples/package-lock.json $(VENV)/npm
	cd $(VENV)/npm && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

lock: $(VENV)/.installed ## resolve the dependencies of app/pyproject.toml anew, with hashes
	$(BIN)/python app/lock.py

deb: export PIP := $(BIN)/python -m pip
deb: $(VENV)/.installed ## build/deb/RELEASE/caxton_VERSION_amd64.deb (RELEASE=bookworm VERSION=as the program); root
	@sh packaging/build.sh $(RELEASE) $(VERSION)

reproducible: export PIP := $(BIN)/python -m pip
reproducible: $(VENV)/.installed ## build the package twice, elsewhere and otherwise, and compare the bytes; root
	@sh packaging/reproducible.sh $(RELEASE) $(VERSION)

test-limits: $(VENV)/.installed ## memory, processor and task limits in a virtual machine with a kernel of its own; root, minutes
	sh packaging/host.sh packaging/host-packages.txt tests/limits/packages.txt
	test -e $(DEB) || $(MAKE) deb
	$(BIN)/python -m pytest -m limits tests/limits -s

lab: lab-up ## boot the lab machines, build the package, apply playbooks/site.yml, say what to try
	$(MAKE) deb
	$(MAKE) site
	@$(LAB) list
	@echo 'API behind the balancers: curl --cacert /var/lib/caxton-lab/lab/inventory/certificates/trusted.crt https://10.42.0.100/ready'
	@echo 'a node by itself: curl --cacert /var/lib/caxton-lab/lab/inventory/certificates/trusted.crt https://10.42.0.11:8080/health'
	@echo 'log in: ssh -i /var/lib/caxton-lab/lab/id_ed25519 root@10.42.0.11    remove it all: make lab-down'

lab-up: $(ANSIBLE_VENV)/.installed ## boot the machines of inventories/lab: three nodes, two balancers
	$(ANSIBLE)/ansible-inventory -i $(LAB_INVENTORY) --list | $(LAB) up lab -

lab-down: ## remove the lab machines and everything of them
	$(LAB) down lab

site: $(ANSIBLE_VENV)/.installed ## apply playbooks/site.yml to the lab machines, again
	$(ANSIBLE)/ansible-playbook -i $(LAB_INVENTORY) -e caxton_node_package=$(DEB) playbooks/site.yml $(ARGS)

controller: $(ANSIBLE_VENV)/.installed ## .venv-ansible: what runs the playbooks, the scenarios and their linters

$(ANSIBLE_VENV)/.installed: molecule/requirements.txt
	$(PYTHON) -m venv $(ANSIBLE_VENV)
	$(ANSIBLE)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(VENV)/.installed: app/requirements-dev.txt app/requirements-programs.txt app/bootstrap.sh
	PYTHON=$(PYTHON) sh app/bootstrap.sh $(VENV)

clean: ## remove what was built and installed here (never data)
	rm -rf $(VENV) $(ANSIBLE_VENV) app/examples/build
