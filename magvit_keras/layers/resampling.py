"""Average pooling and nearest upsampling by two, in space and optionally in time."""

from typing import Any

from keras import ops


def downsample(x: Any, axes: tuple[bool, ...]) -> Any:
    """Averages pairs of cells along the chosen axes; an odd axis keeps its last cell alone.

    Args:
        x: (B, ..., C).
        axes: for each axis between batch and channels, whether it is halved.

    Returns:
        The pooled tensor; a halved axis of length n has length ceil(n / 2).
    """
    for axis, halve in enumerate(axes, start=1):
        if halve and x.shape[axis] % 2:  # the mean of a cell with itself is the cell
            last = x[(slice(None),) * axis + (slice(-1, None),)]
            x = ops.concatenate([x, last], axis=axis)
    shape, means = [ops.shape(x)[0]], []
    for size, halve in zip(x.shape[1:-1], axes, strict=True):
        shape += [size // 2, 2] if halve else [size]
        if halve:
            means.append(len(shape) - 1)
    return ops.mean(ops.reshape(x, (*shape, x.shape[-1])), axis=tuple(means))


def upsample(x: Any, axes: tuple[bool, ...]) -> Any:
    """Repeats each cell twice along the chosen axes (nearest neighbour).

    Args:
        x: (B, ..., C).
        axes: for each axis between batch and channels, whether it is doubled.
    """
    for axis, double in enumerate(axes, start=1):
        if double:
            x = ops.repeat(x, 2, axis=axis)
    return x
