"""Weights of the official Flax models."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.not_offered import refuse_not_offered

#: Class of ours -> the function that names its variables as Flax does. By name, so that loading a discriminator
#: does not import the transformer.
_PATHS = {
    "VideoTokenizer": "flax_tokenizer.tokenizer_paths",
    "ImageTokenizer": "flax_tokenizer.tokenizer_paths",
    "VideoDiscriminator": "flax_discriminator.discriminator_paths",
    "ImageDiscriminator": "flax_discriminator.discriminator_paths",
    "MaskedTransformer": "flax_transformer.transformer_paths",
}


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
    paths = flax_paths(model)
    flat = flatten(params)
    missing, extra = sorted(paths.keys() - flat.keys()), sorted(flat.keys() - paths.keys())
    if missing or extra:
        refuse_not_offered(flat)
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


def flax_paths(model: keras.Model) -> dict[str, keras.Variable]:
    """Flax path -> variable, for every variable of a model of this library.

    Raises:
        ValueError: the authors' code has no such model.
    """
    for cls in type(model).__mro__:
        if cls.__name__ in _PATHS:
            module, function = _PATHS[cls.__name__].split(".")
            return getattr(importlib.import_module(f"magvit_keras.convert.{module}"), function)(model)
    raise ValueError(f"No Flax names are known for a {type(model).__name__}; known classes: {', '.join(_PATHS)}.")


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
