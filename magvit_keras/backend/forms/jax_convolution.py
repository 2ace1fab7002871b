"""Convolutions in JAX, channels last, and the forms that suit CPUs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from magvit_keras.backend.forms import winograd


def convolve(
    x: jax.Array, kernel: jax.Array, padding: int = 0, stride: int = 1, doubled: Sequence[bool] = ()
) -> jax.Array:
    """Convolution of (B, ..., C) with `padding` zeros on each side of each axis.

    The stride is that of the last axis; along `doubled` axes there is a zero between two cells.
    """
    if _is_pointwise(kernel) and (padding, stride) == (0, 1) and not any(doubled):
        return jnp.matmul(x, kernel.reshape(kernel.shape[-2:]))
    rank = kernel.ndim - 2
    layout = "N" + "DHW"[3 - rank :] + "C"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1,) * (rank - 1) + (stride,),
        [(padding, padding)] * rank,
        lhs_dilation=[2 if double else 1 for double in doubled] or None,
        dimension_numbers=(layout, layout[1:-1] + "IO", layout),
    )


def convolve_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 convolution without padding, over 2 or 3 axes."""
    if _is_pointwise(kernel):
        return convolve(x, kernel)
    return _convolve_3d(x, kernel) if kernel.ndim == 5 else _convolve_2d(x, kernel)


def _is_pointwise(kernel: jax.Array) -> bool:
    return all(size == 1 for size in kernel.shape[:-2])


def _convolve_3d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # XLA's CPU convolution runs at a third of its 2D speed in 3D, so 3D is a sum of 2D ones over shifted frames.
    at_once = winograd.frames_at_once(x, kernel) if x.dtype == kernel.dtype == jnp.float32 else 0
    if at_once:
        return winograd.convolve_by_sums(x, kernel, at_once, _convolve_2d)
    b, t, h, w, c = x.shape
    depth = kernel.shape[0]
    frames = t - depth + 1
    total = None
    for offset in range(depth):
        part = x[:, offset : offset + frames].reshape(b * frames, h, w, c)  # (B*T', H, W, C)
        part = _convolve_2d(part, kernel[offset])
        total = part if total is None else total + part
    return total.reshape(b, frames, *total.shape[1:])


def _convolve_2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # Without padding XLA takes a path that is two to four times slower, forward and for the kernel's gradient; so
    # one row of zeros is added, and the row that it makes is dropped.
    dimensions = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), ((0, 1), (0, 0)), dimension_numbers=dimensions)
    return x[:, :-1]
