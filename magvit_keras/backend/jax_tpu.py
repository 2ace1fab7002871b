"""The forms of convolutions and normalizations that suit TPUs: what XLA does there within a convolution is free.

XLA computes elementwise operations within the convolution that reads them, unless something else reads their result,
too, as slices for a padded border do. So the border is taken from the tensor before such operations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from magvit_keras.backend import plain


def convolve_doubled(x: jax.Array, kernel: jax.Array, double: Sequence[bool]) -> jax.Array:
    """Nearest upsampling and a convolution of size 3 as one transposed convolution.

    Along a doubled axis the outputs are those of the kernel (a, a + b, b + c, c) over cells that lie two apart.

    Args:
        x: (B, ..., in) with one cell of padding on each side of each axis, not yet upsampled.
        kernel: (3, ..., in, out).
        double: for each axis between batch and channels, whether it is doubled.
    """
    for axis, doubled in enumerate(double):
        if doubled:
            a, b, c = (jax.lax.slice_in_dim(kernel, i, i + 1, axis=axis) for i in range(3))
            kernel = jnp.concatenate([a, a + b, b + c, c], axis=axis)
    layout = "N" + "DHW"[3 - len(double) :] + "C"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1,) * len(double),
        [(0, 0)] * len(double),
        lhs_dilation=[2 if doubled else 1 for doubled in double],
        dimension_numbers=(layout, layout[1:-1] + "IO", layout),
    )


def normalizer(x: jax.Array, groups: int, scale: Any, bias: Any, epsilon: float) -> Callable[[jax.Array], jax.Array]:
    """Group normalization by the statistics of `x` (B, ..., C), as a function of tensors (B, ..., C); float32."""
    axes = tuple(range(1, x.ndim - 1))
    values = x.astype("float32")
    mean = plain.by_group(jnp.mean(values, axis=axes, keepdims=True), groups)
    if x.dtype == jnp.float32:
        square = jnp.mean(jnp.square(values - mean), axis=axes, keepdims=True)
        variance = plain.by_group(square, groups)
    else:
        # One pass over `x`: E[x^2] - E[x]^2 loses what is below 1e-7 of the squared mean, and the rounding of a half
        # precision `x` has lost more.
        square = plain.by_group(jnp.mean(jnp.square(values), axis=axes, keepdims=True), groups)
        variance = jnp.maximum(square - jnp.square(mean), 0.0)
    factor = jax.lax.rsqrt(variance + epsilon) * scale
    return lambda y: (y.astype("float32") - mean) * factor + bias
