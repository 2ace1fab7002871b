"""LayerNorm of the transformer."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend

# Of the authors' BERT.
EPSILON = 1e-12


def layer_norm(name: str) -> keras.layers.Layer:
    """LayerNorm in float32 under any dtype policy."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, dtype="float32", name=name)


def normalized_sum(layer: keras.layers.Layer, x: Any, y: Any) -> Any:
    """`layer(x + y)` in the type of `x`, for a built `layer_norm` and (..., D) of one type."""
    return backend.one_pass(_normalized_sum, x, y, layer.gamma, layer.beta)


def _normalized_sum(x: Any, y: Any, gamma: Any, beta: Any) -> Any:
    made = ops.layer_normalization(ops.cast(x + y, "float32"), gamma, beta, axis=-1, epsilon=EPSILON)
    return ops.cast(made, x.dtype)
