# Everything is done through here; CI calls `make check` and `make test` and nothing else.
#
#   make demo     a real game server and real players, end to end, in a minute (KEEP=1 leaves it up)
#   make test     all tests, on SQLite and PostgreSQL, with the real AWS clients
#   make check    format, lint, tidy modules, generated code, builds for other systems, data races
#   make bench    speed, one line a path (BENCH=NAME for one, BENCH_SECONDS=N its length)
#   make fuzz     each fuzz target for FUZZ_SECONDS
#   make build    bin/matchyard, with the console if npm is there

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

BENCH         ?=
BENCH_SECONDS ?= 5
FUZZ_SECONDS  ?= 20
# Many tests wait for processes and sockets: more of them than processors run side by side.
PARALLEL      ?= 4
# Modules of their own: programs that must not put their dependencies into the product.
MODULES := examples/gameserver conformance/oldgo

.PHONY: build console console-test demo test check lint cross race generate tidy fuzz bench tools clean

build: console
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/matchyard ./cmd/matchyard
	CGO_ENABLED=0 $(GO) build -C examples/gameserver -trimpath -ldflags '-s -w' -o ../../bin/gameserver .

# Without npm the binary has everything but the console, and says so where it would be.
console:
	@if command -v npm >/dev/null; then \
	  cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build -- --logLevel warn; \
	else echo "npm is missing: the console is not built into the binary"; fi

# The console's screens in a browser, on servers with real traffic and with 100,000 rows.
console-test: tools console
	CONSOLE_ALL=1 $(GO) test -timeout 14m -count=1 -run TestConsole ./conformance

demo: build
	@bin/matchyard demo

tools:
	@scripts/install-test-tools.sh

test: tools console
	$(GO) test -parallel $(PARALLEL) -timeout 14m ./...

check: lint tidy generate cross race

lint:
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...

# The other systems that there are releases for.
cross:
	@for system in windows/amd64 darwin/arm64; do \
	  CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} $(GO) build -o /dev/null ./cmd/matchyard || exit 1; \
	done

# On SQLite, but for the store, and nodes that share a PostgreSQL.
race: tools
	$(GO) test -race -short -parallel $(PARALLEL) -timeout 14m ./...

tidy:
	$(GO) mod tidy -diff
	@for m in $(MODULES); do $(GO) mod tidy -C $$m -diff || exit 1; done

# Generated code is committed; a difference means that somebody forgot `go generate`.
generate:
	$(GO) generate ./...
	git diff --exit-code -- '*_gen.go' paginate/ops.go docs/operations.md

fuzz:
	@scripts/fuzz.sh $(FUZZ_SECONDS)

bench: build
	@bin/matchyard bench $(if $(BENCH),--only $(BENCH)) --seconds $(BENCH_SECONDS)

clean:
	rm -rf bin
