"""Several devices on JAX: one program over all of them, whose arrays `keras.distribution` spreads.

A step sees the whole batch, so that losses, random numbers and clipping are those of one device without further ado.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

#: Axes of the transformer's weights that the devices of a model share: heads, the width of the MLP, and of the
#: embeddings. By the end of the variable's path.
TRANSFORMER_LAYOUT = {
    r"attention/(query|key|value)/kernel": (None, "model", None),
    r"attention/(query|key|value)/bias": ("model", None),
    r"attention/out/kernel": ("model", None, None),
    r"mlp_in/kernel": (None, "model"),
    r"mlp_in/bias": ("model",),
    r"mlp_out/kernel": ("model", None),
    r"embedding/(tokens|positions|segments)": (None, "model"),
}


class EvenModelParallel(keras.distribution.ModelParallel):
    """Keras' ModelParallel that leaves an axis whole where its size does not divide by the devices."""

    def get_variable_layout(self, variable: keras.Variable) -> keras.distribution.TensorLayout:
        """The layout of a weight."""
        layout = super().get_variable_layout(variable)
        mesh = dict(zip(self.device_mesh.axis_names, self.device_mesh.shape, strict=True))
        axes = [
            None if axis and size % mesh[axis] else axis for axis, size in zip(layout.axes, variable.shape, strict=True)
        ]
        return keras.distribution.TensorLayout(axes, self.device_mesh)


def start(kind: str, several: bool, model_devices: int) -> None:
    """Makes the devices known to Keras; with `several` processes, these find each other first."""
    if several and not jax.distributed.is_initialized():
        _keep_devices_of_task()
        keras.distribution.initialize()
    if kind == "data":
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        return
    count = jax.device_count()
    if jax.process_count() > 1 or count % model_devices:
        raise ValueError(
            f'"model" shares one process\'s devices in groups of {model_devices}; there are {count} devices in '
            f'{jax.process_count()} processes. Use "data", or another number of devices to a group.'
        )
    mesh = keras.distribution.DeviceMesh((count // model_devices, model_devices), ("batch", "model"))
    layout = keras.distribution.LayoutMap(mesh)
    for path, axes in TRANSFORMER_LAYOUT.items():
        layout[rf"(.*/)?{path}"] = axes
    keras.distribution.set_distribution(EvenModelParallel(layout_map=layout, auto_shard_dataset=False))


def _keep_devices_of_task() -> None:
    """Lets a task of Slurm have all GPUs of its machine where it is the only one there.

    JAX takes it that each task has one GPU, whose number is that of the task on its machine, unless it is told.
    """
    if "SLURM_LOCALID" not in os.environ or "JAX_LOCAL_DEVICE_IDS" in os.environ:
        return
    tasks, machines = (os.environ.get(f"SLURM_STEP_NUM_{of}") for of in ("TASKS", "NODES"))
    alone = tasks is not None and tasks == machines  # a step has at least one task on each of its machines
    count = _shown_gpus()
    # A GPU that Slurm shows to one of several tasks alone has the number 0 there.
    if count and (alone or count == 1):
        os.environ["JAX_LOCAL_DEVICE_IDS"] = ",".join(map(str, range(count)))


def _shown_gpus() -> int:
    """GPUs that this process may use, by the environment; 0 where it does not tell."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return sum(name.strip() not in ("", "-1", "NoDevFiles") for name in shown.split(","))
    count = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return int(count) if count.isdecimal() else 0


def stop() -> None:
    """New variables live on one device again."""
    keras.distribution.set_distribution(None)


def use_own_device() -> None:
    """Nothing to do: a process takes the first GPU that it is shown."""


def process() -> tuple[int, int]:
    """Number of this process, and of all."""
    return jax.process_index(), jax.process_count()


def batch_parts() -> int:
    """Devices that a batch is shared by."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


def num_replicas() -> int:
    """How often a step runs side by side: once, on all devices."""
    return 1


def replica_count() -> int:
    """The same, where a step is being run."""
    return 1


def replica_index() -> int:
    """The only one."""
    return 0


def all_sum(values: Sequence[Any]) -> list:
    """Sums over the replicas: there is one."""
    return list(values)


def all_gather(array: np.ndarray) -> np.ndarray:
    """The arrays of all processes, stacked: (processes, ...)."""
    if jax.process_count() == 1:
        return array[None]
    return np.asarray(multihost_utils.process_allgather(array)).reshape(-1, *array.shape)


def wait() -> None:
    """Returns when all processes have come so far."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("magvit_keras")


def synchronize(variables: Sequence[keras.Variable]) -> None:
    """Nothing to do: a variable is one array over all devices, and Keras seeds the processes alike."""


def settle(model: keras.Model) -> None:
    """Puts what `fit` has computed into the model's variables: all processes must do so before one saves them."""
    model.jax_state_sync()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """What one process does by itself, such as saving: Keras makes variables on the way, which must not be shared."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def placed(values: list, arrays: Any) -> tuple[list, Any]:
    """Weights and inputs of a program other than the train step, such as `encode`, on this process's devices.

    Processes work on clips of their own there, so they cannot run one program together.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return values, arrays
    mesh, axis = distribution.device_mesh.backend_mesh, distribution.batch_dim_name
    if jax.process_count() > 1:
        mesh, axis = jax.sharding.Mesh(np.array(jax.local_devices()), ("batch",)), "batch"
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        values = [
            jax.make_array_from_single_device_arrays(x.shape, whole, [part.data for part in x.addressable_shards])
            for x in values
        ]

    def place(x: Any) -> jax.Array:
        x = x if isinstance(x, jax.Array) else np.asarray(x)
        even = x.ndim and x.shape[0] % mesh.shape[axis] == 0
        return jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*[axis][:even])))

    return values, jax.tree.map(place, arrays)
