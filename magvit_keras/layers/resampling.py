"""Average pooling and nearest upsampling by two, in space and optionally in time."""

from typing import Any

from keras import ops

from magvit_keras import backend


def downsample(x: Any, axes: tuple[bool, ...]) -> Any:
    """Averages pairs of cells along the chosen axes; an odd axis keeps its last cell alone.

    Args:
        x: (B, ..., C).
        axes: for each axis between batch and channels, whether it is halved.

    Returns:
        The pooled tensor; a halved axis of length n has length ceil(n / 2).
    """
    whole = backend.downsample(x, axes)
    if whole is not None:
        return whole
    for axis, halve in enumerate(axes, start=1):
        if not halve:
            continue
        if x.shape[axis] % 2:  # the mean of a cell with itself is the cell
            last = x[(slice(None),) * axis + (slice(-1, None),)]
            x = ops.concatenate([x, last], axis=axis)
        # Axis by axis: the gradient of one mean over three axes needs a broadcast that TensorFlow lacks outside graphs.
        shape = (ops.shape(x)[0], *x.shape[1:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
        x = ops.mean(ops.reshape(x, shape), axis=axis + 1)
    return x


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
