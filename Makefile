# Everything that a newcomer or CI does here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build test e2e bench fuzz lint fmt clean packages packages-test packages-bench

# Cargo's own variable; an absolute or relative path.
TARGET := $(or $(CARGO_TARGET_DIR),target)
CONFIG ?= plugins.toml
# Further arguments of `streamgate run`, such as --set plugins.gateway.listen=0.0.0.0:8080
ARGS ?=
# One part of `make bench` (boundary, start, memory, serve, upload, encode, list, greed or before), `make e2e` or `make fuzz`.
ONLY ?=
# How long `make fuzz` runs each target.
FUZZ_SECONDS ?= 30

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build (release) and start the default edition under ./data
	@echo
	@exec $(TARGET)/release/streamgate run --config $(CONFIG) $(ARGS)

build: packages ## Build the server and all plugins (release)
	cargo build --release --locked --workspace --exclude streamgate-tests --exclude streamgate-boundary-bench

test: packages-test ## All tests, against the real server where it matters
	cargo build --locked --workspace --all-targets
	scripts/run-tests --workspace
	cd plugins/console/web && npm test

e2e: packages-test ## End-to-end tests only; one of them: make e2e ONLY=crash
	cargo build --locked --workspace --all-targets
	scripts/run-tests --package streamgate-tests --test e2e $(if $(ONLY),$(ONLY)::)

bench: build packages-bench ## Measure against nginx, ffmpeg and @tus/server; ONLY=serve for one part
	cargo build --release --locked --package streamgate-tests --bin bench
	cargo build --release --locked --package streamgate-boundary-bench --examples
	$(TARGET)/release/bench $(ONLY)

fuzz: packages ## Every fuzz target for FUZZ_SECONDS (30); needs a nightly Rust and cargo-fuzz; ONLY=range for one
	cargo +nightly fuzz build $(ONLY)
	@for target in $(or $(ONLY),$$(cargo +nightly fuzz list)); do \
	  echo "== $$target"; \
	  cargo +nightly fuzz run $$target -- -dict=fuzz/dictionaries/$$target.dict \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=2048 -print_final_stats=1; \
	done

lint: packages ## Formatting, clippy (the examples too) and the console's own lint, warnings are errors; cargo-deny if it is there
	cargo fmt --all --check
	scripts/changelog check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@for example in examples/*/Cargo.toml; do \
	  echo "== $$example"; \
	  cargo fmt --manifest-path $$example --check; \
	  CARGO_TARGET_DIR=$(abspath $(TARGET)) cargo clippy --locked --manifest-path $$example --all-targets -- -D warnings; \
	done
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cd plugins/console/web && npm ci --no-audit --no-fund && npm run lint
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; \
	  else echo "The dependencies were not looked at: cargo-deny is not installed (cargo install cargo-deny)."; fi

fmt: ## Format everything
	cargo fmt --all

clean: ## Remove what was built (./data stays)
	cargo clean
	rm -rf plugins/console/web/node_modules plugins/console/web/dist fuzz/target

packages:
	@scripts/system-packages build

packages-test:
	@scripts/system-packages build test

packages-bench:
	@scripts/system-packages build test bench
