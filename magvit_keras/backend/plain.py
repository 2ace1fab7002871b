"""What Keras' own operations do well enough: the form of JAX and TensorFlow, whose compilers fuse it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops


def group_norm(x: Any, groups: int, scale: Any, bias: Any, epsilon: float) -> Any:
    """(B, ..., C) normalized over all axes but batch and group, float32; accurate where the mean is large.

    Keras' own layer computes the variance as E[x^2] - E[x]^2 on PyTorch, which loses the digits of inputs with a
    large mean.
    """
    axes = tuple(range(1, len(x.shape) - 1))
    x = ops.cast(x, "float32")
    # Statistics by channel, then by group: groups of few channels make short, slow axes.
    x = x - by_group(ops.mean(x, axis=axes, keepdims=True), groups)
    variance = by_group(ops.mean(ops.square(x), axis=axes, keepdims=True), groups)
    return x * (ops.rsqrt(variance + epsilon) * scale) + bias


def cross_entropy(logits: Any, targets: Any, label_smoothing: float) -> Any:
    """(B, N, V) and (B, N) in [0, V) -> (B, N): against (1 - e) one-hot + e / V, in float32."""
    logits = ops.cast(logits, "float32")
    log_normalizer = ops.logsumexp(logits, axis=-1)
    target_logit = ops.squeeze(ops.take_along_axis(logits, targets[..., None], axis=-1), -1)
    return log_normalizer - (1.0 - label_smoothing) * target_logit - label_smoothing * ops.mean(logits, axis=-1)


def dense(x: Any, kernel: Any, bias: Any, axes: int, gelu: bool) -> None:
    """None: the layer does it, and the compiler joins product, bias and GELU."""


def convolve_doubled(x: Any, kernel: Any, double: Any) -> None:
    """None: doubling is done in phases, see `layers.upsampled_convolution`."""


def normalized_convolution(x: Any, *options: Any) -> None:
    """None: normalization, padding and convolution come one after the other."""


def one_pass(fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)`: JAX compiles all anyway, and PyTorch has no compiler on every machine."""
    return fn(*arrays)


def downsample(x: Any, axes: Any) -> None:
    """None: axis by axis."""


def add(x: Any, y: Any) -> Any:
    """`x + y`."""
    return x + y


def by_group(means: Any, groups: int) -> Any:
    """Means by channel (B, 1, ..., C) -> means by group, repeated for each channel of the group."""
    shape = (-1, *means.shape[1:])
    means = ops.reshape(means, (-1, groups, means.shape[-1] // groups))
    means = ops.repeat(ops.mean(means, axis=-1, keepdims=True), means.shape[-1], axis=-1)
    return ops.reshape(means, shape)


def stack(parts: Sequence[Any], axis: int) -> Any:
    """The parts along a new axis.

    On PyTorch Keras' own ties them into a cycle, which keeps them in memory until Python collects it.
    """
    return ops.concatenate([ops.expand_dims(part, axis) for part in parts], axis=axis)


def pad(x: Any, widths: list[tuple[int, int]], mode: str) -> Any:
    """Pads the axes between batch and channels; `mode` is "same" (zeros) or one of NumPy's names."""
    if mode == "same":
        return ops.pad(x, [(0, 0), *widths, (0, 0)])
    for axis, (before, after) in enumerate(widths, start=1):
        if before + after:
            x = _pad_axis(x, axis, before, after, mode)
    return x


def border(size: int, before: int, after: int, mode: str) -> tuple[list[int], list[int]]:
    """Which cells of an axis come before its first and after its last, in a mode of NumPy's."""
    source = [int(i) for i in np.pad(np.arange(size), (before, after), mode=mode)]
    return source[:before], source[before + size :]


def _pad_axis(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    first, last = ([_cell(x, axis, i) for i in cells] for cells in border(x.shape[axis], before, after, mode))
    return ops.concatenate([*first, x, *last], axis=axis)


def _cell(x: Any, axis: int, index: int) -> Any:
    return x[(slice(None),) * axis + (slice(index, index + 1),)]


def random_state() -> list[str]:
    """Of generators beside Keras' own, which are part of the models: there are none."""
    return []


def set_random_state(state: list[str]) -> None:
    """Nothing has such a state."""
