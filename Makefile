SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.ONESHELL:
.DELETE_ON_ERROR:
.PHONY: help build demo test lint unit e2e all race single check fuzz soak bench packages clean

# In a checkout that belongs to somebody else (a volume of a container, say) git
# refuses to work, and with it go build. Whoever runs make here trusts it.
export GIT_CONFIG_COUNT := 1
export GIT_CONFIG_KEY_0 := safe.directory
export GIT_CONFIG_VALUE_0 := $(CURDIR)

# The tools are built from their Go modules with the Go at hand; one that was
# built with an older Go cannot read code for a newer one.
STATICCHECK_VERSION := v0.8.2
GOLANGCI_VERSION := v2.15.0
TOOLS := .tools/$(shell go env GOVERSION)
STATICCHECK := $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
# A peer that the benchmark compares with; of the module that we build with.
CRANE_VERSION := $(shell go list -m -f '{{.Version}}' github.com/google/go-containerregistry)
CRANE := $(TOOLS)/crane-$(CRANE_VERSION)

BENCH_PACKAGES := chromium fonts-dejavu-core rclone squashfs-tools squashfuse wrk
DEMO_PACKAGES := ca-certificates curl docker-registry fuse3 nginx
# gcc is for the race detector; the font is for chromium, which needs one. npm
# fetches websites to test with; many have it from elsewhere.
TEST_PACKAGES := $(DEMO_PACKAGES) apache2-utils chromium docker.io docker-compose fonts-dejavu-core \
	buildah gcc libarchive-tools libc6-dev skopeo strace umoci $(if $(shell command -v npm),,npm)

# Mounting with allow_other, dockerd and nginx's other user need root. Only the
# test binaries get it: what go builds stays ours.
ifneq ($(shell id -u),0)
AS_ROOT := -exec 'sudo -E env PATH=$(PATH) GOCACHE=/root/.cache/go-build'
endif

# Two packages at a time, and the end-to-end tests, which start servers and measure
# time, by themselves. -v and the filter find skipped tests; REGFS_TEST_ALL makes them
# failures at once.
GOTEST = REGFS_TEST_ALL=1 go test -v -count=1 -p $(if $(filter %/e2e,$(1)),1,2) -timeout 25m $(AS_ROOT) $(1) 2>&1 | awk -f scripts/gotest.awk
# The same without the tests that are long by nature, where they ran before.
GOTEST_AGAIN = $(subst scripts/gotest.awk,scripts/gotest.awk -v short=1,$(call GOTEST,-short $(1)))

UNIT = $$(go list ./... | grep -v /internal/e2e)
E2E = ./internal/e2e

FUZZTIME ?= 30s

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bundle, upload and regfs into bin/, static
	@mkdir -p bin
	@CGO_ENABLED=0 go build -trimpath -ldflags=-s -o bin/ ./cmd/...

demo: ## publish app/ twice and serve it here until Ctrl-C; CHECK=1 compares every file and ends
	@scripts/install.sh $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory build
	@CHECK=$(CHECK) scripts/demo.sh

test: ## install what is missing and run everything: lint, fuzzers, tests, -race, GOMAXPROCS=1, the demo
	@begin=$$SECONDS
	for step in packages lint fuzz all race single check; do
		echo "== $$step"
		$(MAKE) --no-print-directory $$step
	done
	echo "make test: passed in $$(( (SECONDS - begin) / 60 )) min $$(( (SECONDS - begin) % 60 )) s"

lint: $(STATICCHECK) $(GOLANGCI) ## gofmt, go vet, staticcheck, golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))
	[[ -z $$unformatted ]] || { echo "gofmt -w is due on:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI) run

unit: ## the tests of the packages
	@$(call GOTEST,$(UNIT))

e2e: ## the tests of the commands as users meet them: registry, mount, nginx, browser, containers
	@$(call GOTEST,$(E2E))

all: unit e2e

# A program under the race detector sleeps for a second when it ends, and the
# tests run hundreds.
race: ## all tests but the long ones with the race detector
	@export GORACE=atexit_sleep_ms=10
	$(call GOTEST_AGAIN,-race $(UNIT))
	$(call GOTEST_AGAIN,-race $(E2E))

single: ## the same on one processor: some failures are only visible like this
	@export GOMAXPROCS=1
	$(call GOTEST_AGAIN,$(UNIT))
	$(call GOTEST_AGAIN,$(E2E))

check: # the demo, twice: it must work over its own traces
	@$(MAKE) --no-print-directory demo CHECK=1
	$(MAKE) --no-print-directory demo CHECK=1

fuzz: ## each fuzz target for FUZZTIME (30s), as many side by side as there are processors
	@scripts/fuzz.sh $(FUZZTIME)

packages:
	@scripts/install.sh $(TEST_PACKAGES)

soak: ## the registry away for SOAK (10m) under load, a minute of moves, many histories, a million unknown names, tokens
	@scripts/install.sh $(DEMO_PACKAGES)
	@REGFS_TEST_ALL=1 REGFS_SOAK=$(or $(SOAK),10m) go test -v -count=1 -timeout 2h $(AS_ROOT) \
		-run 'TestTheRegistryIsAwayUnderLoad|Flips|BoundedStaleness|Storm|TokensOfASecond' ./internal/e2e

bench: $(CRANE) ## measure regfs beside its limits and peers, write bench/results.md; SHORT=1, SITE=folder, ROWS=W1
	@scripts/install.sh $(DEMO_PACKAGES) $(BENCH_PACKAGES)
	@$(MAKE) --no-print-directory build
	@mkdir -p .data/bench
	go build -o .data/bench/bench ./bench
	CRANE=$(CRANE) .data/bench/bench $(if $(SHORT),-short) $(if $(ROWS),-rows '$(ROWS)') \
		$(if $(SITE),-site '$(SITE)',-out $(if $(ROWS),.data/bench,bench)/results.md)

clean: ## remove what was built and what the demo, the tests and the benchmark keep
	rm -rf --one-file-system bin images test-artifacts .tools .data/demo .data/npm .data/bench

$(STATICCHECK):
	@GOBIN=$(CURDIR)/$(TOOLS) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(TOOLS)/staticcheck $@

$(GOLANGCI):
	@GOBIN=$(CURDIR)/$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(CRANE):
	@GOBIN=$(CURDIR)/$(TOOLS) go install github.com/google/go-containerregistry/cmd/crane@$(CRANE_VERSION)
	mv $(TOOLS)/crane $@
