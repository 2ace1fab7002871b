"""The convolution of TPUs: the border apart from the rest, so that nothing is written for the padding.

XLA pads by zeros within a convolution, and computes what comes before, such as a normalization, there as well. Any
other padding it writes to memory first, with all that comes before. So here the large convolution pads by zeros, and
what the cells beyond the border add to the outermost cells is computed from slices and added.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magvit_keras.backend import plain


def convolve_bordered(x: jax.Array, kernel: jax.Array, double: Sequence[bool] | None, mode: str) -> jax.Array:
    """The numbers of `convolve(pad(upsample(x, double)))` for a kernel of size 3.

    With P = Z + E along an axis, Z padding by zeros and E the cells beyond the border alone,
    P_T P_H P_W = Z_T Z_H Z_W + E_T P_H P_W + Z_T E_H P_W + Z_T Z_H E_W; all but the first act on slices.

    Args:
        x: (B, ..., in), before the upsampling.
        kernel: (3, ..., in, out).
        double: for each axis between batch and channels, whether each cell is repeated once before; None for no axis.
        mode: "same" or another padding, of the large grid.
    """
    rank = kernel.ndim - 2
    double = tuple(double or (False,) * rank)
    y = _zero_padded(x, kernel, double)
    if mode == "same":
        return y
    for axis in range(rank):
        size = y.shape[axis + 1]
        source = np.pad(np.arange(size), 1, mode=mode)
        for tap, place, cell in ((0, 0, source[0]), (2, size - 1, source[-1])):
            cell = int(cell) // (2 if double[axis] else 1)
            face = _face(jax.lax.slice_in_dim(x, cell, cell + 1, axis=axis + 1), kernel, axis, tap, double, mode)
            widths = [(0, 0, 0)] * y.ndim
            widths[axis + 1] = (place, size - 1 - place, 0)
            y = y + jax.lax.pad(face, jnp.zeros((), face.dtype), widths)
    return y


def _face(cells: jax.Array, kernel: jax.Array, axis: int, tap: int, double: tuple[bool, ...], mode: str) -> jax.Array:
    """What one layer of cells beyond the border adds to the layer before it."""
    rank = len(double)
    for other in range(rank):
        if other != axis and double[other]:
            cells = jnp.repeat(cells, 2, axis=other + 1)
    # The axes before pad by zeros, those behind in their way: so no cell beyond an edge counts twice.
    cells = plain.pad(cells, [(1, 1) if other > axis else (0, 0) for other in range(rank)], mode)
    kernel = jax.lax.slice_in_dim(kernel, tap, tap + 1, axis=axis)
    return _convolve(cells, kernel, [(1, 1) if other < axis else (0, 0) for other in range(rank)])


def _zero_padded(x: jax.Array, kernel: jax.Array, double: tuple[bool, ...]) -> jax.Array:
    """A doubled axis as the transposed convolution by the kernel (a, a + b, b + c, c) of the cells two apart."""
    for axis, doubled in enumerate(double):
        if doubled:
            a, b, c = (jax.lax.slice_in_dim(kernel, i, i + 1, axis=axis) for i in range(3))
            kernel = jnp.concatenate([a, a + b, b + c, c], axis=axis)
    widths = [(2, 2) if doubled else (1, 1) for doubled in double]
    return _convolve(x, kernel, widths, [2 if doubled else 1 for doubled in double])


def _convolve(
    x: jax.Array, kernel: jax.Array, widths: Sequence[tuple[int, int]], apart: Sequence[int] | None = None
) -> jax.Array:
    layout = "N" + "DHW"[3 - len(widths) :] + "C"
    dimensions = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, (layout, layout[1:-1] + "IO", layout))
    ones = (1,) * len(widths)
    return jax.lax.conv_general_dilated(x, kernel, ones, widths, lhs_dilation=apart, dimension_numbers=dimensions)


def group_norm(x: Any, groups: int, scale: Any, bias: Any, epsilon: float) -> jax.Array:
    """(B, ..., C) of half precision normalized over all axes but batch and group, in one pass over `x` before that.

    E[x^2] - E[x]^2 in float32 loses what is below 1e-7 of the squared mean; the rounding of `x` itself has lost more.
    """
    axes = tuple(range(1, x.ndim - 1))
    x = x.astype("float32")
    mean = plain.by_group(jnp.mean(x, axis=axes, keepdims=True), groups)
    square = plain.by_group(jnp.mean(jnp.square(x), axis=axes, keepdims=True), groups)
    variance = jnp.maximum(square - jnp.square(mean), 0.0)
    return (x - mean) * (jax.lax.rsqrt(variance + epsilon) * scale) + bias
