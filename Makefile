# Two commands: `make demo` shows the main job, `make test` checks everything. Both set up what they need in
# .venv on a machine that has Python 3.11 or newer and pip; stamp files make repeats instant.

PYTHON ?= python3
VENV   := .venv
PEERS  := .venv-peers
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO   := runs/demo

.PHONY: demo test lint types layers unit wheel bench-peers exhaustive clean

demo: $(VENV)/.stamp-demo
	$(BIN)/fpsim simulate --quant e4m3/e4m3 --quant int8/int8 --quant e2m1/e4m3 --quant int4/int8 \
	    --steps 20 --num-images 16 --overwrite --out $(DEMO)

test: lint types layers unit wheel

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.stamp-test
	$(BIN)/mypy

layers: $(VENV)/.stamp-test
	$(BIN)/lint-imports

unit: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

wheel: $(VENV)/.stamp-test
	rm -rf dist build && mkdir dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > dist/build.log 2>&1 || { cat dist/build.log; exit 1; }
	$(BIN)/python tests/check_wheel.py dist

# The peers live in a folder of their own beside the environment, which serves them with its torch. An environment that
# exists stays as it is.
bench-peers: $(PEERS)/failed.json
	$(BIN)/python tests/bench/bench_peers.py --folder $(PEERS)

$(PEERS)/failed.json: $(if $(wildcard $(BIN)/python),,$(VENV)/.stamp-test) tests/bench/peers/requirements.txt
	$(BIN)/python tests/bench/peers/install.py $(PEERS)

# Minutes: all 2^32 float32 numbers through formats and modes. An interrupted run goes on where it stopped.
exhaustive: SHELL := bash
exhaustive: $(VENV)/.stamp-test
	set -o pipefail; OMP_NUM_THREADS=1 $(BIN)/python experiments/exhaustive_float32.py \
	    | tee experiments/results/exhaustive_float32.txt

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info

$(VENV)/.stamp-venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fpsim needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The editable install follows the sources by itself; only changed requirements need another one.
$(VENV)/.stamp-demo: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(PIP) -e '.[models,plot]'
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-demo
	$(PIP) -e '.[models,plot,dev]'
	@touch $@
