#!/usr/bin/env bash
# Writes the exact versions that `make demo`, `make test` and `make docs` install (requirements/*.txt).
#
#     scripts/lock.sh              keeps the versions that still fit
#     scripts/lock.sh --upgrade    takes the newest
#
# The resolution is universal: one file serves Linux, macOS and Windows and every supported Python.
# UV names the uv command.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.13.0
UV=${UV:-uv}
options=("$@")

compile() { # compile TARGET ARGUMENTS...
    local target=requirements/$1
    shift
    # Names and versions only: where packages come from is the business of each machine's own configuration.
    # One version for all Pythons ("fewest"), so that a result on one of them says something about the others.
    "$UV" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        ${options[@]+"${options[@]}"} "$@" pyproject.toml --output-file "$target"
    printf '%s\n' "# Made by scripts/lock.sh (make lock) from pyproject.toml: change that file, not this one." \
        | cat - "$target" > "$target.new"
    mv "$target.new" "$target"
}

# uv reads the present lock for the versions to keep, and torch's line there would bring torch's CUDA packages in.
touch requirements/lock.txt
grep -v '^torch==' requirements/lock.txt > requirements/lock.txt.new || true
mv requirements/lock.txt.new requirements/lock.txt

compile lock.txt --extra jax --extra tensorflow --extra video --extra plots --extra test \
    requirements/lock.in requirements/build.in
# The smaller environments take their versions from the large one.
same=(--constraint requirements/lock.txt requirements/build.in)
compile demo.txt --extra jax --extra video --extra plots "${same[@]}"
compile docs.txt --extra docs "${same[@]}"
echo "torch==$TORCH_VERSION" >> requirements/lock.txt
