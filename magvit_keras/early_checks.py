"""Checks of what users choose that need no Keras: a mistake is answered before it is loaded."""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def check_positive(**sizes: int) -> None:
    """Raises ValueError unless every size is an int of at least 1."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1; received {value!r}.")


def check_numbers(low: float = -math.inf, high: float = math.inf, **values: Any) -> None:
    """Raises ValueError unless each value is a finite number from `low` to `high`."""
    for name, value in values.items():
        number = getattr(value, "item", lambda value=value: value)() if np.ndim(value) == 0 else None
        if not isinstance(number, int | float) or not math.isfinite(number) or not low <= number <= high:
            bounds = f" of at least {low:g}" * (low > -math.inf) + f", at most {high:g}" * (high < math.inf)
            raise ValueError(f"{name} must be a finite number{bounds}; received {value!r}.")


def check_parts(accumulate: int, **batch_sizes: int) -> None:
    """Raises ValueError unless each batch can be split into `accumulate` equal parts."""
    check_positive(accumulate=accumulate)
    for name, size in batch_sizes.items():
        if size % accumulate:
            raise ValueError(f"{name}={size} cannot be split into accumulate={accumulate} equal parts.")


def check_divides(shape: Sequence[int], downsampling: Sequence[int]) -> None:
    """Raises ValueError unless the sizes of a clip, or of an image, are multiples of a tokenizer's downsampling."""
    names = ("frames", "height", "width")[-len(shape) :]
    wrong = [
        f"{name} {size}: use {' or '.join(str(n) for n in (size // by * by, -(-size // by) * by) if n)}"
        for name, size, by in zip(names, shape, downsampling, strict=True)
        if size % by
    ]
    if wrong:
        sizes, by = ("x".join(map(str, numbers)) for numbers in (shape, downsampling))
        raise ValueError(f"Clips of {sizes} do not divide by the tokenizer's downsampling {by}: {'; '.join(wrong)}.")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is none of the known ones: the nearest, and the list.

    Example:
        >>> unknown("task", "frame_predicton", ["frame_prediction", "frame_interpolation"])
        "Unknown task 'frame_predicton'; did you mean frame_prediction? Known: frame_prediction, frame_interpolation."
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, 1)
    asked = f"; did you mean {near[0]}?" if near else "."
    return f"Unknown {kind} {name!r}{asked} Known: {', '.join(known)}."
