"""Bilinear resizing by the rules of the programs whose scores are compared: a published FVD depends on it."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

#: Rule -> where output cell i of n lies among m input cells.
RESIZE_RULES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    # TensorFlow 1 without aligned corners: half a pixel off. The authors' FVD and TF-Hub's.
    "tf1": lambda i, m, n: i * (m / n),
    # PyTorch's F.interpolate and TensorFlow 2: TATS, VideoGPT.
    "half_pixel": lambda i, m, n: (i + 0.5) * (m / n) - 0.5,
    # The first and the last cells coincide: Chainer's, for C3D.
    "aligned": lambda i, m, n: i * ((m - 1) / max(n - 1, 1)),
}


def resize(frames: Any, size: tuple[int, int], rule: str) -> Any:
    """Frames of another size, without smoothing beforehand.

    Args:
        frames: (..., height, width, channels), floats.
        size: (height, width) wanted.
        rule: "tf1", "half_pixel" or "aligned", see `RESIZE_RULES`.

    Returns:
        (..., *size, channels).

    Raises:
        ValueError: unknown rule.

    Example:
        >>> line = np.array([0.0, 3.0], "float32").reshape(1, 2, 1)
        >>> [ops.convert_to_numpy(resize(line, (1, 4), rule)).ravel().round(2).tolist() for rule in RESIZE_RULES]
        [[0.0, 1.5, 3.0, 3.0], [0.0, 0.75, 2.25, 3.0], [0.0, 1.0, 2.0, 3.0]]

    Reference:
        On Aliased Resizing (arXiv 2104.11222).
    """
    check_rule(rule)
    if not isinstance(frames, keras.KerasTensor):
        frames = ops.convert_to_tensor(frames)
    for axis, n in ((-3, size[0]), (-2, size[1])):
        frames = _resize_axis(frames, axis, n, RESIZE_RULES[rule])
    return frames


def resize_and_crop(frames: Any, size: int, rule: str) -> Any:
    """Square frames without squeezing: the short side becomes `size`, and the middle of the long one is kept.

    Args:
        frames: (..., height, width, channels), floats.
        size: height and width wanted.
        rule: as for `resize`.

    Returns:
        (..., size, size, channels).

    Raises:
        ValueError: unknown rule.

    Example:
        >>> wide = np.array([0.0, 1.0, 2.0, 3.0], "float32").reshape(1, 4, 1)
        >>> float(resize_and_crop(wide, 1, "half_pixel")[0, 0, 0])
        1.0

    Reference:
        The FVD of VideoGPT (github.com/wilson1yan/VideoGPT), which scales to the ceiling and crops at the floor.
    """
    height, width = frames.shape[-3:-1]
    scale = size / min(height, width)
    whole = tuple(size if n == min(height, width) else math.ceil(n * scale) for n in (height, width))
    return central_crop(resize(frames, whole, rule), (size, size))


def central_crop(frames: Any, size: tuple[int, int]) -> Any:
    """The middle of frames; where it cannot be in the middle, half a pixel nearer to the top left.

    Args:
        frames: (..., height, width, channels).
        size: (height, width) wanted, at most those of the frames.

    Returns:
        (..., *size, channels).

    Raises:
        ValueError: frames that are smaller.

    Example:
        >>> central_crop(np.arange(5).reshape(1, 5, 1), (1, 2)).ravel().tolist()
        [1, 2]

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3: Kinetics-600 is evaluated on centre crops.
    """
    height, width = frames.shape[-3:-1]
    if size[0] > height or size[1] > width:
        raise ValueError(f"A crop of {tuple(size)} needs frames at least as large; received {height} x {width}.")
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return frames[..., top : top + size[0], left : left + size[1], :]


def check_rule(rule: str) -> None:
    """Raises ValueError for an unknown rule."""
    if rule not in RESIZE_RULES:
        raise ValueError(f"Unknown resize rule {rule!r}; expected one of {', '.join(RESIZE_RULES)}.")


def _resize_axis(x: Any, axis: int, n: int, position: Callable) -> Any:
    m = x.shape[axis]
    if m == n:
        return x
    if m is None:
        return _resize_unknown(x, axis, n, position)
    at = np.clip(position(np.arange(n, dtype="float64"), m, n), 0, m - 1)
    low = np.floor(at).astype("int32")
    share = ops.convert_to_tensor((at - low).reshape((n,) + (1,) * (-axis - 1)), dtype=x.dtype)
    before = ops.take(x, low, axis=axis)
    return before + (ops.take(x, np.minimum(low + 1, m - 1), axis=axis) - before) * share


def _resize_unknown(x: Any, axis: int, n: int, position: Callable) -> Any:
    """For a length that is known only when the graph runs: TensorFlow's, after clips of several sizes."""
    last = ops.shape(x)[axis] - 1
    at = position(ops.arange(n, dtype="float32"), ops.cast(last + 1, "float32"), n)
    at = ops.clip(at, 0.0, ops.cast(last, "float32"))
    low = ops.cast(ops.floor(at), "int32")
    share = ops.reshape(ops.cast(at - ops.floor(at), x.dtype), (n,) + (1,) * (-axis - 1))
    before = ops.take(x, low, axis=axis)
    return before + (ops.take(x, ops.minimum(low + 1, last), axis=axis) - before) * share
