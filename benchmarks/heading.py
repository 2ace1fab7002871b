"""What every table of a benchmark says of itself."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import sys


def heading(*more: str) -> str:
    """Date, versions, machine and command; then what the benchmark adds."""
    import keras  # late: magvit_keras, imported by then, has chosen a backend that is installed

    backend = keras.config.backend()
    version = importlib.metadata.version(backend)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = " ".join(["python", f"benchmarks/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]])
    parts = [
        f"{datetime.date.today()}, Keras {keras.__version__}, {backend} {version}",
        f"{platform.machine()} with {cores} core{'s' * (cores != 1)}",
        f"`{command}`",
        *more,
    ]
    return "; ".join(parts) + "."
