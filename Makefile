# The checks of CONTRIBUTING.md, by name. CI runs .ci/run, and so does `make ci`.

.DEFAULT_GOAL := help
.PHONY: help quick test lint race fips fuzz api docs evidence ci

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quick: ## before every commit, under a minute: gofmt, vet, the tests of the root module
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go test ./...

test: ## the tests of every module, without the race detector
	@for m in $$(git ls-files '*go.mod'); do (cd $$(dirname $$m) && echo "-- $$(dirname $$m)" && go test ./...) || exit 1; done

lint: ## golangci-lint over every module
	bash .ci/run lint

race: ## the root module under the race detector, shuffled
	bash .ci/run race

fips: ## the product's tests under GODEBUG=fips140=only
	bash .ci/run fips

fuzz: ## every fuzz target; FUZZTIME=20000x or 10m
	bash .ci/run fuzz

api: ## write the golden files of the exported API
	go run ./tools/api

docs: ## write the generated documents
	go generate ./tools/docgen

evidence: ## mend the tests and mutants that documents name, after a move
	go run ./tools/evidence
	go -C test/mutation run . -fix

ci: ## everything a change has to pass
	bash .ci/run
