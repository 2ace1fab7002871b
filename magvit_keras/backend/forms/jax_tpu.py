"""The forms of convolutions, normalizations and attention that suit TPUs.

What XLA does there within a convolution is free: it computes elementwise operations within the convolution that reads
them, unless something else reads their result, too, as slices for a padded border do. So the border is taken from the
tensor before such operations. Attention is JAX's flash attention kernel: the N x N weights never leave the chip's fast
memory, where XLA's own form moves them several times.

The last axis fills lanes of 128. Where there are half as many channels or fewer, two cells that lie beside each other
are taken as one cell of twice the channels, so that lanes are not moved empty. Such tensors leave each function in
their usual shape; XLA cancels what turns them out of the other and into it again.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from magvit_keras.backend import plain
from magvit_keras.backend.forms.jax_convolution import convolve

_LANES = 128


def in_pairs(x: jax.Array) -> jax.Array:
    """(B, ..., W, C) -> (B, ..., W / 2, 2 C)."""
    return x.reshape(*x.shape[:-2], x.shape[-2] // 2, 2 * x.shape[-1])


def apart(x: jax.Array) -> jax.Array:
    """The inverse of `in_pairs`."""
    return x.reshape(*x.shape[:-2], 2 * x.shape[-2], x.shape[-1] // 2)


def _is_narrow(x: jax.Array) -> bool:
    return 2 * x.shape[-1] <= _LANES and x.shape[-2] % 2 == 0


def kernel_of_two(kernel: jax.Array, before: int, after: int) -> jax.Array:
    """A kernel (..., n, in, out) for two outputs at a time, (..., cells, in, 2 out), between that many unread cells."""
    edge = [(0, 0)] * (kernel.ndim - 3)
    shifted = [jnp.pad(kernel, [*edge, (before + n, after + 1 - n), (0, 0), (0, 0)]) for n in (0, 1)]
    return jnp.concatenate(shifted, axis=-1)


def convolve_to_lanes(x: jax.Array, kernel: jax.Array, padding: int = 0) -> jax.Array:
    """By twos, which fill the lanes, where a narrow tensor is made of pixels, which are few channels, or a wide one."""
    is_odd = (x.shape[-2] + 2 * padding - kernel.shape[-3]) % 2 == 0  # the number of outputs
    if 2 * kernel.shape[-1] != _LANES or 8 < x.shape[-1] < _LANES or is_odd:
        return convolve(x, kernel, padding)
    return apart(convolve(x, kernel_of_two(kernel, 0, 0), padding, stride=2))


def normalized_convolution(
    x: jax.Array, groups: int, scale: Any, bias: Any, epsilon: float, kernel: jax.Array, padding: str
) -> jax.Array | None:
    """`convolve(pad(silu(group_norm(x))))`, by pairs where `x` is narrow; None for a kernel of another size than 3."""
    rank, modes = kernel.ndim - 2, [padding] * (kernel.ndim - 2)
    if kernel.shape[0] != 3:
        return None
    paired = _is_narrow(x) and 2 * kernel.shape[-1] <= _LANES and padding in ("reflect", "same")
    if paired:
        x, kernel = in_pairs(x), kernel_of_two(kernel, 1, 1)
        kernel = kernel.reshape(*kernel.shape[:-3], 3, 2 * kernel.shape[-2], kernel.shape[-1])
        # Reflected, the cell beyond the border is the second of the pair at the border: the same pair has it in place.
        modes[-1] = "edge"
    fitted = normalizer(x, groups, scale, bias, epsilon, cells=2 if paired else 1)

    def activated(y: jax.Array) -> jax.Array:
        return jax.nn.silu(fitted(y).astype(y.dtype))

    zeros = int(padding == "same")
    x = activated(x if zeros else pad(x, [(1, 1)] * rank, modes))
    return apart(convolve(x, kernel, zeros)) if paired else convolve_to_lanes(x, kernel, zeros)


def add(x: jax.Array, y: jax.Array) -> jax.Array:
    """`x + y` by pairs where they are narrow, so that neither is turned for it."""
    return apart(in_pairs(x) + in_pairs(y)) if _is_narrow(x) else x + y


def convolve_doubled(x: jax.Array, kernel: jax.Array, double: Sequence[bool]) -> jax.Array:
    """Nearest upsampling and a convolution of size 3 as one transposed convolution.

    Along a doubled axis the outputs are those of the kernel (a, a + b, b + c, c) over cells that lie two apart.

    Args:
        x: (B, ..., in) with one cell of padding on each side of each axis, not yet upsampled.
        kernel: (3, ..., in, out).
        double: for each axis between batch and channels, whether it is doubled.
    """
    if double[-1] and 2 * kernel.shape[-1] <= _LANES:
        # The two outputs of a cell along the last axis make a pair.
        a, b, c = (kernel[..., i, :, :] for i in range(3))
        even, odd = (a, b + c, jnp.zeros_like(a)), (jnp.zeros_like(a), a + b, c)
        pairs = jnp.concatenate([jnp.stack(phase, axis=-3) for phase in (even, odd)], axis=-1)
        return apart(_convolve_doubled(x, pairs, (*double[:-1], False)))
    return _convolve_doubled(x, kernel, double)


def pad(x: jax.Array, widths: Sequence[tuple[int, int]], modes: Sequence[str]) -> jax.Array:
    """Pads the axes between batch and channels, each in its mode of NumPy's, with few bytes read for the border.

    A border is cut out of `x` and padded itself; cut out of a tensor that is padded along another axis, XLA counts, and
    may read, all of that tensor.
    """
    if not widths:
        return x
    (before, after), axis = widths[-1], len(widths)
    rest = functools.partial(pad, widths=widths[:-1], modes=modes[:-1])
    if before + after == 0:
        return rest(x)
    first, last = plain.border(x.shape[axis], before, after, modes[-1])
    cells = [rest(jax.lax.slice_in_dim(x, i, i + 1, axis=axis)) for i in first + last]
    return jnp.concatenate([*cells[:before], rest(x), *cells[before:]], axis=axis)


def downsample(x: jax.Array, axes: Sequence[bool]) -> jax.Array | None:
    """Means of pairs of cells along the chosen axes, all at once; None where `x` is not narrow, or a size is odd."""
    sizes = x.shape[1:-1]
    if not _is_narrow(x) or not axes[-1] or any(n % 2 for n, halved in zip(sizes, axes, strict=True) if halved):
        return None
    x, shape, halves = in_pairs(x), [x.shape[0]], []
    for n, halved in zip(sizes[:-1], axes[:-1], strict=True):
        shape += [n // 2, 2] if halved else [n]
        halves += [len(shape) - 1] if halved else []
    total = jnp.sum(x.astype("float32").reshape(*shape, *x.shape[-2:]), axis=tuple(halves))
    width = x.shape[-1] // 2
    return ((total[..., :width] + total[..., width:]) / 2 ** (len(halves) + 1)).astype(x.dtype)


def _convolve_doubled(x: jax.Array, kernel: jax.Array, double: Sequence[bool]) -> jax.Array:
    for axis, doubled in enumerate(double):
        if doubled:
            a, b, c = (jax.lax.slice_in_dim(kernel, i, i + 1, axis=axis) for i in range(3))
            kernel = jnp.concatenate([a, a + b, b + c, c], axis=axis)
    return convolve(x, kernel, doubled=double)


def normalizer(
    x: jax.Array, groups: int, scale: Any, bias: Any, epsilon: float, cells: int = 1
) -> Callable[[jax.Array], jax.Array]:
    """Group normalization by the statistics of `x` (B, ..., C), as a function of tensors (B, ..., C); float32.

    `x` may hold several cells side by side along its last axis.
    """

    def mean_of(values: jax.Array) -> jax.Array:
        means = jnp.mean(values, axis=tuple(range(1, x.ndim - 1)), keepdims=True)
        by_cell = means.reshape(*means.shape[:-1], cells, -1)
        return _repeated(plain.by_group(jnp.mean(by_cell, axis=-2), groups), cells)

    values = x.astype("float32")
    mean = mean_of(values)
    if x.dtype == jnp.float32:
        variance = mean_of(jnp.square(values - mean))
    else:
        # One pass over `x`: E[x^2] - E[x]^2 loses what is below 1e-7 of the squared mean, and the rounding of a half
        # precision `x` has lost more.
        variance = jnp.maximum(mean_of(jnp.square(values)) - jnp.square(mean), 0.0)
    factor = jax.lax.rsqrt(variance + epsilon) * _repeated(scale, cells)
    offset = _repeated(bias, cells)
    return lambda y: (y.astype("float32") - mean) * factor + offset


def _repeated(x: jax.Array, times: int) -> jax.Array:
    return jnp.concatenate([x] * times, axis=-1)


#: Rows of a block of the kernel, which takes multiples of them only; and keys that fit into the fast memory at once.
_ROWS, _KEYS = 128, 2048
#: Chips on which a kernel multiplies float32 matrices alone: "Unsupported matmul RHS type on target" for bfloat16.
_FLOAT32_KERNELS = ("TPU v2", "TPU v3")


def attention(query: jax.Array, key: jax.Array, value: jax.Array, causal: bool, kind: str) -> jax.Array | None:
    """softmax(query key) value, each (B, N, heads, D); None for short sequences, where blocks would be padding.

    `kind` is what JAX calls the device.
    """
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
    dtype = "float32" if kind in _FLOAT32_KERNELS else query.dtype
    heads = (jnp.pad(jnp.swapaxes(x, 1, 2).astype(dtype), padding) for x in (query, key, value))
    made = kernel.flash_attention(
        *heads, segment_ids=kernel.SegmentIds(segment, segment), causal=causal, block_sizes=blocks
    )
    return jnp.swapaxes(made[:, :, :n], 1, 2).astype(query.dtype)
