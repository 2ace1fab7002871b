"""Weights of the official Flax models."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.flax_tokenizer import tokenizer_paths
from magvit_keras.convert.flax_transformer import transformer_paths
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer


def load_flax_params(model: keras.Model, params: Mapping[str, Any]) -> None:
    """Copies the parameters of an official Flax model into ours.

    Args:
        model: a `VideoTokenizer` or a `MaskedTransformer` of the same sizes. The authors' tokenizers
            were trained with zero padding: `VideoTokenizer(padding="same")`.
        params: a nested dict, or a flat one with paths such as "encoder/Conv_0/kernel"; a leading "params" level
            is dropped.

    Raises:
        ValueError: paths are missing or left over, or a shape differs; nothing has been assigned then.

    Example:
        >>> tokenizer = VideoTokenizer(padding="same")
        >>> load_flax_params(tokenizer, checkpoint["params"])  # doctest: +SKIP
    """
    if isinstance(model, VideoTokenizer):
        paths = tokenizer_paths(model)
    elif isinstance(model, MaskedTransformer):
        paths = transformer_paths(model)
    else:
        raise ValueError(
            f"load_flax_params knows VideoTokenizer and MaskedTransformer; received {type(model).__name__}."
        )
    flat = flatten(params)
    missing, extra = sorted(paths.keys() - flat.keys()), sorted(flat.keys() - paths.keys())
    if missing or extra:
        raise ValueError(
            f"The parameters do not fit this {type(model).__name__}: {len(missing)} missing {missing[:5]}, "
            f"{len(extra)} unknown {extra[:5]}. Are the sizes of the model those of the checkpoint?"
        )
    values = {}
    for path, variable in paths.items():
        # Attention kernels are (hidden, heads, head size) there; ours may be flat with the same order of numbers.
        if flat[path].size != np.prod(variable.shape, dtype=int):
            raise ValueError(f"{path} has shape {flat[path].shape}; the model expects {tuple(variable.shape)}.")
        values[path] = flat[path].reshape(variable.shape)
    for path, variable in paths.items():
        variable.assign(values[path])


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
