"""Padding of the three axes of a clip in every mode of the paper and of the authors' code."""

from typing import Any

from magvit_keras import backend

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
    widths = [((k - 1) // 2, k // 2) for k in kernel_size]
    return backend.pad(x, widths, padding) if any(sum(width) for width in widths) else x
