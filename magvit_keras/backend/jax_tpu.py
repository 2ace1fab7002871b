"""The forms of convolutions, normalizations and attention that suit TPUs.

What XLA does there within a convolution is free: it computes elementwise operations within the convolution that reads
them, unless something else reads their result, too, as slices for a padded border do. So the border is taken from the
tensor before such operations. Attention is JAX's flash attention kernel: the N x N weights never leave the chip's fast
memory, where XLA's own form moves them several times.
"""

import math
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


#: Rows of a block of the kernel, which takes multiples of them only; and keys that fit into the fast memory at once.
_ROWS, _KEYS = 128, 2048


def attention(query: jax.Array, key: jax.Array, value: jax.Array, causal: bool) -> jax.Array | None:
    """softmax(query key) value, each (B, N, heads, D); None for short sequences, where blocks would be padding."""
    b, n, _, _ = query.shape
    if n < _ROWS:
        return None
    # A kernel of TPUs: its module is loaded where it is used.
    from jax.experimental.pallas.ops.tpu import flash_attention as kernel

    whole = _ROWS * math.ceil(n / _ROWS)
    keys = whole
    if whole > _KEYS:
        whole = keys = 4 * _ROWS * math.ceil(n / (4 * _ROWS))
        keys = 4 * _ROWS
    rows = next(size for size in (4 * _ROWS, 3 * _ROWS, 2 * _ROWS, _ROWS) if whole % size == 0)
    blocks = kernel.BlockSizes(rows, keys, keys, 1, rows, keys, keys, rows, keys, keys, rows)
    # The padding sees itself alone, and is cut off.
    segment = jnp.broadcast_to((jnp.arange(whole) >= n).astype("int32"), (b, whole))
    padding = ((0, 0), (0, 0), (0, whole - n), (0, 0))
    heads = (jnp.pad(jnp.swapaxes(x, 1, 2), padding) for x in (query, key, value))
    made = kernel.flash_attention(
        *heads, segment_ids=kernel.SegmentIds(segment, segment), causal=causal, block_sizes=blocks
    )
    return jnp.swapaxes(made[:, :, :n], 1, 2)
