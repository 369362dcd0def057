# `make serve` runs noria, `make test` proves it. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test check setup wheel test-compiled soak bench-retrieval bench-gateway bench-turns bench-store bench-engine bench-apps bench-ratings bench-judge bench-votes bench-evidence clean

serve: .venv/core
	$(BIN)/noria serve

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/dev
	$(BIN)/ruff check src tests benchmarks tools examples
	$(BIN)/ruff format --check src tests benchmarks tools examples
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/dev

# The path of a request compiled to C: from a copy, since what mypyc makes lies beside its sources.
COMPILED := build/compiled
$(COMPILED): .venv/dev pyproject.toml $(shell find src -type f -not -name '*.pyc')
	rm -rf build && mkdir -p build/copy
	cp -r pyproject.toml README.md LICENSE NOTICE src build/copy
	HATCH_BUILD_HOOK_ENABLE_MYPYC=true $(BIN)/python -m pip wheel --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --wheel-dir build/dist build/copy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/made build/dist/*.whl
	mv build/made $@

wheel: $(COMPILED)
	mkdir -p dist && cp build/dist/*.whl dist

# The stand-ins of test_client_connection are no pools to compiled code, which checks what it is given.
test-compiled: $(COMPILED)
	PYTHONPATH=$(COMPILED) $(BIN)/python -m pytest -n 2 --dist loadfile tests/gateway tests/http tests/server \
	  tests/tracing --ignore tests/http/test_client_connection.py

soak: .venv/dev
	$(BIN)/python -m tests.soak
	$(MAKE) bench-evidence

bench-gateway: .venv/dev
	if command -v cc >/dev/null; then $(MAKE) $(COMPILED); else echo "no C compiler: pure Python alone"; fi
	$(BIN)/python benchmarks/gateway/run.py

# Several noria in turns: the checkout and its wheel, or what NORIA names.
NORIA ?= . $(COMPILED)
bench-turns: .venv/dev $(COMPILED)
	$(BIN)/python benchmarks/gateway/turns.py $(NORIA)

bench-store: .venv/dev
	$(BIN)/python benchmarks/store/run.py

bench-engine: .venv/dev
	$(BIN)/python benchmarks/engine/run.py

bench-retrieval: .venv/dev
	$(BIN)/python -m benchmarks.retrieval.run

bench-ratings: .venv/dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/ratings/run.py

bench-judge: .venv/dev
	$(BIN)/python benchmarks/judge/run.py

bench-votes: .venv/dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/votes/run.py

bench-evidence: .venv/dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.evidence.run

bench-apps: .venv/dev
	$(BIN)/python benchmarks/apps/run.py
	$(BIN)/python benchmarks/apps/first_token.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "noria needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv/dev: .venv/core requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv build dist
