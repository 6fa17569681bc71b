# Names the verbs of run.sh, which holds them. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test unit lint types format bench bench-gitops lock infra-test clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)$$/\1|\2/p' Makefile | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

setup: ## Make or update .venv from requirements.lock, hashes checked.
	@./run.sh setup

demo: ## Take real orders the whole way: train, release, promote, answer, roll back; MODEL=name takes another model.
	@./run.sh demo $(MODEL)

up: ## Start the MLflow UI and the staging and production services; Ctrl-C stops them.
	@./run.sh up

test: ## Run everything that must hold: lint, types, contracts, every test.
	@./run.sh test

unit: ## Run the quick tests only: conventions and unit.
	@./run.sh unit

lint: ## Check style, imports' contracts, shell scripts and workflows.
	@./run.sh lint

types: ## Check types: mypy, strict.
	@./run.sh types

format: ## Rewrite the code as ruff wants it.
	@./run.sh format

bench: ## Measure what the design promises; ONLY=gatekeeper measures one, QUICK=1 measures less of everything.
	@./run.sh bench $(if $(QUICK),--quick) $(ONLY)

bench-gitops: ## Measure git and Argo CD alone: commands on 10,000 releases, syncs and reverts up to 200 applications.
	@./run.sh bench-gitops $(if $(QUICK),--quick)

lock: ## Resolve requirements.in into requirements.lock again.
	@./run.sh lock

infra-test: ## Apply the Terraform of both environments to a moto server, judge it, try its roles, destroy it.
	@./run.sh infra-test

clean: ## Remove .venv and all state; a laptop's release history and its signing key go with it.
	@./run.sh clean
