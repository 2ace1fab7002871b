"""What a train step says where it runs on several devices side by side, each with a part of the batch.

On TensorFlow and PyTorch a step sees its part alone, and what is no plain mean over the examples must be put together:
these functions do. On JAX a step sees the whole batch, and they change nothing.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

if keras.config.backend() == "jax":
    from magvit_keras.backend import jax_distribution as chosen
elif keras.config.backend() == "tensorflow":
    from magvit_keras.backend import tensorflow_distribution as chosen
else:
    from magvit_keras.backend import torch_distribution as chosen

_APART = 0x3779B1  # odd and large: the seeds of a layer's replicas and steps do not meet


def replica_sum(x: Any) -> Any:
    """Sum over the replicas of a tensor that each has of its own; no gradient goes through."""
    return chosen.all_sum([x])[0] if chosen.replica_count() > 1 else x


def replica_mean(x: Any) -> Any:
    """Mean over the replicas, the same bits on each, with the gradient of the replica's own part.

    A loss f(mean of all parts) then has the right gradient: the mean over the replicas of the gradients by their own
    parts, which is what `value_and_gradients` returns.
    """
    count = chosen.replica_count()
    if count == 1:
        return x
    return replica_sum(x) / count + (x - ops.stop_gradient(x))


def mean_logs(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs of the whole batch: means of values, sums of (sum, count) pairs; one message for all."""
    count = chosen.replica_count()
    if count == 1 or not logs:
        return logs
    flat = keras.tree.flatten(
        {name: value if isinstance(value, tuple) else value / count for name, value in logs.items()}
    )
    total = replica_sum(ops.stack([ops.cast(x, "float32") for x in flat]))
    return keras.tree.pack_sequence_as(logs, [total[i] for i in range(len(flat))])


def uniform(shape: Sequence[Any], seed: keras.random.SeedGenerator) -> Any:
    """Uniform numbers in [0, 1) for the examples of a batch (B, ...), float32.

    Replicas draw for the whole batch and keep what belongs to their examples: no two draw the same, and a training
    draws the same numbers on any number of devices.
    """
    count = chosen.replica_count()
    if count == 1:
        return keras.random.uniform(tuple(shape), dtype="float32", seed=seed)
    draws = keras.random.uniform((count * shape[0], *shape[1:]), dtype="float32", seed=seed)
    return ops.take(ops.reshape(draws, (count, *shape)), chosen.replica_index(), axis=0)


def choose_rows(pool: Any, draws: Any) -> Any:
    """Rows (K, D) of the pools (N, D) of all replicas, the same on each, by K draws in [0, 1) that all have made."""
    count, size = chosen.replica_count(), ops.shape(pool)[0]
    total = ops.cast(size * count, "float32")
    place = ops.cast(ops.minimum(ops.floor(draws * total), total - 1), "int32")  # (K,)
    rows = ops.take(pool, place % size, axis=0)
    if count == 1:
        return rows
    return replica_sum(ops.where((place // size == chosen.replica_index())[:, None], rows, 0.0))


def even_arrays(arrays: Any, name: str, repeat: bool) -> Any:
    """Arrays of as many examples as the devices of this process can share evenly; a loader is left alone.

    Fewer examples than devices are repeated where that is allowed, all equally often: means stay what they are.
    """
    parts = chosen.batch_parts() // chosen.process()[1]
    if parts == 1 or not (isinstance(arrays, dict | tuple | list) or hasattr(arrays, "shape")):
        return arrays
    size = len(keras.tree.flatten(arrays)[0])
    if size % parts == 0:
        return arrays
    if size < parts:
        if not repeat:
            raise ValueError(f"{name} needs at least an example for each of the {parts} devices; received {size}.")
        return keras.tree.map_structure(lambda x: np.concatenate([x] * parts), arrays)
    warnings.warn(f"{name} leaves out the last {size % parts} of {size} examples: {parts} devices.", stacklevel=3)
    return keras.tree.map_structure(lambda x: x[: size - size % parts], arrays)


def draw_apart(model: keras.Model) -> None:
    """Lets the dropout layers of a model draw other numbers on each replica; their seeds' states stay equal."""
    if chosen.num_replicas() == 1:
        return
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if isinstance(layer, keras.layers.Dropout) and generator is not None and "next" not in vars(generator):
            generator.next = _apart(generator)


def _apart(generator: keras.random.SeedGenerator) -> Any:
    def following(ordered: bool = True) -> Any:
        seed = type(generator).next(generator, ordered)  # (2,)
        if chosen.replica_count() == 1:
            return seed
        offset = ops.cast(chosen.replica_index(), seed.dtype) * _APART
        return seed + ops.stack([offset, ops.zeros_like(offset)])

    return following
