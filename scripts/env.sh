#!/usr/bin/env bash
# Builds a virtual environment with the versions of a lock file and this package in it; does nothing when it is up to date.
#
#     scripts/env.sh .venv requirements/lock.txt
#
# PYTHON       the Python to use (default: the first of 3.11-3.13 found)
# NEWEST=12    the newest Python that the lock has builds for is 3.12, not 3.13
# TORCH_INDEX  one more package index, for PyTorch's CPU builds
set -euo pipefail
cd "$(dirname "$0")/.."

env=$1
lock=$2
case $env in .venv*) ;; *) echo "env.sh: expected a folder named .venv*, got $env" >&2; exit 2 ;; esac

version_of() { "$1" -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null; }

# python_between LOW HIGH NAME...: the first name that runs a Python 3.LOW to 3.HIGH. Running it is the only sure test:
# a version manager's stand-in may exist for a Python that is not installed.
python_between() {
    local low=$1 high=$2 name found
    shift 2
    for name in "$@"; do
        found=$(version_of "$name") || continue
        [ "${found% *}" = 3 ] && [ "${found#* }" -ge "$low" ] && [ "${found#* }" -le "$high" ] && echo "$name" && return
    done
    return 1
}

newest=${NEWEST:-13}
names=(python3 python3.13 python3.12 python3.11 python)
[ -n "${PYTHON:-}" ] && names=("$PYTHON")
# All three backends publish builds for 3.11-3.13; a newer Python is tried only where there is nothing else.
if ! python=$(python_between 11 "$newest" "${names[@]}" || python_between 14 99 "${names[@]}"); then
    echo "magvit_keras needs Python 3.11 or newer. Found:" >&2
    for name in "${names[@]}"; do
        found=$(version_of "$name") && echo "  $name is Python ${found/ /.}" >&2 || echo "  $name: not there" >&2
    done
    echo "Name one with: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi

# What the environment is made of. The place counts, since its commands hold absolute paths. The package itself is
# installed editable, so only a change of its metadata asks for more, and that takes a second.
made_of="$(version_of "$python") $PWD $(cksum < "$lock") ${TORCH_INDEX:-}"
package="$(cksum < pyproject.toml)"

run() { "$@" >> "$env/build.log" 2>&1 || { tail -n 25 "$env/build.log" >&2; echo "env.sh: building $env failed (the whole log: $env/build.log)" >&2; exit 1; }; }

# The stamps are written last: an interrupted build leaves none and is started again from nothing.
if ! "$env/bin/python" -c '' 2>/dev/null || [ "$(cat "$env/made_of" 2>/dev/null)" != "$made_of" ]; then
    echo "Building $env from $lock with Python $(version_of "$python" | tr ' ' .); this takes some minutes, once."
    rm -rf "$env"
    mkdir "$env"
    if ! "$python" -m venv "$env" >> "$env/build.log" 2>&1; then
        cat "$env/build.log" >&2
        echo "env.sh: $python cannot make virtual environments (on Debian and Ubuntu: the package python3-venv)" >&2
        exit 1
    fi
    # Not compiled to bytecode: most of these thousands of files are never imported, and the rest compile on first use.
    run "$env/bin/python" -m pip install --disable-pip-version-check --no-compile --retries 5 \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$lock"
    echo "$made_of" > "$env/made_of"
fi
if [ "$(cat "$env/package" 2>/dev/null)" != "$package" ]; then
    run "$env/bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$package" > "$env/package"
fi
