"""What users may give as labels: the one check of `fit`, `evaluate`, `tokenize` and `generate`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from magvit_keras.checks import described, to_numpy


def class_numbers(
    label: Any, num_classes: int, names: Sequence[str] | None = None, count: int | None = None, none: bool = True
) -> np.ndarray:
    """Classes as numbers.

    Args:
        label: numbers, names or both, (B,) or (B, 1); rows (B, num_classes) with a single 1; or one class for all.
        num_classes: how many there are.
        names: of the classes, in the order of their numbers.
        count: B, where it is known; one class for all will not do then.
        none: whether -1 may stand for "no class".

    Returns:
        int32 (B,), or () of one class for all.

    Raises:
        ValueError: anything else.

    Example:
        >>> class_numbers(["rain", 0], 3, names=["waves", "clouds", "rain"]).tolist()
        [2, 0]
    """
    expected = f"class numbers in [0, {num_classes})"
    if names is not None:
        expected += f", or names: {', '.join(names)}"
    array = _array(label)
    if array is None:
        raise ValueError(f"label must be an array or a list of {expected}; received {described(label)}.")
    if array.dtype.kind in "OSUT":
        numbers = [_number(entry, names, expected) for entry in array.ravel()]
        array = np.array(numbers, "float64").reshape(array.shape)
    if array.dtype.kind not in "iubf":
        raise ValueError(f"label must be {expected}; received {array.dtype}.")
    array = _without_second_axis(array, num_classes, expected)
    if count is not None and array.shape != (count,):
        raise ValueError(f"label must have an entry for each of the {count} clips; received {described(array)}.")
    if array.dtype.kind == "f":  # as tables and text files hold them
        between = array[~np.isfinite(array) | (array != np.round(array))]
        if between.size:
            raise ValueError(f"label must be whole numbers; received {between[0]}.")
    if array.size and not -none <= array.min() <= array.max() < num_classes:
        allowed = f"in [0, {num_classes})" + ", or -1 for no class" * none
        raise ValueError(f"label must be {allowed}; received {array.min():g} to {array.max():g}.")
    return array.astype("int32")


def _array(label: Any) -> np.ndarray | None:
    """Of numbers, texts, lists, tensors, and columns of tables; None of anything else."""
    if isinstance(label, list | tuple):
        if any(np.ndim(entry) for entry in label):
            rows = [_array(entry) for entry in label]
            return np.stack(rows) if len({None if row is None else row.shape for row in rows}) == 1 else None
        array = np.empty(len(label), object)
        array[:] = label
        return array
    if isinstance(label, str | bytes | int | float | np.generic):
        return np.array(label, object)
    if not hasattr(label, "shape"):
        return None
    return to_numpy(label) if hasattr(label, "device") else np.asarray(label)


def _number(entry: Any, names: Sequence[str] | None, expected: str) -> float:
    name = entry.decode(errors="replace") if isinstance(entry, bytes) else entry
    if isinstance(name, str):
        name = str(name)  # NumPy's texts show themselves as np.str_('...')
        if names is None:
            raise ValueError(f"label must be a number: this model names no classes; received {name!r}.")
        if name not in names:
            raise ValueError(f"label must be one of {', '.join(names)}, or its number; received {name!r}.")
        return float(list(names).index(name))
    if np.ndim(entry) or not hasattr(entry, "__float__"):
        raise ValueError(f"label must be {expected}; received {described(entry)}.")
    return float(entry)


def _without_second_axis(array: np.ndarray, num_classes: int, expected: str) -> np.ndarray:
    """(B, 1) -> (B,), and rows with a single 1 -> its position."""
    if array.ndim < 2:
        return array
    if array.shape[1:] == (1,):
        return array[:, 0]
    rows = array if array.ndim == 2 and array.shape[1] == num_classes else None
    if rows is None or not np.all((rows == 0) | (rows == 1)) or not np.all(rows.sum(axis=1) == 1):
        raise ValueError(
            f"label must be (batch,) {expected}, or rows (batch, {num_classes}) with a single 1; received the shape "
            f"{array.shape}."
        )
    return rows.argmax(axis=1)
