"""Weights of the official Flax models."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.assign import assign
from magvit_keras.convert.flax_names import flax_paths
from magvit_keras.convert.not_offered import refuse_not_offered


def load_flax_params(model: keras.Model, params: Mapping[str, Any]) -> None:
    """Copies the parameters of an official Flax model into ours.

    Args:
        model: a `VideoTokenizer`, `ImageTokenizer`, `VideoDiscriminator`, `ImageDiscriminator` or
            `MaskedTransformer` of the same sizes. The authors' tokenizers were trained with zero padding:
            `VideoTokenizer(padding="same")`.
        params: a nested dict, or a flat one with paths such as "encoder/Conv_0/kernel"; a leading "params" level
            is dropped.

    Raises:
        ValueError: paths are missing or left over, or a shape differs; nothing has been assigned then.

    Example:
        >>> tokenizer = VideoTokenizer(padding="same")
        >>> load_flax_params(tokenizer, checkpoint["params"])  # doctest: +SKIP
    """
    paths, flat = flax_paths(model), flatten(params)
    if paths.keys() != flat.keys():
        refuse_not_offered(flat)
    for path in paths.keys() & flat.keys():
        # Attention kernels are (hidden, heads, head size) there; ours may be flat with the same order of numbers.
        if flat[path].size == math.prod(paths[path].shape):
            flat[path] = flat[path].reshape(paths[path].shape)
    assign(type(model).__name__, paths, flat)


def flatten(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Nested or flat parameters as {"a/b/c": float32 array}, without a leading "params/"."""
    flat: dict[str, np.ndarray] = {}
    for key, value in params.items():
        key = str(key)
        if isinstance(value, Mapping):
            flat.update({f"{key}/{inner}": array for inner, array in flatten(value).items()})
        else:
            flat[key] = np.asarray(value, dtype="float32")
    if flat and all(key.startswith("params/") for key in flat):
        flat = {key.removeprefix("params/"): array for key, array in flat.items()}
    return flat
