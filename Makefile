# Everything a person or CI runs. `make help` lists it; CI calls the same recipes and nothing else.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN_RELEASE := target/release/fornax
BIN_DEBUG := target/debug/fornax
PYTHON ?= python3

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: system
system: ## install the system packages the build needs (Debian, Ubuntu; elsewhere: name them and stop)
	@scripts/system-packages.sh

.PHONY: build
build: system ## build the release binary, target/release/fornax
	cargo build --release

.PHONY: demo
demo: build models ## build, start, ingest the documentation, ask three questions, see what is found and cited (about 10 minutes the first time)
	@scripts/demo.sh $(BIN_RELEASE)

.PHONY: check
check: system ## format, lint and the fast tests: before every commit
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --lib --bins

.PHONY: test
test: system ## every test: unit, property, end to end, real clients (writes docs/conformance.md)
	cargo build --workspace
	@$(MAKE) --no-print-directory models BIN=$(BIN_DEBUG)
	cargo test --workspace
	@scripts/house.sh
	@$(MAKE) --no-print-directory conformance BIN=$(BIN_DEBUG)

.PHONY: conformance
conformance: ## the real client libraries against the real binary; writes docs/conformance.md
	@bin="$(BIN)"; [ -n "$$bin" ] || { $(MAKE) --no-print-directory build; bin=$(BIN_RELEASE); }; \
	$(MAKE) --no-print-directory models BIN="$$bin"; \
	conformance/run.sh "$$bin"

.PHONY: models
models: ## fetch the sentence-embedding weights and convert them to models/downloads/minilm.gguf
	@bin="$(BIN)"; [ -n "$$bin" ] || bin=$(BIN_RELEASE); models/fetch_minilm.sh "$$bin"

.PHONY: bench
bench: build models ## our server beside llama-server on the same models; one JSON per benchmark in bench/results, docs/benchmarks.md
	@bench/run.sh $(BIN_RELEASE)

.PHONY: soak
soak: build ## long runs: memory, restarts and kills under load (SOAK_MINUTES=30)
	@scripts/soak.sh $(BIN_RELEASE) "$${SOAK_MINUTES:-30}"

.PHONY: fuzz
fuzz: ## fuzz a parser, or the vector engine against a model: make fuzz TARGET=gguf|safetensors|log|container|manifest|vectors SECONDS_MAX=60
	@scripts/fuzz.sh "$${TARGET:-gguf}" "$${SECONDS_MAX:-60}"

.PHONY: deny
deny: ## licences and known vulnerabilities of every dependency
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check
