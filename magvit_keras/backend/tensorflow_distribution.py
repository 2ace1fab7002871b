"""Several devices on TensorFlow: `MirroredStrategy` runs the step once on each device, on a part of the batch."""

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def start(kind: str, several: bool, model_devices: int) -> None:
    """Sets the strategy under which variables are made from now on in this thread."""
    if kind == "model":
        raise ValueError('On TensorFlow only "data" is possible; "model" needs the JAX backend.')
    if several:
        raise ValueError(
            "On TensorFlow all devices belong to one process; the environment tells of several. Start one process a "
            "machine, or use JAX or PyTorch."
        )
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy([device.name for device in devices]))


def stop() -> None:
    """New variables live on one device again."""
    tf.distribute.experimental_set_strategy(None)


def use_own_device() -> None:
    """Nothing to do: a process takes all GPUs that it is shown."""


def process() -> tuple[int, int]:
    """Number of this process, and of all: there is one."""
    return 0, 1


def batch_parts() -> int:
    """Devices that a batch is shared by."""
    return num_replicas()


def num_replicas() -> int:
    """How often a step runs side by side."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_count() -> int:
    """The same, where a step is being run; 1 outside of it."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_index() -> Any:
    """Number of the replica that runs this."""
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, "int32")


def all_sum(values: Sequence[Any]) -> list:
    """Sums over the replicas, the same bits on each; no gradient goes through."""
    values = [tf.stop_gradient(tf.convert_to_tensor(x)) for x in values]
    if replica_count() == 1:
        return values
    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values))


def all_gather(array: np.ndarray) -> np.ndarray:
    """The arrays of all processes, stacked: (1, ...)."""
    return array[None]


def wait() -> None:
    """There is no other process to wait for."""


def synchronize(variables: Sequence[keras.Variable]) -> None:
    """Nothing to do: the strategy makes variables equal on all devices."""


def take_summed_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets the optimizer take gradients as they are: `value_and_gradients` has summed them over the replicas.

    Keras' own optimizer sums them after it has clipped them, replica by replica, by norms that are not the batch's.
    """
    for part in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        if part is not None:
            object.__setattr__(part, "_all_reduce_sum_gradients", list)


def settle(model: keras.Model) -> None:
    """Nothing to do: variables hold what `fit` has computed."""


def alone() -> contextlib.AbstractContextManager:
    """What one process does by itself, such as saving: nothing stands in its way."""
    return contextlib.nullcontext()
