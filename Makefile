# simtrap: what there is to build and check. `make help` lists it.
SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

# One setting for everything but the race detector, so that one build cache serves.
export CGO_ENABLED := 0

FUZZTIME ?= 10s
PACKAGES ?= ./...
BIN      := bin
TMP      := tmp
DIST     := dist
TOOL     := go tool -modfile=tools/go.mod

.PHONY: help build demo demo-hub test race fuzz bench bench-peers growth bench-day calibrate eval check-figures population promise figures corpus lint vuln generate bench-live bench-hub bench-evidence bench-pages bench-scale test-flood test-equal test-kills test-kernels packages test-packages firmware test-firmware test-firmware-long clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs, static, into bin/
	go build -o $(BIN)/ ./cmd/...

# Builds what it runs and no more: the hub's databases take longest to compile.
demo: ## make a sample capture, replay it and print the verdicts
	@mkdir -p $(TMP)
	go build -o $(BIN)/ ./cmd/simtrap ./cmd/simtrap-lab
	$(BIN)/simtrap-lab make demo -o $(TMP)/demo.pcap --truth $(TMP)/demo.truth.json
	$(BIN)/simtrap replay $(TMP)/demo.pcap

demo-hub: build ## run a hub and two appliances that replay captures, print the ring
	scripts/demo-hub.sh

# SKIP leaves out the tests that it matches.
SKIPPED = $(if $(SKIP),-skip '$(SKIP)')

test: ## go vet and every test (or those of PACKAGES)
	go vet $(PACKAGES)
	go test $(SKIPPED) $(PACKAGES)

# What starts no goroutine, nor uses anything that does (internal/archtest holds
# that), has no races of its own: the packages that run it in several are tried.
QUIET = control evidence h323 heuristics/catalogue hidden/talk hub/link ident ident/keyed internal/archtest lab packet rtp sessions sip state

race: ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -short $(SKIPPED) $(filter-out $(addprefix simtrap/,$(QUIET)),$(shell go list $(PACKAGES)))

fuzz: ## every fuzz target for FUZZTIME (10s) each
	scripts/fuzz.sh $(FUZZTIME) $(PACKAGES)

bench: build ## measure packets per second, allocations and memory
	scripts/bench.sh

bench-peers: ## install what bench compares with, of Debian: tcpdump, tshark, ndpiReader (root)
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tcpdump tshark libndpi-bin

growth: ## measure what packets, lines, streams and calls cost over three decades: tmp/growth/
	@mkdir -p $(TMP)/growth
	SIMTRAP_GROWTH=$(CURDIR)/$(TMP)/growth go test ./pipeline -count=1 -timeout 30m -run '^TestMeasureGrowth$$' -v

bench-day: ## replay ten hours and draw the memory in use: tmp/day/day.svg (8 GB of disk meanwhile)
	@mkdir -p $(TMP)/day
	SIMTRAP_DAY=$(CURDIR)/$(TMP)/day go test ./pipeline -count=1 -timeout 30m -run '^TestMeasureDay$$' -v

# EVAL gives more flags, such as EVAL='--view up --scenario "breakout-*"'.
calibrate: build ## fit heuristics/catalogue on training seeds; CALIBRATE="--draws 40"
	$(BIN)/simtrap-lab calibrate $(CALIBRATE)

eval: build ## measure how often the verdicts are right: tmp/eval.html, tmp/eval.json
	@mkdir -p $(TMP)
	$(BIN)/simtrap-lab eval --json $(TMP)/eval.json --html $(TMP)/eval.html $(EVAL)

# The honest lines that come nearest to boxes are too rare in two draws of each
# kind to show that one more of them is accused.
NEAREST = --draws 20 --scenario breakout-dark --scenario breakout-termination --scenario carrier-tunnel --scenario hacked-breakout --scenario pbx-cellular --scenario pbx-mobile-numbers

check-figures: build ## small evaluations against the figures in evaluation/testdata
	@mkdir -p $(TMP)
	$(BIN)/simtrap-lab eval $(NEAREST) --baseline evaluation/testdata/nearest.json >$(TMP)/nearest.txt || { cat $(TMP)/nearest.txt; exit 1; }
	$(BIN)/simtrap-lab eval --small --baseline evaluation/testdata/baseline.json >$(TMP)/figures.txt || { cat $(TMP)/figures.txt; exit 1; }
	@sed -n '/^Goals/,$$p' $(TMP)/figures.txt

population: build ## count false accusations among honest lines: tmp/population.html, .json
	@mkdir -p $(TMP)
	$(BIN)/simtrap-lab population --json $(TMP)/population.json --html $(TMP)/population.html $(EVAL)

corpus: ## replay the corpus of public captures, where there is one (SIMTRAP_CORPUS)
	go test -count=1 -v -run '^TestCorpus' $(sort $(dir $(shell grep -rl --include=*_test.go --exclude-dir=tmp '^func TestCorpus' ./*/)))

promise: build ## try what the score promises, on lines drawn from its tables and near them
	@mkdir -p $(TMP)
	$(BIN)/simtrap-lab promise --json $(TMP)/promise.json

# The files that eval, population and promise write; those that are not there are
# left out, but for the first.
figures: build ## write docs/figures from tmp/eval.json, population.json, promise.json
	@set --; \
	for part in population promise; do \
		if [ -s $(TMP)/$$part.json ]; then set -- "$$@" --$$part $(TMP)/$$part.json; fi; \
	done; \
	$(BIN)/simtrap-lab figures --eval $(TMP)/eval.json "$$@"

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not gofmt-clean:"; echo "$$unformatted"; exit 1; }
	go vet $(PACKAGES)
	$(TOOL) staticcheck $(PACKAGES)

# Without its database, which is fetched, govulncheck can say nothing; any other
# failure counts.
vuln: ## known vulnerabilities in what is used
	@mkdir -p $(TMP); \
	if $(TOOL) govulncheck $(PACKAGES) >$(TMP)/vuln.log 2>&1; then cat $(TMP)/vuln.log; \
	elif grep -qE '^govulncheck: fetching vulnerabilities: ' $(TMP)/vuln.log; then echo "govulncheck skipped: no database"; \
	else cat $(TMP)/vuln.log; exit 1; fi

bench-live: ## measure the kernel programs by test run, all of simtrap and AF_PACKET over a veth (root)
	go test ./bpf -run '^$$' -bench '^BenchmarkCosts$$' -benchtime 1x -v
	go test ./bpf -run '^$$' -bench '^BenchmarkTap$$' -benchtime 1x -v
	go test ./capture/afpacket -run '^$$' -bench '^BenchmarkLive$$' -benchtime 3x -count $(or $(RUNS),5)

test-flood: ## ten million forged senders beside one real box, which takes two minutes (root)
	SIMTRAP_FLOOD=$(or $(SENDERS),10000000) go test ./sensor/live -count=1 -run '^TestFlood$$' -v

# ONLY chooses among the scenarios, a regular expression.
test-equal: ## every lab scenario from beginning to end through both accountings (root)
	SIMTRAP_EQUAL='$(or $(ONLY),.)' go test ./bpf -count=1 -timeout 2h -run '^TestEqualWhole$$' -v

test-kills: ## kill simtrapd and simtrap-hub a thousand times each, cut their network (an hour; root)
	SIMTRAP_KILLS=1000 go test ./sensor -count=1 -timeout 60m -run '^TestHubKilled' -v
	SIMTRAP_KILLS=1000 go test ./cmd/simtrap-hub -count=1 -timeout 60m -run '^TestKilled|^TestSeveralHubs' -v
	SIMTRAP_CUTS=24 go test ./sensor/live -count=1 -timeout 60m -run '^TestCut' -v

# LOAD gives more, such as LOAD='SIMTRAP_LOAD_RATE=0 SIMTRAP_LOAD_STORE=postgres://...'.
bench-hub: ## load a hub with 2,000 sensors and 1,500 findings a second for a minute
	SIMTRAP_LOAD_SENSORS=2000 SIMTRAP_LOAD_RATE=1500 SIMTRAP_LOAD_BATCH=100 SIMTRAP_LOAD_SENDERS=32 SIMTRAP_LOAD_FOR=1m $(LOAD) \
		go test ./cmd/simtrap-hub -count=1 -run '^TestLoad' -v

bench-evidence: build ## how long a bundle of an hour's box traffic takes to make and to verify
	scripts/bench-evidence.sh

bench-pages: ## how long each page takes: STORE=FOLDER, or postgres://..., that bench-scale filled and kept
	SIMTRAP_PAGES_STORE=$(STORE) go test ./hub/pages -run '^TestMeasurePages$$' -count 1 -v

# FINDINGS, KINDS and more: scripts/bench-hub.sh.
bench-scale: ## fill both stores of the hub to 10 million findings and print the table of docs/scale.md (hours)
	scripts/bench-hub.sh

# ONLY chooses among the kernels: 6.12-amd64 6.1-arm64 6.1-amd64 5.10-amd64.
test-kernels: ## load, attach and judge a call on other kernels, in qemu (Debian)
	scripts/kernels.sh $(ONLY)

packages: ## deb packages and tarballs, reproducible, into dist/; ARCHES="amd64 arm64 armhf"
	firmware/packages/build.sh $(DIST) $(or $(ARCHES),amd64 arm64 armhf)

test-packages: ## build packages twice, compare, install and purge them in a new Debian (root, debootstrap)
	firmware/packages/test.sh $(or $(ARCHES),amd64)

firmware: ## the image of the appliance (ARCH=amd64 or arm64) into dist/ (Debian)
	firmware/image/build.sh $(or $(ARCH),amd64) $(DIST)

test-firmware: ## build the image twice, compare, boot it in qemu, find, update, roll back (Debian)
	firmware/image/test.sh $(or $(ARCH),amd64)

test-firmware-long: ## the same with the power cut at twenty moments of an update
	CUTS=20 firmware/image/test.sh $(or $(ARCH),amd64)

generate: ## run every go:generate line
	go generate ./...

clean: ## remove what was built
	rm -rf $(BIN) $(TMP) $(DIST)
