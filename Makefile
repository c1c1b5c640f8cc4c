# Two commands matter: `make demo` and `make test`. Both install what they need first.
SHELL := /bin/sh
PYTHON := .venv/bin/python
PYTEST := .venv/bin/pytest
JOBS ?= 2
# Whole files, for what their tests share; in the order of tests/conftest.py, the longest first.
BY_FILE = --dist loadfile --no-loadscope-reorder
CORPUS ?=
BENCH ?=
RPMBUILD ?=
# Python keeps what it compiled: without, every test process compiles all of the tests and of the tool anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup check lint types test test-all test-unit coverage test-program test-image test-boot test-faults test-corpus demo bench docs site wheel deb rpm zipapp \
	man test-hosts test-packages clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## install system packages and make the virtual environment
	@tools/setup.sh full

lint: setup ## ruff: lint and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup ## mypy, strict
	.venv/bin/mypy

check: lint types ## lint and types

test-unit: setup ## seconds: no appliance
	$(PYTEST) tests/unit -q -n $(JOBS) --dist worksteal

coverage: setup ## what unit tests reach of the rooms that read and write: 90 % of the lines, or it fails
	$(PYTHON) -m pip install -q -e ".[coverage]"
	mkdir -p build
	.venv/bin/coverage run -m pytest tests/unit -q
	.venv/bin/coverage report

test-program: setup ## a minute: the program as its users start it, no appliance
	$(PYTEST) tests/program -q -n $(JOBS) --dist worksteal

test-image: setup ## real images in the appliance
	$(PYTHON) -m fixtures build --tests
	$(PYTEST) tests/image tests/fault -q -n $(JOBS) $(BY_FILE)

test-boot: setup ## real boots under qemu
	$(PYTHON) -m fixtures build --tests
	$(PYTEST) tests/boot -q -n $(JOBS) $(BY_FILE)

test: check ## everything that must pass: lint, types, unit, program, oracle, limits, image, fault and boot tests
	CORPUS=$(CORPUS) $(PYTEST) tests/unit tests/program tests/oracle tests/limits -q -n $(JOBS) --dist worksteal -m "not long"
	$(PYTHON) -m fixtures build --tests
	CORPUS=$(CORPUS) $(PYTEST) tests/image tests/fault tests/boot -q -n $(JOBS) $(BY_FILE) -m "not long" --durations=20

test-all: test ## the same, the fuzz of every parser at its real limits, and the long tests of many launches
	GUESTREPAIR_TEST_DEPTH=thorough $(PYTEST) tests/unit/formats tests/oracle/filesystems tests/limits -q -n $(JOBS)
	CORPUS=$(CORPUS) GUESTREPAIR_TEST_DEPTH=thorough $(PYTEST) tests/oracle tests/image tests/fault tests/boot -q -n $(JOBS) $(BY_FILE) -m long

test-faults: setup ## the fault tests: a kill at every step, and 1,000 more at random moments
	GUESTREPAIR_FAULT_RUNS=1000 $(PYTEST) tests/fault -q -n $(JOBS)

test-corpus: setup ## published images: make test-corpus CORPUS=DIR
	@test -n "$(CORPUS)" || { echo "say where the images are: make test-corpus CORPUS=DIR" >&2; exit 2; }
	CORPUS=$(CORPUS) $(PYTEST) tests -q -m corpus

demo: setup ## build a broken server, find what is wrong, repair it, show what changed
	@tools/demo.sh

bench: setup ## measure, side by side with the peers, into benchmarks/RESULTS.md (a quiet machine, about half an hour)
	$(PYTHON) -m fixtures build debian-server demo
	$(PYTHON) -m benchmarks $(BENCH)

docs: setup ## the rules' pages, from their declarations
	$(PYTHON) tools/rule_pages.py docs/rules

site: setup ## build/site: the documentation as a site, searchable without a network
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

wheel: man ## dist/: a wheel and the sdist that it can be made of
	$(PYTHON) -m build --outdir dist

deb: ## dist/: a Debian package (as root or with sudo: installs what its build takes)
	@tools/setup.sh packages
	@tools/deb.sh

rpm: wheel ## dist/: an rpm package (elsewhere than on Fedora and RHEL: make rpm RPMBUILD=--nodeps)
	RPMBUILD=$(RPMBUILD) tools/rpm.sh

zipapp: setup ## dist/guestrepair.pyz: one file, for a host that has Python and libguestfs's bindings
	$(PYTHON) tools/make_zipapp.py dist/guestrepair.pyz

test-hosts: ## this checkout in fresh roots of Debian 13 and sid: setup, demo, unit tests, some image tests (root; half an hour)
	tools/test_hosts.sh

test-packages: wheel deb zipapp ## each package, installed in fresh roots of Debian 12 and 13, and used there (root)
	tools/test_packages.sh

man: setup ## build/man: a manual page for every command, from its declarations
	$(PYTHON) tools/man_pages.py build/man

clean: ## remove what was built, the image cache included
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache build dist
