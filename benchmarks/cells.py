"""A benchmark's cells: each is measured in a process of its own, so that none sees another's memory or programs."""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

BACKENDS = ("jax", "tensorflow", "torch")


def parser(about: str | None, backends: tuple[str, ...] = BACKENDS) -> argparse.ArgumentParser:
    """What every benchmark of cells is asked: the backends, and in a cell's process the cell."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--backends", nargs="*", default=list(backends), choices=BACKENDS)
    made.add_argument("--cell", help=argparse.SUPPRESS)
    return made


def in_process(backend: str, cell: Any, *arguments: str, **environment: str) -> dict:
    """What the running script's `report` prints when it is called with `--cell CELL` on that backend."""
    command = [sys.executable, sys.argv[0], "--cell", json.dumps(cell), *arguments]
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"{backend} {cell} failed:\n{done.stderr[-2000:]}")
    found = json.loads(lines[-1].removeprefix("RESULT "))
    if "heading" in found:  # of the command that the reader gives
        found["heading"] = found["heading"].replace(f" --cell {json.dumps(cell)}", "")
    return found


def report(found: dict) -> None:
    """Hands a cell's numbers to `in_process`."""
    print("RESULT " + json.dumps(found), flush=True)
