# Two commands are all that a fresh checkout needs: `make demo` and `make test`.
# Each builds its own environment with locked versions first.
#
# Variables: PYTHON=/path/to/python3.12  the Python to build environments with
#            TORCH_INDEX=URL             one more package index for PyTorch (its CPU builds, see docs/contributing.md)
#            BACKEND=jax                 for test-backend: jax, tensorflow or torch
#            ARGS="-k decode"            more arguments for pytest, or for the demo

SHELL := /bin/bash
BACKEND ?= jax
ARGS ?=
export PYTHON TORCH_INDEX

.DEFAULT_GOAL := help
.PHONY: help demo test test-backend lint format docs lock clean env env-demo env-docs

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

demo: env-demo ## train on generated videos and make new ones; the results are in demo/
	KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=2 .venv-demo/bin/magvit-keras demo --out demo $(ARGS)

test: env ## check the style and run all tests on the three backends
	.venv/bin/python scripts/run_tests.py $(ARGS)

test-backend: env ## run the tests on one backend: make test-backend BACKEND=torch ARGS="-k decode"
	KERAS_BACKEND=$(BACKEND) TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python -m pytest $(ARGS)

lint: env ## check the style
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: env ## mend the style
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

docs: env-docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

lock: ## choose locked versions again: make lock ARGS=--upgrade
	@scripts/env.sh .venv-lock requirements/uv.txt
	UV=.venv-lock/bin/uv scripts/lock.sh $(ARGS)

clean: ## remove the environments and everything that was built
	rm -rf .venv .venv-demo .venv-docs .venv-lock build dist site demo .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@scripts/env.sh .venv requirements/lock.txt

env-demo:
	@scripts/env.sh .venv-demo requirements/demo.txt

env-docs:
	@scripts/env.sh .venv-docs requirements/docs.txt
