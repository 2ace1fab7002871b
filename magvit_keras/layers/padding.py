"""Padding of the three axes of a clip in every mode of the paper and of the authors' code."""

from typing import Any

import numpy as np
from keras import ops

#: "same" is zero padding; the paper's tokenizer replaces it by "reflect" (Sec. 3.1).
PADDINGS = ("reflect", "same", "edge", "symmetric", "wrap")


def check_padding(padding: str) -> str:
    """Returns `padding`, or raises with the list of known ones."""
    if padding not in PADDINGS:
        raise ValueError(f"Unknown padding {padding!r}; expected one of {', '.join(PADDINGS)}.")
    return padding


def pad(x: Any, kernel_size: tuple[int, ...], padding: str) -> Any:
    """Pads the axes between batch and channels so that a convolution of that size keeps the shape.

    Args:
        x: (B, ..., C).
        kernel_size: one size for each padded axis; `(k - 1) // 2` cells go before, `k // 2` after.
        padding: one of `PADDINGS`. Reflecting an axis of length 1 repeats its only cell.

    Returns:
        The padded tensor.
    """
    if padding == "same":
        widths = [(0, 0), *(((k - 1) // 2, k // 2) for k in kernel_size), (0, 0)]
        return ops.pad(x, widths) if any(sum(w) for w in widths) else x
    for axis, k in enumerate(kernel_size, start=1):
        before, after = (k - 1) // 2, k // 2
        if before + after:
            x = _pad_axis(x, axis, before, after, padding)
    return x


def _pad_axis(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    size = x.shape[axis]
    source = np.pad(np.arange(size), (before, after), mode=mode)
    pieces = [_cell(x, axis, i) for i in source[:before]]
    pieces.append(x)
    pieces += [_cell(x, axis, i) for i in source[before + size :]]
    return ops.concatenate(pieces, axis=axis)


def _cell(x: Any, axis: int, index: int) -> Any:
    return x[(slice(None),) * axis + (slice(int(index), int(index) + 1),)]
