"""LayerNorm of the transformer, and of the sum of two tensors in one pass, where the backend has such a thing."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend

# Of the authors' BERT.
EPSILON = 1e-12


def layer_norm(name: str) -> keras.layers.Layer:
    """LayerNorm in float32 under any dtype policy."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, dtype="float32", name=name)


def normalized_sum(layer: keras.layers.Layer, x: Any, y: Any, training: bool | None = None) -> Any:
    """`layer(x + y)` in the type of `x`, for a built `layer_norm`.

    Args:
        layer: of `layer_norm`.
        x: (..., D).
        y: of the same shape and type.
        training: whether gradients will be asked for.
    """
    made = None if training else backend.normalized_sum(x, y, layer.gamma, layer.beta, EPSILON)
    return ops.cast(layer(x + y) if made is None else made, x.dtype)
