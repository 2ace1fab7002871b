"""Several devices on PyTorch: one process for each, started by torchrun, that average what they learn.

Gradients are averaged after they are computed. `DistributedDataParallel`, which does so on the way, is not safe with
the gradient of a gradient that R1 takes.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch
from torch import distributed

_BUCKET = 2**25  # numbers in one message: large enough for the network, small beside the model

#: How long a process waits for the others. NCCL's own 10 minutes are too few where one has more to do than the others,
#: as with files that are tokenized unequally fast; the process that waits would be ended.
_PATIENCE = datetime.timedelta(hours=12)


def start(kind: str, several: bool, model_devices: int) -> None:
    """Joins the processes that torchrun has started."""
    if kind == "model":
        raise ValueError('On PyTorch only "data" is possible; "model" needs the JAX backend.')
    if "WORLD_SIZE" not in os.environ:
        devices = torch.cuda.device_count()
        if several or devices > 1:
            raise ValueError(
                f"On PyTorch each of the {devices} GPUs needs a process of its own; start them with torchrun, for "
                f"example: torchrun --nproc-per-node={max(devices, 1)} -m magvit_keras train --distribution data ..."
            )
        return
    if not _joined():
        if torch.cuda.is_available():
            torch.cuda.set_device(_own_device())
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)


def use_own_device() -> None:
    """Gives each of the processes of a machine another GPU, before anything is put on one."""
    # A model that is there already stays where it is, and so must all that it is given.
    if torch.cuda.is_available() and not torch.cuda.memory_allocated():
        torch.cuda.set_device(_own_device())


def _own_device() -> int:
    """Number of the GPU of this process, by its number on this machine as torchrun or else srun tells it."""
    numbers = [os.environ.get(name, "") for name in ("LOCAL_RANK", "SLURM_LOCALID")]
    local = next((int(number) for number in numbers if number.isdecimal()), 0)
    return local % torch.cuda.device_count()  # Slurm may show a task its own GPU alone


def stop() -> None:
    """Leaves the group."""
    if _joined():
        distributed.destroy_process_group()


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def process() -> tuple[int, int]:
    """Number of this process, and of all."""
    return (distributed.get_rank(), distributed.get_world_size()) if _joined() else (0, 1)


def batch_parts() -> int:
    """Devices that a batch is shared by."""
    return process()[1]


def num_replicas() -> int:
    """How often a step runs side by side."""
    return process()[1]


def replica_count() -> int:
    """The same, where a step is being run."""
    return process()[1]


def replica_index() -> int:
    """Number of the process that runs this."""
    return process()[0]


def all_sum(values: Sequence[Any]) -> list:
    """Sums over the processes, the same bits on each; no gradient goes through."""
    values = [torch.as_tensor(x).detach() for x in values]
    if replica_count() == 1:
        return values
    sums: list = [None] * len(values)
    for places in _buckets(values):
        flat = torch.cat([values[place].reshape(-1) for place in places])
        distributed.all_reduce(flat)
        parts = flat.split([values[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            sums[place] = part.reshape(values[place].shape)
    return sums


def _buckets(values: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Places of tensors that travel together: of one kind, and not too many numbers."""
    kinds: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        kinds.setdefault((value.dtype, value.device), []).append(place)
    for places in kinds.values():
        bucket, size = [], 0
        for place in places:
            if bucket and size + values[place].numel() > _BUCKET:
                yield bucket
                bucket, size = [], 0
            bucket.append(place)
            size += values[place].numel()
        yield bucket


def _device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"


def all_gather(array: np.ndarray) -> np.ndarray:
    """The arrays of all processes, stacked: (processes, ...)."""
    if process()[1] == 1:
        return array[None]
    mine = torch.from_numpy(np.ascontiguousarray(array)).to(_device())
    parts = [torch.empty_like(mine) for _ in range(process()[1])]
    distributed.all_gather(parts, mine)
    return np.stack([part.cpu().numpy() for part in parts])


def wait() -> None:
    """Returns when all processes have come so far."""
    if process()[1] > 1:
        distributed.barrier()


@torch.no_grad()
def synchronize(variables: Sequence[keras.Variable]) -> None:
    """Gives all processes the values of the first one, and each random numbers of its own."""
    if process()[1] == 1:
        return
    for variable in variables:
        value = variable.value.detach().to(_device(), copy=True)
        distributed.broadcast(value, 0)
        variable.value.copy_(value)
    # Keras' dropout draws from PyTorch's global generator, which `set_random_seed` makes the same everywhere.
    draw = int(torch.randint(2**62, ()))
    if process()[0]:
        torch.manual_seed(draw + process()[0])


def settle(model: keras.Model) -> None:
    """Nothing to do: variables hold what `fit` has computed."""


def alone() -> contextlib.AbstractContextManager:
    """What one process does by itself, such as saving: nothing stands in its way."""
    return contextlib.nullcontext()
