"""Dense layers by one product with the bias in it, where the backend has such a thing."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend


def dense(layer: keras.layers.Layer, x: Any, axes: int = 1) -> Any:
    """`layer(x)`, for a `Dense` or an `EinsumDense` with a bias and no activation.

    Args:
        layer: its kernel takes the last `axes` axes of `x` to new ones.
        x: (..., inputs).
        axes: how many axes are the inputs.
    """
    if layer.quantization_mode is None:
        x, kernel, bias = (
            ops.cast(ops.convert_to_tensor(a), layer.compute_dtype) for a in (x, layer.kernel, layer.bias)
        )
        made = backend.dense(x, kernel, bias, axes)
        if made is not None:
            return made
    return layer(x)
