#!/usr/bin/env bash
# Writes the exact versions that the commands of the Makefile install (requirements/*.txt).
#
#     scripts/lock.sh              keeps the versions that still fit
#     scripts/lock.sh --upgrade    takes the newest
#
# The resolution is universal: one file serves Linux, macOS and Windows and every supported Python.
# UV names the uv command.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.13.0
# The newest whose Linux wheel also loads beside PyTorch's CPU build.
TORCHCODEC_VERSION=0.13.0
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
for lock in keras-cv lock torchcodec; do
    touch requirements/$lock.txt
    grep -vE '^torch(codec)?==' requirements/$lock.txt > requirements/$lock.txt.new || true
    mv requirements/$lock.txt.new requirements/$lock.txt
done

compile lock.txt --extra jax --extra tensorflow --extra video --extra plots --extra test \
    requirements/lock.in requirements/torch.in requirements/build.in
# The smaller environments take their versions from the large one.
same=(--constraint requirements/lock.txt requirements/build.in)
compile demo.txt --extra jax --extra video --extra plots "${same[@]}"
compile docs.txt --extra docs "${same[@]}"
compile torchcodec.txt --extra video requirements/pytest.in requirements/torch.in "${same[@]}"
compile keras-cv.txt --extra keras-cv --extra jax requirements/pytest.in requirements/torch.in "${same[@]}"
# TensorFlow 2.16 wants older versions than the others.
compile tfio.txt --extra tfio requirements/pytest.in requirements/tfio.in requirements/build.in
echo "torch==$TORCH_VERSION" >> requirements/lock.txt
echo "torch==$TORCH_VERSION" >> requirements/keras-cv.txt
printf '%s\n' "torch==$TORCH_VERSION" "torchcodec==$TORCHCODEC_VERSION" >> requirements/torchcodec.txt
