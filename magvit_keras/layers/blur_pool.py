"""Halving with a binomial low-pass filter, the alternative to average pooling in the discriminator."""

from typing import Any

from keras import ops

_TAPS = (0.125, 0.375, 0.375, 0.125)  # Python floats: they leave half-precision inputs in half precision


def blur_pool(x: Any) -> Any:
    """Blurs every axis between batch and channels with the taps 1, 3, 3, 1 and keeps every second cell.

    The border is zero. An axis of length 1 stays as it is: with nothing beside it there is nothing to blur.

    Args:
        x: (B, ..., C).

    Returns:
        The halved tensor; an axis of length n has length ceil(n / 2).

    Reference:
        Making Convolutional Networks Shift-Invariant Again (arXiv 1904.11486).
    """
    for axis in range(1, len(x.shape) - 1):
        if x.shape[axis] > 1:
            x = _halve(x, axis)
    return x


def _halve(x: Any, axis: int) -> Any:
    size = x.shape[axis]
    half = -(-size // 2)
    total = (half - 1) * 2 + len(_TAPS) - size  # cells of padding, as SAME counts them
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (total // 2, total - total // 2)
    x = ops.pad(x, widths)
    result = None
    for offset, tap in enumerate(_TAPS):
        cells = x[(slice(None),) * axis + (slice(offset, offset + 2 * half - 1, 2),)]
        result = cells * tap if result is None else result + cells * tap
    return result
