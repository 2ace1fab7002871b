"""Convolution over time with fewer products, for float32 on CPUs (Winograd's minimal filtering).

n frames out of a kernel of r frames take n + r - 1 two-dimensional convolutions instead of n r: the frames and the
kernel are mixed by small constant matrices before, and the results after (`y = A ((G k) * (B x))` along time).

Reference:
    Fast Algorithms for Convolutional Neural Networks (arXiv 1509.09308).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.backend import plain

#: Points of interpolation for (frames made at once, frames of the kernel). Chosen for small rounding errors: with these
#: the error is at most 1.7 times that of the plain sum.
_POINTS = {
    (4, 3): (0.0, 0.75, -0.75, 1.5, -1.5),
    (4, 2): (0.0, 1.0, -1.0, 2.0),
    (2, 3): (0.0, 1.0, -1.0),
    (2, 2): (0.0, -1.0),
}
#: Below this many channels there is nothing to gain: mixing costs as much as it saves.
_LEAST_CHANNELS = 32


def frames_at_once(x: Any, kernel: Any) -> int:
    """How many frames to make at once, or 0 where the plain convolution is to be taken."""
    widths = (x.shape[-1], kernel.shape[-1])
    if len(kernel.shape) != 5 or min(widths) < _LEAST_CHANNELS or any(n is None for n in x.shape[1:]):
        return 0
    frames, depth = x.shape[1] - kernel.shape[0] + 1, kernel.shape[0]
    return next((n for n in (4, 2) if frames % n == 0 and (n, depth) in _POINTS), 0)


@functools.cache
def matrices(frames: int, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (frames, m), G (m, depth) and B (m, m) with m = frames + depth - 1, float32."""
    points = _POINTS[frames, depth]
    m = frames + depth - 1
    after, of_kernel, before = np.zeros((frames, m)), np.zeros((m, depth)), np.zeros((m, m))
    for j, point in enumerate(points):
        others = [p for p in points if p != point]
        after[:, j] = [point**i for i in range(frames)]
        of_kernel[j] = [point**i / np.prod([point - p for p in others]) for i in range(depth)]
        before[j, : m - 1] = np.poly(others)[::-1]
    after[-1, -1] = of_kernel[-1, -1] = 1.0  # the point at infinity
    before[-1] = np.poly(points)[::-1]
    return after.astype("float32"), of_kernel.astype("float32"), before.astype("float32")


def convolve_by_sums(x: Any, kernel: Any, frames: int, convolve_2d: Callable[[Any, Any], Any]) -> Any:
    """Mixes by sums of frames, which a compiler fuses; (B, T, H, W, in) -> (B, T', H', W', out), without padding."""
    after, of_kernel, before = matrices(frames, kernel.shape[0])
    groups = (x.shape[1] - kernel.shape[0] + 1) // frames
    windows = [x[:, i : i + frames * (groups - 1) + 1 : frames] for i in range(len(before))]  # (B, groups, H, W, in)
    kernels = _sums(of_kernel, [kernel[i] for i in range(kernel.shape[0])])
    made = []
    for mixed, part in zip(_sums(before, windows), kernels, strict=True):
        made.append(convolve_2d(ops.reshape(mixed, (-1, *mixed.shape[2:])), part))
    made = _sums(after, [ops.reshape(y, (-1, groups, *y.shape[1:])) for y in made])
    y = plain.stack(made, axis=2)
    return ops.reshape(y, (-1, groups * frames, *y.shape[3:]))


def convolve_by_matmul(x: Any, kernel: Any, frames: int, convolve_2d: Callable[[Any, Any], Any]) -> Any:
    """The same with a matrix product for each mixing, one pass through memory where sums are not fused."""
    after, of_kernel, before = matrices(frames, kernel.shape[0])
    length, *size = x.shape[1:]
    groups = (length - kernel.shape[0] + 1) // frames
    flat = ops.reshape(x, (-1, length, int(np.prod(size))))
    windows = [flat[:, frames * i : frames * i + len(before)] for i in range(groups)]  # (B, m, H*W*in)
    mixed = plain.stack([ops.matmul(before[None], window) for window in windows], axis=1)  # (B, groups, m, H*W*in)
    kernels = ops.reshape(
        ops.matmul(of_kernel, ops.reshape(kernel, (kernel.shape[0], -1))), (len(before), *kernel.shape[1:])
    )
    made = [convolve_2d(ops.reshape(mixed[:, :, i], (-1, *size)), kernels[i]) for i in range(len(before))]
    shape = made[0].shape[1:]
    stacked = plain.stack([ops.reshape(y, (-1, int(np.prod(shape)))) for y in made], axis=1)  # (B*groups, m, H'*W'*out)
    return ops.reshape(ops.matmul(after[None], stacked), (-1, groups * frames, *shape))


def _sums(matrix: np.ndarray, parts: Sequence[Any]) -> list:
    """The rows of the matrix applied to the parts; factors of 0 and 1 cost nothing."""
    rows = []
    for row in matrix:
        total = None
        for factor, part in zip(row.tolist(), parts, strict=True):
            if factor:
                term = part if factor == 1 else part * factor
                total = term if total is None else total + term
        rows.append(total)
    return rows
