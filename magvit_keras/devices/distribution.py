"""Training, tokenizing and measuring on several devices and machines; see docs/how_to/distributed.md.

`start("data")` comes before any model is made. From then on each batch is shared by the devices:

- JAX: all devices of all processes, as `keras.distribution.DataParallel`; `start("model")` shares the weights of the
  transformer too. One process a machine.
- TensorFlow: all GPUs of one machine, in one process, as `MirroredStrategy`.
- PyTorch: one process for each GPU, started by torchrun.
"""

import dataclasses
import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras import backend
from magvit_keras.early_checks import check_positive

#: kind -> what it does
KINDS = {
    "none": "one device",
    "data": "each device takes a part of every batch",
    "model": "devices share the weights of the transformer, too (JAX)",
}

# Number of this process and of all, as torchrun, Keras and Slurm's srun tell it. Slurm's own number of tasks, without
# STEP, counts in a batch script as well, which runs once.
_ENVIRONMENT = (
    ("RANK", "WORLD_SIZE"),
    ("KERAS_DISTRIBUTION_PROCESS_ID", "KERAS_DISTRIBUTION_NUM_PROCESSES"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What `start` has set up.

    Attributes:
        kind: a name in `KINDS`.
        index: number of this process, from 0.
        count: processes.
        batch_parts: devices, of all processes, that share a batch: its size must be a multiple of this.
    """

    kind: str = "none"
    index: int = 0
    count: int = 1
    batch_parts: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.index == 0

    @property
    def process(self) -> tuple[int, int]:
        """(index, count), as loaders and `write_tokens` take it."""
        return self.index, self.count

    def check_batch_size(self, **sizes: int) -> None:
        """Raises ValueError unless the named batch sizes, over all processes, can be shared evenly."""
        for name, size in sizes.items():
            if size % self.batch_parts:
                raise ValueError(f"{name}={size} cannot be shared evenly by {self.batch_parts} devices.")

    def shard(self, source: Any, drop_remainder: bool = False) -> Any:
        """The clips of this process, for tokenizing or measuring a source in parts; see `Source.shard`."""
        return source if self.count == 1 else source.shard(self.index, self.count, drop_remainder)

    def gather(self, arrays: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
        """Named arrays of all processes, in the order of the processes; shapes may differ between these.

        Every process must call it. What travels is NumPy's own format, without pickle.
        """
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
        mine = np.frombuffer(file.getvalue(), "uint8")
        sizes = backend.distribution.all_gather(np.array([mine.size], "int32"))[:, 0]
        padded = np.zeros(int(sizes.max()), "uint8")
        padded[: mine.size] = mine
        found = []
        for row, size in zip(backend.distribution.all_gather(padded), sizes, strict=True):
            with np.load(io.BytesIO(row[:size].tobytes()), allow_pickle=False) as loaded:
                found.append(dict(loaded))
        return found

    def merged(self, statistics: Any) -> Any:
        """`metrics.FeatureStatistics` of the clips of all processes, from those of this one's; the same on each."""
        parts = []
        for arrays in self.gather({name: getattr(statistics, name) for name in ("count", "mean", "scatter")}):
            part = type(statistics)()
            part.count, part.mean, part.scatter = int(arrays["count"]), arrays["mean"], arrays["scatter"]
            parts.append(part)
        return type(statistics).merged(parts)

    def wait(self) -> None:
        """Returns when all processes have come so far."""
        backend.distribution.wait()


_CURRENT = Distribution()


def start(kind: str = "none", model_devices: int = 2) -> Distribution:
    """Sets up the devices; call it before any model is made, and once.

    Args:
        kind: a name in `KINDS`.
        model_devices: devices that share one copy of the transformer's weights, for "model"; the number of devices
            must be a multiple of it. Axes of weights that do not divide evenly stay whole.

    Returns:
        What was set up; `current()` returns it later on.

    Raises:
        ValueError: an unknown kind, one that the backend does not have, or an environment that says otherwise; the
            message tells what is possible.

    Example:
        >>> start("none").process
        (0, 1)
    """
    global _CURRENT
    if kind not in KINDS:
        raise ValueError(f"Unknown distribution {kind!r}; expected one of {', '.join(KINDS)}.")
    check_positive(model_devices=model_devices)
    _, count = _environment()
    if kind == "none":
        if count > 1:
            raise ValueError(
                f'This is one of {count} processes, by the environment, and they would all do the same: use "data" '
                "(--distribution data), or start one process."
            )
        return _CURRENT
    backend.distribution.start(kind, count > 1 or "JAX_COORDINATOR_ADDRESS" in os.environ, model_devices)
    _CURRENT = Distribution(kind, *backend.distribution.process(), backend.distribution.batch_parts())
    return _CURRENT


def current() -> Distribution:
    """What `start` has set up; one process on one device if it was not called."""
    return _CURRENT


def stop() -> None:
    """Undoes `start`: for notebooks and tests. Models made under it should not be used any more."""
    global _CURRENT
    if _CURRENT.kind != "none":
        backend.distribution.stop()
    _CURRENT = Distribution()


def process() -> tuple[int, int]:
    """(index, count) of this process among those that torchrun, srun or `start` have set up.

    For work that needs no talk between processes, such as tokenizing: `start` need not have been called. Call it before
    any model is made: on PyTorch each process of a machine then takes a GPU of its own.
    """
    if _CURRENT.kind != "none":
        return _CURRENT.process
    index, count = _environment()
    if index is None:
        raise ValueError(
            "The environment tells of several processes, not which one this is; start with --distribution data."
        )
    if count > 1:
        backend.distribution.use_own_device()
    return index, count


def _environment() -> tuple[int | None, int]:
    for index, count in _ENVIRONMENT:
        if os.environ.get(count, "").isdecimal():
            number = os.environ.get(index, "")
            total = int(os.environ[count])
            return (int(number) if number.isdecimal() else None if total > 1 else 0), total
    return 0, 1
