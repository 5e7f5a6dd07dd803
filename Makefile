# The only things needed beforehand: Python 3.10 to 3.13 with pip, and make.  Another interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= runs/demo
TIME   ?= 600
BIN    := $(VENV)/bin
# One thread a process: two workers on two cores; more threads would wait for each other.
ONE    := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Packages are compiled as they are first imported, not all of them when they are installed; kept, whatever the surroundings say, as each process would do it again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test check lint coverage mutants docs bench fuzz notebooks readme clean
help:
	@echo 'make demo       install, quantize the embedded network without data, say where the report is (OUT=$(OUT))'
	@echo 'make test       install, run every notebook and every test'
	@echo 'make check      is the exported code in step with the notebooks, are they clean, is the README current?'
	@echo 'make lint       types and likely mistakes, by mypy and ruff;       make coverage  share of lines that notebooks and tests run'
	@echo 'make mutants    change lines of quant/ and synth/: do their notebooks notice? The table is tools/mutants.json'
	@echo 'make docs       write the documentation site to _docs; needs Node.js with npm'
	@echo 'make notebooks  run every notebook in place and keep its outputs;  make readme  write README.md'
	@echo 'make bench      time a synthesis step and a reconstruction;        make clean   remove what make made'
	@echo 'make fuzz       read broken and hostile files of every kind, each for TIME=$(TIME) seconds'

.DELETE_ON_ERROR:
# Stamps: reinstall only when what is installed has changed
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
$(VENV)/installed: settings.ini setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e .
	@touch $@
$(VENV)/installed-dev: settings.ini setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/sadag demo --out $(OUT)

test: $(VENV)/installed-dev
	@code=0; \
	$(ONE) $(BIN)/nbdev_test --n_workers 2 --timing || code=1; \
	$(ONE) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests || code=1; \
	exit $$code

check: $(VENV)/installed-dev
	@$(BIN)/python tools/check.py

lint: $(VENV)/installed-dev
	@code=0; \
	$(BIN)/ruff check . || code=1; \
	$(BIN)/mypy -p sadag_nb || code=1; \
	exit $$code

# Cells and tests both count; fails under the share in .coveragerc
coverage: $(VENV)/installed-dev
	@code=0; rm -rf _coverage; \
	$(ONE) $(BIN)/coverage run tools/against_package.py || code=1; \
	$(ONE) $(BIN)/coverage run -m pytest -q tests || code=1; \
	$(BIN)/coverage combine -q; $(BIN)/coverage report || code=1; \
	exit $$code

mutants: $(VENV)/installed-dev
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt cosmic-ray
	@$(ONE) $(BIN)/python tools/mutants.py

docs: $(VENV)/installed-dev
	@$(ONE) $(BIN)/python tools/docs.py

bench: $(VENV)/installed-dev
	$(BIN)/python bench/bench.py

fuzz: $(VENV)/installed-dev
	$(ONE) $(BIN)/python tools/fuzz.py $(TIME)

notebooks: $(VENV)/installed-dev
	$(BIN)/nbdev_export
	$(BIN)/python tools/run_notebooks.py

readme: $(VENV)/installed-dev
	$(BIN)/python tools/run_notebooks.py nbs/index.ipynb
	$(BIN)/python tools/readme.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis _proc _docs _coverage _mypy
