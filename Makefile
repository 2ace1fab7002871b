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
# The environments come without bytecode, see scripts/env.sh. Where it is never written, each process that imports
# Keras compiles thousands of files again, for longer than most tests take.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo studio test test-backend test-torchcodec test-tfio lint format docs notebooks lock clean
.PHONY: test-course env env-demo env-docs env-keras-cv env-torchcodec env-tfio test-keras-cv

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

demo: env-demo ## make clips for ten tasks, then fine-tune the model briefly; the results are in demo/
	KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=2 .venv-demo/bin/magvit-keras demo --out demo $(ARGS)

studio: env-demo ## a page on this computer to paint holes into clips and to watch the model fill them
	KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=2 .venv-demo/bin/magvit-keras studio --open $(ARGS)

test: env env-docs ## check the style, build the documentation, run the tests on the three backends
	.venv/bin/python scripts/run_tests.py $(ARGS)

test-backend: env ## run the tests on one backend: make test-backend BACKEND=torch ARGS="-k decode"
	KERAS_BACKEND=$(BACKEND) TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python -m pytest $(ARGS)

test-course: env ## run every lesson and task notebook of the course, with few steps
	KERAS_BACKEND=torch MPLBACKEND=Agg TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python -m pytest -n auto -m course tests/test_tutorials.py $(ARGS)

test-torchcodec: env-torchcodec ## run the tests of the decoders with torchcodec; needs FFmpeg's shared libraries
	NEEDED=torchcodec KERAS_BACKEND=torch .venv-torchcodec/bin/python -m pytest tests/data/test_video_decoders.py $(ARGS)

test-tfio: env-tfio ## run the tests of the decoders with tensorflow-io and TensorFlow 2.16
	NEEDED=tensorflow_io KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=2 \
	LD_LIBRARY_PATH="$$(.venv-tfio/bin/python scripts/ffmpeg4.py .venv-tfio/ffmpeg4):$$LD_LIBRARY_PATH" \
	.venv-tfio/bin/python -m pytest tests/data/test_video_decoders.py $(ARGS)

test-keras-cv: env-keras-cv ## run the tests of keras-cv 0.9 on the three backends
	for backend in tensorflow jax torch; do NEEDED=keras_cv KERAS_BACKEND=$$backend TF_CPP_MIN_LOG_LEVEL=2 \
	.venv-keras-cv/bin/python -m pytest tests/tokenizer/test_keras_cv.py $(ARGS) || exit 1; done

lint: env ## check the style
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: env ## mend the style
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

docs: env-docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

notebooks: env ## make the notebooks from tutorials/: make notebooks ARGS="--execute 01_clips", ARGS=--check
	KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python scripts/make_notebooks.py $(ARGS)

lock: ## choose locked versions again: make lock ARGS=--upgrade
	@scripts/env.sh .venv-lock requirements/uv.txt
	UV=.venv-lock/bin/uv scripts/lock.sh $(ARGS)

clean: ## remove the environments and everything that was built
	rm -rf .venv .venv-demo .venv-docs .venv-keras-cv .venv-lock .venv-tfio .venv-torchcodec build dist site demo .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@scripts/env.sh .venv requirements/lock.txt

env-demo:
	@scripts/env.sh .venv-demo requirements/demo.txt

env-docs:
	@scripts/env.sh .venv-docs requirements/docs.txt

env-torchcodec:
	@scripts/env.sh .venv-torchcodec requirements/torchcodec.txt

env-keras-cv:
	@scripts/env.sh .venv-keras-cv requirements/keras-cv.txt

env-tfio:
	@NEWEST=12 scripts/env.sh .venv-tfio requirements/tfio.txt
