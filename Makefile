# SPDX-License-Identifier: Apache-2.0
# A thin front: Meson and Ninja build, scripts/ does the rest. `make help` lists the targets.
BUILD ?= build
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := build
.PHONY: help build run test check coverage bench fuzz sim soak demo cluster install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

build: ## build/kvs, with the packages that takes
	@scripts/deps.sh build
	@scripts/build.sh $(BUILD)

run: build ## build, start a node, say what to try next
	@scripts/run.sh $(BUILD)/kvs

test: ## everything: unit tests, linters of layers and docs, corpora, black-box, crash
	@scripts/deps.sh test
	@scripts/build.sh $(BUILD)
	@scripts/test.sh $(BUILD)

check: ## the tests under clang, ASan+UBSan, TSan and valgrind; clang-format, clang-tidy, cppcheck
	@scripts/deps.sh check
	@scripts/check.sh

coverage: ## which lines and branches of src/ the tests reach, as a report
	@scripts/deps.sh check
	@scripts/coverage.sh

bench: ## performance beside nginx and redis+webdis, in one run: make bench ARGS=--quick
	@scripts/deps.sh bench
	@scripts/build.sh build-release
	@/usr/bin/python3 bench/run.py --kvs build-release/kvs $(ARGS)

fuzz: ## every fuzz target for a while: make fuzz SECONDS=60
	@scripts/deps.sh check
	@scripts/fuzz.sh $(or $(SECONDS),60)

soak: ## the crash and cluster tests, long: make soak ROUNDS=1000 BACKUPS=100 POWER=200 FAULTS=1000 CUTS=34 CHANGES=100000
	@scripts/deps.sh test
	@scripts/build.sh $(BUILD)
	@KVS_BINARY=$(abspath $(BUILD))/kvs KVS_KILL_ROUNDS=$(or $(ROUNDS),1000) KVS_BACKUP_ROUNDS=$(or $(BACKUPS),100) \
		KVS_POWER_ROUNDS=$(or $(POWER),200) KVS_FAULT_ROUNDS=$(or $(FAULTS),1000) \
		KVS_CLUSTER_ROUNDS=$(or $(CUTS),34) KVS_RETURN_CHANGES=$(or $(CHANGES),100000) \
		/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/crash tests/cluster

demo: ## load a sample set of real documents and play with it
	@scripts/deps.sh test
	@scripts/build.sh $(BUILD)
	@scripts/demo.sh $(BUILD)/kvs

sim: build ## play a cluster with faults against a model: make sim SEEDS=2000 FIRST=1
	@$(BUILD)/tests/sim/kvs-sim --seeds $(or $(SEEDS),2000) --first $(or $(FIRST),1)

cluster: ## start three nodes here and watch them replicate; STOP=1 stops them
	@scripts/deps.sh build
	@scripts/build.sh $(BUILD)
	@scripts/cluster.sh $(BUILD)/kvs $(if $(STOP),--stop)

install: build ## PREFIX=/usr/local, DESTDIR= respected
	@meson configure $(BUILD) --prefix=$(or $(PREFIX),/usr/local)
	@meson install -C $(BUILD)

clean: ## remove all build folders
	rm -rf build build-*
