# Each target does its own set-up: it needs python3 (3.11 or newer) and make, nothing else.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STAMP := .venv/.stamp
PROJECTS := pyproject.toml spi/pyproject.toml conformance/pyproject.toml
UV = $$(command -v uv || echo .cache/uv-tool/bin/uv)

# Processes the suite is spread over, a file each: much of it waits for other processes.
WORKERS ?= 2

# What `make check` runs, in this order; `make quick` leaves out the slow ones.
# DONE: what of it has been done already.
CHECKS := format-check lint imports sizes lock-check prices-check proto-check types coverage
QUICK := format-check lint imports sizes lock-check types-quick test-quick
TYPED := spi/spindle_spi core/spindle modules/llm/spindle_llm modules/mcp/spindle_mcp \
	transport/spindle_transport \
	conformance/spindle_conformance scripts tests $(wildcard benchmarks)

# What a core keeps and how it comes back: files whose cores run on the engine that is chosen.
ON_POSTGRESQL := $(addprefix tests/core/,directory services test_admission.py test_changes.py \
	test_identity.py test_invocations.py test_snapshot.py test_streams.py)

export PYTHON

# Whatever a shell says: without bytecode on disk each process compiles all it imports, in seconds.
unexport PYTHONDONTWRITEBYTECODE

# Trust what the machine trusts, as pip does; uv by itself knows the public authorities only.
ifneq ($(wildcard /etc/ssl/certs/*),)
export UV_SYSTEM_CERTS ?= 1
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements.lock $(PROJECTS) hatch_build.py scripts/install.sh
	@sh scripts/install.sh
	@touch $@

.PHONY: install
install: $(STAMP) ## make .venv from requirements.lock; nothing to do when it is up to date

.PHONY: serve
serve: $(STAMP) ## start a gateway: make serve ARGS="--port 0"
	@exec $(BIN)/spindle serve $(ARGS)

.PHONY: test
test: $(STAMP) ## run the whole test suite: make test ARGS="tests/core -x"
	@$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: test-postgresql
test-postgresql: $(STAMP) ## the core's tests over PostgreSQL (127.0.0.1:5432, user postgres) in place of SQLite
	@SPINDLE_TEST_ENGINE=postgresql $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ON_POSTGRESQL) $(ARGS)

.PHONY: sdk
sdk: $(STAMP) ## the SDKs people use, each in an environment of its own, against a gateway
	@$(BIN)/python -m pytest -q tests/sdk $(ARGS)

.PHONY: clients
clients: $(STAMP) ## MCP clients people use, each in an environment of its own, against a gateway
	@$(BIN)/python -m pytest -q tests/clients $(ARGS)

.PHONY: check
check: $(STAMP) ## everything CI asks of a change, with the seconds of each leg
	@sh scripts/legs.sh $(filter-out $(DONE),$(CHECKS))

.PHONY: quick
quick: $(STAMP) ## the part of check that stays under a minute
	@sh scripts/legs.sh $(QUICK)

.PHONY: format
format: $(STAMP) ## rewrite the source in the house format
	@$(BIN)/ruff check --quiet --fix-only --select I .
	@$(BIN)/ruff format .

.PHONY: format-check
format-check: $(STAMP)
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: $(STAMP) ## ruff
	@$(BIN)/ruff check .

.PHONY: types
types: types-quick ## mypy and pyright, both strict
	@$(BIN)/pyright

.PHONY: types-quick
types-quick: $(STAMP)
	@$(BIN)/mypy $(TYPED)

.PHONY: imports
imports: $(STAMP) ## import-linter: who may import whom
	@$(BIN)/lint-imports

.PHONY: sizes
sizes: $(STAMP)
	@$(BIN)/python scripts/sizes.py

.PHONY: coverage
coverage: $(STAMP) ## the whole suite with branch coverage, and its floors
	@$(BIN)/coverage erase
	@$(MAKE) test COVERAGE=1
	@$(BIN)/python scripts/coverage_floor.py

.PHONY: test-quick
test-quick: $(STAMP)
	@$(BIN)/python -m pytest -q --ignore=tests/journeys --ignore=tests/conformance

.PHONY: lock
lock: $(STAMP) ## resolve the dependency lists again and write requirements.lock
	@$(BIN)/python scripts/lock.py --uv "$(UV)"

.PHONY: lock-check
lock-check: $(STAMP) ## requirements.lock is not older than the dependency lists
	@$(BIN)/python scripts/lock.py --check

.PHONY: proto
proto: $(STAMP) ## write the .proto files from the types of spindle_spi
	@$(BIN)/python -m spindle_spi.proto --write spi/proto

.PHONY: proto-check
proto-check: $(STAMP) ## the committed .proto files are those of the types, and they compile
	@$(BIN)/python -m spindle_spi.proto --check spi/proto
	@$(BIN)/python -W error -m grpc_tools.protoc -I spi/proto --descriptor_set_out=/dev/null \
		$$(find spi/proto -name '*.proto')

.PHONY: prices
prices: $(STAMP) ## write the table of public prices from the library that keeps them
	@$(BIN)/python scripts/prices.py

.PHONY: prices-check
prices-check: $(STAMP) ## the committed table of prices is that of the library
	@$(BIN)/python scripts/prices.py --check

.PHONY: bench
bench: $(STAMP) ## measure against nginx and a bare relay (needs nginx and wrk); PEERS=1: against LiteLLM and Portkey, too
	@$(BIN)/python -m benchmarks $(if $(PEERS),--peers --uv "$(UV)") $(ARGS)

.PHONY: parity
parity: $(STAMP) ## a stream is its answer: every dialect behind every surface, as a table
	@$(BIN)/python scripts/parity.py $(ARGS)

.PHONY: soak
soak: $(STAMP) ## 50,000 requests, some clients leave: nothing stays behind (SHORT=1: 10,000)
	@$(BIN)/python -m benchmarks.soak $(if $(SHORT),--requests 10000) $(ARGS)

.PHONY: mcp-soak
mcp-soak: $(STAMP) ## 500 idle MCP sessions and 10,000 calls: nothing stays behind (SHORT=1: 100 and 2,000)
	@$(BIN)/python -m benchmarks.mcp_soak $(if $(SHORT),--sessions 100 --calls 2000 --warm-up 1000) $(ARGS)

.PHONY: blast-radius
blast-radius: $(STAMP) ## three of twenty MCP upstreams go wrong: what the calls to the others pay (SHORT=1: 3 short pairs)
	@$(BIN)/python -m benchmarks.blast_radius $(if $(SHORT),--pairs 3 --seconds 4) $(ARGS)

.PHONY: mcp-conformance
mcp-conformance: $(STAMP) ## the official MCP conformance suite against a gateway (needs node)
	@$(BIN)/python scripts/mcp_conformance.py $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## each patch of tests/mutants breaks the code; the suite must notice
	@$(BIN)/python scripts/mutants.py $(ARGS)

.PHONY: build
build: $(STAMP) ## build the wheels and source archives of a release into dist/
	@$(BIN)/python scripts/build.py --uv "$(UV)"

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .cache dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
