# Everything a developer or a CI machine runs. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test install lint format bench load clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: install ## Run the product on the embedded stack, with a demo workspace, until Ctrl-C
	@# Job control gives the command the terminal, so that Ctrl-C reaches it alone and make sees how it ended.
	@bash -c 'test -t 0 && set -m; $(BIN)/scanhop up --demo $(ARGS); exit $$?'

test: install ## Run every test but those marked soak, on real engines
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

install: $(STAMP) ## Make .venv and install what is needed

lint: install ## Check style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Measure what the project claims
	@for name in freshness redirect stalled_disk ingest crash csv_import api ledger ledger_faults images analytics time_zones; do PYTHONPATH=. $(BIN)/python benchmarks/$$name.py || exit 1; done

load: install ## Check every answer under load, of the `make up` that runs
	@$(BIN)/locust -f benchmarks/locustfile.py --headless -u 50 -r 10 -t 60s $(ARGS)

clean: ## Remove .venv; data in .scanhop stays
	rm -rf $(VENV)

$(STAMP): pyproject.toml setup.py constraints.txt edge/_hot_path.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "scanhop needs Python 3.11 or newer as $(PYTHON); set PYTHON=/path/to/python3" >&2; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null \
		|| { echo "scanhop needs a C compiler (cc) to build the embedded Redis; on Debian: apt-get install gcc" >&2; exit 1; }
	@echo "Installing into $(VENV); this takes about a minute"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
