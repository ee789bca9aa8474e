# Everything a developer, a newcomer and CI run. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 5m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: rclone ## build coltecd (and its alias coltec-daemon), coltec, coltec-mcp and the pinned rclone into bin/
	@mkdir -p $(BIN)
	@echo "coltecd: building into $(BIN)/"
	@CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags "$(LDFLAGS)" -o $(BIN)/coltecd ./cmd/coltecd
	@ln -sf coltecd $(BIN)/coltec-daemon
	@CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags "$(LDFLAGS)" -o $(BIN)/coltec ./cmd/coltec
	@CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags "$(LDFLAGS)" -o $(BIN)/coltec-mcp ./cmd/coltec-mcp

.PHONY: rclone
rclone: ## build the pinned rclone into bin/ (a minute the first time)
	@scripts/build-rclone.sh

.PHONY: tailscale
tailscale: ## build the pinned tailscale into bin/, for images and tests (two minutes the first time)
	@scripts/build-tailscale.sh

.PHONY: dist
dist: ## build what containers get, for amd64 and arm64, into dist/, with the lines for features/coltec/checksums.txt
	@for arch in amd64 arm64; do \
		export GOOS=linux GOARCH=$$arch CGO_ENABLED=0; \
		COLTEC_RCLONE_OUT=$(CURDIR)/dist/linux-$$arch/rclone scripts/build-rclone.sh || exit 1; \
		for name in coltecd coltec-mcp; do \
			go build -trimpath -tags urfave_cli_no_docs -ldflags "$(LDFLAGS)" -o dist/linux-$$arch/$$name ./cmd/$$name || exit 1; \
		done; \
	done
	@cd dist && for arch in amd64 arm64; do for name in coltecd rclone coltec-mcp; do \
		echo "$$(sha256sum <linux-$$arch/$$name | cut -d' ' -f1)  $(VERSION)/$$name-linux-$$arch"; \
	done; done >checksums.txt
	@echo "dist: $(VERSION), amd64 and arm64, in dist/"

.PHONY: release
release: ## make a release: VERSION=v1.2.3, ONLY=linux/amd64,… for a part, TAILSCALE=1; signed by COLTEC_RELEASE_KEY
	@go run -C tools/release . -version "$(VERSION)" $(if $(ONLY),-only $(ONLY)) $(if $(TAILSCALE),-tailscale)

.PHONY: release-check
release-check: ## make a release twice, from two clones in different folders: the same bytes (ONLY=linux/amd64 for a part)
	@scripts/release-check.sh $(ONLY)

# The version of a release that is only tried, where nobody says one: that of git is none.
TRIED = $(if $(filter file,$(origin VERSION)),v1.2.3,$(VERSION))

.PHONY: e2e-release
e2e-release: build ## what release-check made: installed on Debian and busybox, published to a registry, brought up by one line
	@test -e dist/release/$(TRIED)/checksums.txt || VERSION=$(TRIED) $(MAKE) release-check ONLY=linux/$$(go env GOARCH)
	@COLTEC_E2E_RELEASE=$(CURDIR)/dist/release/$(TRIED) scripts/e2e-devcontainer.sh -v -run TestRelease

.PHONY: release-soak
release-soak: build ## all that a release is held to, on all platforms: twice the same, installed, published, read (VERSION=v1.2.3; half an hour)
	@VERSION=$(TRIED) scripts/release-soak.sh

.PHONY: man
man: build ## write the manual pages into dist/man/, for man -l or MANPATH
	@mkdir -p dist/man/man1
	@for p in coltec coltecd; do $(BIN)/$$p man >dist/man/man1/$$p.1 || exit 1; done
	@echo "man: man -l dist/man/man1/coltec.1"

.PHONY: demo
demo: build ## run a workspace against an S3 server on loopback, kill it, restore it elsewhere
	@scripts/demo.sh

# Nobody debugs a test's binary here, and make check vets all of them.
LINKED := -vet=off -ldflags '-s -w'

.PHONY: test-short
test-short: ## the loop of edit and test: no server, no rclone, little waiting (half a minute)
	@go test -short $(LINKED) -timeout 5m $$(go list ./... | grep -v /e2e)

# What is held to a time has the machine for itself; the others run two at a time.
ALONE := /cmd/coltecd$$|/supervisor$$|/pkg/process$$|/pkg/watch$$|/pkg/sqlite$$

# Databases under their writers: sixty generations of them.
LIVE := TestLive$$|TestLiveSees

.PHONY: test
test: build ## run the tests with real rclone and a real S3 server, random ones as a sample (some minutes)
	@go test $(LINKED) -p 2 -parallel 3 -timeout 15m $$(go list ./... | grep -v /e2e | grep -vE '$(ALONE)')
	@go test $(LINKED) -p 1 -parallel 4 -timeout 15m $$(go list ./... | grep -E '$(ALONE)')
	@go test $(LINKED) -timeout 20m -run '$(LIVE)' ./e2e

.PHONY: test-race
test-race: ## the goroutines of supervisor, engine, daemon and process under the race detector (a minute; gcc)
	@CGO_ENABLED=1 go test -race -short -timeout 10m ./supervisor ./engine ./daemon ./pkg/process

.PHONY: e2e
e2e: build ## run whole programs on real parts: hops, faults, kills, drills, and twenty stops (half an hour)
	@go test $(LINKED) -p 1 -parallel 4 -timeout 40m -skip '$(LIVE)' ./e2e/...

.PHONY: test-all
test-all: build ## run all tests, random ones whole (half an hour)
	@COLTEC_WHOLE=1 go test -p 1 -parallel 4 -timeout 90m ./...

.PHONY: test-hostile
test-hostile: build ## every attack of e2e/hostile, of which make e2e draws some (root: as another user too)
	@COLTEC_WHOLE=1 go test -count=1 -parallel 4 -timeout 20m ./e2e/hostile

.PHONY: e2e-devcontainer
e2e-devcontainer: build dist ## real dev containers: installs Docker and the CLI when missing (Debian, root)
	@scripts/e2e-devcontainer.sh -v

.PHONY: soak-hosts
soak-hosts: build ## hops between any two kinds of hosts: template, own container, Compose, Podman, plain machine, Docker over ssh
	@COLTEC_HOSTS=1 COLTEC_WHOLE=1 COLTEC_E2E_TIMEOUT=60m scripts/e2e-devcontainer.sh -v -run 'TestMatrixOfHosts|TestOddFolders|TestRootlessDocker'

.PHONY: check
check: ## formatting, vet, modules, shell scripts; advisories, licences, staticcheck, dead code (RELEASE=1: with the Go of a release)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@go vet ./...
	@cd tools && go vet ./...
	@for os in darwin windows; do CGO_ENABLED=0 GOOS=$$os GOARCH=amd64 go build -o /dev/null ./cmd/coltec || exit 1; done
	@cd tools/release && go vet ./... && go mod tidy -diff && go test ./...
	@cd tools/tailnet && CGO_ENABLED=0 go vet $$(../../scripts/build-tailscale.sh --flags) ./... && go mod tidy -diff
	@go mod tidy -diff
	@$(MAKE) -s docs-check
	@cd tools/site && go vet ./... && go mod tidy -diff && go test ./...
	@cd tools/check && go vet ./... && go mod tidy -diff && go test ./... && go run . $(if $(RELEASE),-release)
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh features/coltec/*.sh .ci/run; else echo "shellcheck: not installed, scripts not checked (apt-get install shellcheck)"; [ -z "$$CI" ]; fi
	@echo "check: ok"

.PHONY: docs-check
docs-check: ## links, headings and ways between pages; each block of bash has its test; flags and fields are documented
	@go test $(LINKED) . ./cmd/coltec ./cmd/coltecd ./pkg/spec -run 'Doc|Schema'

.PHONY: pictures
pictures: build ## draw the pictures of README anew, from a real run on loopback (half a minute)
	@mkdir -p docs/pictures
	@COLTEC_PICTURES=1 go test $(LINKED) -count=1 -timeout 5m -run 'TestPictures$$' ./e2e

.PHONY: pictures-check
pictures-check: build ## hold the pictures to what the programs print; make e2e does it too
	@go test $(LINKED) -count=1 -timeout 5m -run 'TestPictures$$' ./e2e

.PHONY: site
site: ## render the documents as a site that needs no server and no scripts, into dist/site/
	@go run -C tools/site . -root $(CURDIR) -out $(CURDIR)/dist/site

.PHONY: e2e-tailnet
e2e-tailnet: tailscale ## nodes join a tailnet on loopback: real tailscale, faults included (root: kernel mode too)
	@scripts/e2e-tailnet.sh

.PHONY: e2e-metrics
e2e-metrics: build ## a real Prometheus scrapes coltecd, and promtool looks at its metrics (Debian: 19 MB, unpacked into a cache)
	@scripts/e2e-metrics.sh -v

.PHONY: e2e-ui
e2e-ui: build ## the page of coltec ui in a real Chromium, with fifty workspaces in every state (npm; apt-get install chromium-headless-shell)
	@scripts/e2e-ui.sh

.PHONY: ui-pictures
ui-pictures: build ## take the pictures of coltec ui anew, of workspaces that were brought there, into docs/pictures
	@mkdir -p docs/pictures
	@COLTEC_PICTURES=$(CURDIR)/docs/pictures scripts/e2e-ui.sh -run 'TestPageOfFifty|TestPageOfFive'

.PHONY: agents
agents: ## install the coding agents that e2e-agents runs, in pinned versions, into a cache (npm)
	@scripts/install-agents.sh

.PHONY: e2e-agents
e2e-agents: build agents ## real coding agents, with a model on loopback and no other network, go on elsewhere (npm)
	@COLTEC_E2E_AGENTS=1 COLTEC_AGENTS_DIR=$$(scripts/install-agents.sh):$$(scripts/install-agents.sh mcp) go test $(LINKED) -count=1 -timeout 20m ./e2e/agents

.PHONY: e2e-agents-more
e2e-agents-more: build dist agents ## the same with opencode, Gemini CLI and Copilot CLI too, and in dev containers (npm; 800 MB; Debian, root)
	@COLTEC_E2E_AGENTS=more COLTEC_AGENTS_DIR=$$(scripts/install-agents.sh):$$(scripts/install-agents.sh more):$$(scripts/install-agents.sh mcp) go test $(LINKED) -count=1 -timeout 40m -v ./e2e/agents
	@COLTEC_E2E_AGENTS=more scripts/e2e-devcontainer.sh -v -run "TestAgentsHop|TestMoreAgentsHop"

.PHONY: soak-agents
soak-agents: build agents ## a hundred changes of the machine, by a loop over five real coding agents (npm)
	@COLTEC_E2E_AGENTS=more COLTEC_AGENTS_DIR=$$(scripts/install-agents.sh):$$(scripts/install-agents.sh more) COLTEC_AGENT_HOPS=$${COLTEC_AGENT_HOPS:-100} go test $(LINKED) -count=1 -timeout 90m -run TestManyHops -v ./e2e/agents

.PHONY: fuzz
fuzz: build ## fuzz every fuzz test for FUZZTIME (5m) each
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: soak-crash
soak-crash: build ## kill coltecd at every named step, and it and rclone at random points, many more times than make test does
	@COLTEC_STEPS=$${COLTEC_STEPS:-1000} COLTEC_CRASHES=$${COLTEC_CRASHES:-300} go test -count=1 -parallel 4 -timeout 60m -run 'TestKilledAtEachStep|TestRandomKills' -v ./e2e

.PHONY: soak-truth
soak-truth: build ## two hundred stops of every kind while programs write: what each of them says is so
	@COLTEC_TRUTH=$${COLTEC_TRUTH:-200} go test -count=1 -timeout 60m -run 'TestTruth' -v ./e2e

.PHONY: soak-live
soak-live: build ## a thousand generations of databases under their writers: each opens, and has what was promised; ages and delays
	@COLTEC_LIVE=$${COLTEC_LIVE:-1000} go test -count=1 -timeout 150m -run 'TestLive' -v ./e2e

.PHONY: soak-races
soak-races: build ## two hundred races of two daemons for one workspace
	@COLTEC_RACES=$${COLTEC_RACES:-200} go test -count=1 -timeout 60m -run 'TestRaces' -v ./e2e

.PHONY: soak-faults
soak-faults: build ## half an hour of edits and hops while the way to the store breaks
	@COLTEC_SOAK_MINUTES=$${COLTEC_SOAK_MINUTES:-30} go test -count=1 -timeout 90m -run 'TestSoakFaults' -v ./e2e

.PHONY: soak-model
soak-model: build ## a hundred random histories of machines on real files, with real rclone and a real S3 server
	@COLTEC_SOAK=$${COLTEC_SOAK:-100} go test -count=1 -timeout 60m -run 'TestSoakModel' -v ./engine

.PHONY: soak-git
soak-git: build ## a hundred rounds of random git work on two machines, with coltecd killed in the middle
	@COLTEC_GIT_ROUNDS=$${COLTEC_GIT_ROUNDS:-100} go test -count=1 -timeout 60m -run 'TestRandomGitWork' -v ./e2e

.PHONY: soak-stores
soak-stores: build ## thirty generations of PostgreSQL by freeze, ten by hooks and twenty of LevelDB, under load, each started elsewhere
	@COLTEC_STORES=$${COLTEC_STORES:-30} go test -count=1 -timeout 60m -run 'TestPostgresByFreeze|TestPostgresByHook|TestLevelDBByFreeze' -v ./e2e

.PHONY: soak-sqlite
soak-sqlite: ## a thousand captures of databases in every journal mode while other processes write them, and every mutant
	@COLTEC_SQLITE_CAPTURES=$${COLTEC_SQLITE_CAPTURES:-125} COLTEC_WHOLE=1 go test -count=1 -timeout 60m -v ./pkg/sqlite

.PHONY: test-backends
test-backends: build ## hold crypt, WebDAV, SFTP and a local directory to the whole conformance suite
	@COLTEC_BACKENDS=1 go test -count=1 -timeout 15m -run 'Conform' ./pkg/store

.PHONY: test-versitygw
test-versitygw: build ## conformance, lease races, expiry and a part of e2e on an S3 server that is not rclone's
	@cd tools/versitygw && CGO_ENABLED=0 go build -o ../../$(BIN)/versitygw github.com/versity/versitygw/cmd/versitygw
	@COLTEC_WHOLE=1 COLTEC_VERSITYGW=$(CURDIR)/$(BIN)/versitygw go test -count=1 -timeout 15m -run 'Conform|OnServer|SnapshotIsExact' ./pkg/store
	@COLTEC_WHOLE=1 COLTEC_VERSITYGW=$(CURDIR)/$(BIN)/versitygw go test -count=1 -timeout 15m -run 'TestHistory|TestVerify|TestFaultStore|TestFaultAnotherHolder|TestDrill|TestOwnLease|TestRemoteFaults|TestSuspendedHolder|TestFork$$|TestPurge$$|TestJoin$$|TestCheckpoint$$|TestRewind$$|TestRewindInDoubt' ./e2e

.PHONY: bench
bench: build ## measure replication beside rclone and restic, whole: more than half an hour (root; apt-get install restic)
	@go run ./bench/replication $${PAGE:+-write $$PAGE}

.PHONY: bench-hop
bench-hop: build dist ## measure hops of 1,000 files between two Docker hosts (Debian, root)
	@COLTEC_BENCH_HOP=1 scripts/e2e-devcontainer.sh -v -run TestBenchHop

.PHONY: bench-quick
bench-quick: build ## the same with 1,000 and 10,000 files only, in a few minutes
	@go run ./bench/replication -sizes 1000,10000 -interval 10s -saves 10 -skip big,five

.PHONY: bench-fork
bench-fork: build ## measure forks: time, requests, and what came by this host
	@go run ./bench/fork -bin $(BIN)

.PHONY: bench-fleet
bench-fleet: build ## simulate fifty live workspaces, list a thousand heads, and say what fleets cost, in some minutes
	@go run ./bench/fleet -bin $(BIN) $${PAGE:+-write $$PAGE} $${FIGURES:+-figures $$FIGURES}

.PHONY: bench-supervisor
bench-supervisor: build ## measure coltecd beside supervisord, runit and s6 (root; apt-get install supervisor runit s6)
	@go run ./bench/supervisor -coltecd $(BIN)/coltecd

.PHONY: soak-supervisor
soak-supervisor: build ## fifty crashing services for a minute: memory, CPU and logs
	@go run ./bench/supervisor -coltecd $(BIN)/coltecd -storm 60s

.PHONY: generate
generate: ## write generated documents and schemas anew
	@go generate ./...
	@go run -C tools/check . -write
	@go test ./supervisor ./cmd/coltecd ./cmd/coltec ./pkg/control ./pkg/toolbox ./pkg/metrics ./pkg/plan ./pkg/scaffold ./pkg/spec -run "Doc|CLI|States|Golden" -update >/dev/null
	@echo "generate: done; git diff shows what changed"

.PHONY: figures
figures: ## measure the rooms anew, for the table of docs/ARCHITECTURE.md
	@go run -C tools/check ./figures -write

.PHONY: clean
clean: ## remove what was built
	@rm -rf $(BIN) dist .demo
