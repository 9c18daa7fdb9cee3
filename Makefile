# Everything that a developer needs. Needs Go, and nothing else.
SHELL := /bin/bash -o pipefail
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
KWOKCTL := sigs.k8s.io/kwok/cmd/kwokctl@v0.8.0

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build bin/restore-drill and its kubectl plugin, with completion
	go build -o bin/restore-drill ./cmd/restore-drill
	ln -sf restore-drill bin/kubectl-restore_drill
	ln -sf restore-drill bin/kubectl_complete-restore_drill

toolchain: build ## build the binaries of every drill into the user's cache, once
	bin/restore-drill toolchain build --all

images: build ## make the images of clusters of kind, for a machine that can pull none (needs an engine, debootstrap, root)
	bin/restore-drill images build

drill: build ## run a real drill: two control planes, a lost store, a restore
	bin/restore-drill run etcd-data-lost

drill-kind: build ## run every scenario that clusters of kind can show, on real nodes, and kill a drill in each phase (needs an engine and the images)
	RESTORE_DRILL_ON_KIND=all go test -timeout 6h -p 1 -v -run '^(TestScenariosOnKind|TestKillOnKind)$$' ./drills ./cmd/restore-drill

test: toolchain ## run every test, the real drills and the sabotage among them
	go test -timeout 85m -p 1 $(TESTFLAGS) ./...

bench: toolchain ## run the benchmarks, some of them against kwokctl
	GOBIN=$(CURDIR)/bin go install $(KWOKCTL)
	RESTORE_DRILL_KWOKCTL=$(CURDIR)/bin/kwokctl go test -run '^$$' -bench . -benchtime 3x -timeout 60m -p 1 ./...

lint: ## vet, staticcheck, and the layering rule
	go vet ./...
	go run $(STATICCHECK) ./...
	test -z "$$(gofmt -l .)"
	go test -run TestLayers ./internal/layers

generate: ## write the schemas anew from the types, and the table of the scenarios from their files
	go test ./scenarios ./reports -run 'Schema|Table' -update

.PHONY: help build toolchain images drill drill-kind test bench lint generate
