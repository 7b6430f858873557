# Two commands are enough: `make book` and `make test`. `make help` lists the others.
# Each target does its own set-up in .venv, and does again only what has changed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Which PyTorch: empty takes what the package index gives (with CUDA on Linux); `make book TORCH=cpu` takes the much
# smaller wheels without CUDA. Any folder of https://download.pytorch.org/whl/ works. Only the first installation looks.
TORCH ?=

# One thread keeps the printed numbers the same from machine to machine.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS
# The kernel of .venv, whatever kernels the user has installed elsewhere; no question of the debugger's.
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

READY     := $(VENV)/.ready
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9][0-9]_*.ipynb))
BOOK      := build/book
EXECUTED  := $(NOTEBOOKS:%=$(BOOK)/%)
HTML      := $(BOOK)/_build/html
MACHINES  := OMP_NUM_THREADS=1 OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 \
             ONEDNN_MAX_CPU_ISA=SSE41 ONEDNN_MAX_CPU_ISA=AVX2
BUILT     := $(BOOK)/.built
MODULE    := $(wildcard spoco_lite/*.py spoco_lite/*/*.py spoco_lite/*/*/*.py)
DATA      := $(shell find data -type f 2>/dev/null)
PAGES     := _config.yml _toc.yml $(wildcard book/* book/*/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv unit lint nbval nbval-machines notebooks book check test bench refresh serve lab clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | \
	    awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

venv: $(READY)  ## install everything into .venv (TORCH=cpu: PyTorch without CUDA; PYTHON=python3.12: that one)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is not. Try: make PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
ifneq ($(strip $(TORCH)),)
	$(BIN)/python -m pip install "$$(grep '^torch==' requirements.txt)" \
	    --index-url https://download.pytorch.org/whl/$(strip $(TORCH))
endif
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

lint: $(READY)  ## style of the Python files (ruff), form of the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

unit: $(READY)  ## unit tests and doctests
	$(BIN)/pytest -q -m "not built and not browser"

nbval: $(READY)  ## run the committed notebooks and compare with their committed outputs
	$(BIN)/pytest --nbval notebooks/

# Each variable makes this processor compute as another would: other vector units, other sums, other last digits.
nbval-machines: $(READY)  ## the same as other processors would, three times each (before a release; some hours)
	@failed=; for pass in 1 2 3; do for machine in $(MACHINES); do \
	    echo "== $$machine, pass $$pass of 3"; \
	    env $$machine $(BIN)/pytest -q --nbval notebooks/ || failed="$$failed $$machine"; done; done; \
	[ -z "$$failed" ] || { echo "Not green:$$failed"; exit 1; }

notebooks: $(EXECUTED)  ## execute copies of the notebooks (quick profile) into build/book/notebooks

# papermill writes as it goes; only a finished copy takes the name that the book is built from.
$(BOOK)/notebooks/%.ipynb: notebooks/%.ipynb $(MODULE) $(DATA) | $(READY)
	@mkdir -p $(@D) build/executing
	@echo "== $< ($$(printf '%s\n' $(NOTEBOOKS) | grep -nxF $< | cut -d: -f1) of $(words $(NOTEBOOKS)))"
	@start=$$(date +%s); [ -t 2 ] && bar=--progress-bar || bar=--no-progress-bar; \
	$(BIN)/papermill $< build/executing/$*.ipynb --kernel python3 --cwd notebooks --execution-timeout 600 $$bar \
	    || { echo "It stopped; the copy shows where: build/executing/$*.ipynb"; exit 1; }; \
	mv build/executing/$*.ipynb $@; echo "   took $$(( $$(date +%s) - start )) s"

# The build folder mirrors the repository, so that the links to GitHub and Colab come out right.
# --all: pages of a removed or renamed chapter must not survive in the navigation.
$(BUILT): $(EXECUTED) $(PAGES) $(DATA) | $(READY)
	@rm -rf $(BOOK)/book $(BOOK)/_build $(filter-out $(EXECUTED),$(wildcard $(BOOK)/notebooks/*))
	@mkdir -p $(BOOK)
	@cp -R book _config.yml _toc.yml $(BOOK)/
	$(BIN)/python book/pages $(BOOK)/book/*.md
	$(BIN)/jupyter-book build $(BOOK) --all -W -n --keep-going
	@touch $@

book: $(BUILT)  ## execute the notebooks, build the book, print the page to open
	@echo
	@echo "The book is ready. Open this page: $(abspath $(HTML))/index.html"

check: $(BUILT)  ## check the built pages, and the figures that answer, in a browser if Chromium is installed
	$(BIN)/pytest -q -rs tests/test_book.py
	$(BIN)/pytest -q -rs -m browser tests

test: lint unit nbval book check  ## all of the above: what guards the project
	@echo "Everything passed."

# All processors, unlike elsewhere.
bench: $(READY)  ## measure speed and memory beside their peers, and write data/benchmarks (half an hour; leave the machine alone)
	OMP_NUM_THREADS=$$(getconf _NPROCESSORS_ONLN) $(BIN)/python tests/benchmarks/run.py

refresh: $(READY)  ## run the committed notebooks in place, and renew the table of results in the README
	@for notebook in $(NOTEBOOKS); do echo "== $$notebook"; \
	    $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
	        --ExecutePreprocessor.kernel_name=python3 --ExecutePreprocessor.timeout=600 \
	        --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False \
	        $$notebook || exit 1; done
	$(BIN)/python book/shrink.py $(NOTEBOOKS)
	$(BIN)/python book/pages README.md

serve: $(BUILT)  ## show the book at http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory $(HTML)

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

clean:  ## remove everything that was built; .venv stays
	rm -rf build .pytest_cache .ruff_cache .hypothesis
