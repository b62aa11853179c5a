# Two commands to know: `make run` and `make test`. Everything else is `covey --help`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: run test test-all check bench bench-capacity bench-map lock methods tables clean

run: $(READY)  ## make run [DATA=cifar10|GROUP|FOLDER|FILE] [RUNS=all|SET] [PROTOCOLS=all|SUITE] [JOBS=2]
	@$(ACTIVE) covey run $(if $(DATA),--data "$(DATA)") $(if $(RUNS),--runs $(RUNS)) $(if $(PROTOCOLS),--protocols $(PROTOCOLS)) $(if $(JOBS),--jobs $(JOBS))

test: $(READY)
	@$(ACTIVE) python -m pytest -m "not exhaustive" -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(READY)  ## also the long forms: every kill point, every step of every method
	@$(ACTIVE) python -m pytest

check: $(READY)
	@$(ACTIVE) ruff check . && $(ACTIVE) ruff format --check . && $(ACTIVE) mypy

bench: $(READY)  ## writes benchmarks/RESULTS.md
	@$(ACTIVE) python -m benchmarks

bench-capacity: $(READY)  ## 200,000 photographs, half an hour: writes benchmarks/CAPACITY.md
	@$(ACTIVE) python -m benchmarks.capacity

bench-map: $(READY)  ## the map of 20,000 pictures, some minutes: writes its part of benchmarks/CAPACITY.md
	@$(ACTIVE) python -m benchmarks.maps

methods: $(READY)  ## files a run of all methods (make run RUNS=all) and writes the tables of METHODS.md from all filed
	@$(ACTIVE) python -m benchmarks.methods

tables: $(READY)  ## keeps this data set's scores in results/ and writes the README's tables from them
	@$(ACTIVE) python -m benchmarks.tables && $(ACTIVE) python -m benchmarks.studies && $(ACTIVE) python -m benchmarks.label_free

lock:  ## resolves requirements*.in into requirements.txt (versions only)
	@$(BIN)/uv pip compile --no-header --no-annotate --universal --python-version 3.11 -q requirements.in requirements-heic.in -o requirements.txt

$(READY): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Covey needs Python 3.11 or newer, as python3 or make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Covey needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Making the environment in .venv (half a minute to several, 5 GB; only once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q flows tasks ssl_models
	@touch $@

clean:  ## forgets every result and checkpoint; the environment stays
	rm -rf data runs metrics maps .covey .dvc/cache .dvc/tmp results/report.html results/report.*.html results/costs.csv results/studies.html
