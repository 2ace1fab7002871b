"""Dense layers by one product with the bias and the GELU in it, where the backend has such a thing."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend


def dense(layer: keras.layers.Layer, x: Any, axes: int = 1, gelu: bool = False) -> Any:
    """`layer(x)`, for a `Dense` or an `EinsumDense` with a bias and no activation of its own.

    Args:
        layer: its kernel takes the last `axes` axes of `x` to new ones.
        x: (..., inputs).
        axes: how many axes are the inputs.
        gelu: whether GELU follows, in the form with tanh.
    """
    if layer.quantization_mode is None:
        x, kernel, bias = (
            ops.cast(ops.convert_to_tensor(a), layer.compute_dtype) for a in (x, layer.kernel, layer.bias)
        )
        made = backend.dense(x, kernel, bias, axes, gelu)
        if made is not None:
            return made
    return ops.gelu(layer(x), approximate=True) if gelu else layer(x)
