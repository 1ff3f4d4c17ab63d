# Two commands: `make demo` shows the main job, `make test` checks everything. Both set up what they need in
# .venv on a machine that has Python 3.11 or newer and pip; stamp files make repeats instant.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO   := runs/demo

.PHONY: demo test lint types layers unit wheel clean

demo: .stamps/demo
	$(BIN)/fpsim simulate --quant e4m3/e4m3 --quant int8/int8 --quant e2m1/e4m3 --quant int4/int8 \
	    --steps 20 --num-images 16 --out $(DEMO)

test: lint types layers unit wheel

lint: .stamps/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .stamps/test
	$(BIN)/mypy

layers: .stamps/test
	$(BIN)/lint-imports

unit: .stamps/test
	$(BIN)/python -m pytest -n 2 --dist loadfile

wheel: .stamps/test
	rm -rf dist build
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(BIN)/python tests/check_wheel.py dist

clean:
	rm -rf $(VENV) .stamps build dist *.egg-info

.stamps/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fpsim needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(@D) && touch $@

# The editable install follows the sources by itself; only changed requirements need another one.
.stamps/demo: .stamps/venv pyproject.toml constraints.txt
	$(PIP) -e '.[models,plot]'
	@touch $@

.stamps/test: .stamps/demo
	$(PIP) -e '.[models,plot,dev]'
	@touch $@
