# make demo and make test are all a newcomer needs: each creates .venv, installs everything pinned, and does its job.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo check test format bench bench-gpu bench-methods bench-attacks bench-tofu clean

install: $(INSTALLED)

# The lock pins torch like everything else; a range here would pull another build.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lethe needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: install
	$(BIN)/lethe demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# Threads that wait without spinning: tests run beside processes of their own.
test: install
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# DATA, a directory with the TOFU files, adds the parts that are about TOFU rows.
bench: install
	$(BIN)/python -m bench.performance --out docs/results/performance.md $(if $(DATA),--data "$(DATA)") $(MORE)

bench-gpu: install
	@test -d "$(DATA)" || { echo 'bench-gpu: DATA must be the directory of the TOFU files: make bench-gpu DATA=DIR' >&2; exit 2; }
	$(BIN)/python -m bench.gpu --data "$(DATA)" --out docs/results/gpu.md $(MORE)

bench-methods: install
	$(BIN)/python -m bench.methods --out docs/results/methods.md

bench-attacks: install
	$(BIN)/python -m bench.attacks --out docs/results/attacks.md

# MORE holds further options, such as MORE="--authors 20 --splits 01"; python -m bench.tofu --help lists them.
bench-tofu: install
	@test -d "$(DATA)" || { echo 'bench-tofu: DATA must be the directory of the TOFU files: make bench-tofu DATA=DIR MODEL=scratch' >&2; exit 2; }
	@test -n "$(MODEL)" || { echo 'bench-tofu: MODEL must be scratch, or a model finetuned on all of TOFU' >&2; exit 2; }
	$(BIN)/python -m bench.tofu --data "$(DATA)" --model "$(MODEL)" $(MORE)

clean:
	rm -rf $(VENV) .lethe build *.egg-info
