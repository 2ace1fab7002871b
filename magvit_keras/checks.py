"""Checks of what users hand in, made before any long work."""

from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras.early_checks import check_divides, check_parts, check_positive  # noqa: F401


def video_of(batch: Any) -> Any:
    """The clips of a batch: the batch itself, its "video" entry, or the first of a tuple."""
    if isinstance(batch, tuple | list):
        batch = batch[0]
    if isinstance(batch, dict):
        if "video" not in batch:
            raise ValueError(f'A batch given as a dict needs the key "video"; received the keys {sorted(batch)}.')
        batch = batch["video"]
    return batch


def check_video(video: Any, divisor: tuple[int, int, int], name: str = "video") -> None:
    """Raises ValueError unless `video` is (B, T, H, W, 3), divisible, and in [0, 1] or uint8.

    Args:
        video: the clips, concrete.
        divisor: what time, height and width must be divisible by.
        name: how the message calls the argument.
    """
    shape = tuple(video.shape)
    if len(shape) != 5 or shape[-1] != 3:
        raise ValueError(
            f"{name} must be (batch, time, height, width, 3), channels last; received the shape {shape}. "
            "A single clip needs a batch axis: clip[None]."
        )
    for axis, size, by in zip(("time", "height", "width"), shape[1:4], divisor, strict=True):
        if size % by or size < by:
            raise ValueError(
                f"{name} has {axis} {size}, which is not a multiple of {by}, the tokenizer's downsampling along "
                f"{axis}; received the shape {shape}."
            )
    check_range(video, name)


def check_range(pixels: Any, name: str = "video") -> None:
    """Raises ValueError unless the pixels are uint8, or floats in [0, 1]."""
    array = pixels if isinstance(pixels, np.ndarray) else ops.convert_to_numpy(pixels)
    if not array.size:
        raise ValueError(f"{name} holds no clip; received the shape {tuple(array.shape)}.")
    if array.dtype == np.uint8:
        return
    if array.dtype.kind not in "fV":  # bfloat16 has kind V
        raise ValueError(f"{name} must be uint8, or floats in [0, 1]; received {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity).")
    if low < -1e-3 or high > 1 + 1e-3:
        hint = "Divide by 255, or pass uint8." if high > 2 else "From [-1, 1] it is (x + 1) / 2."
        raise ValueError(f"{name} must be in [0, 1]; received values from {low:.4g} to {high:.4g}. {hint}")


def range_or_nan(pixels: Any) -> Any:
    """The pixels, or NaN everywhere if one is outside [0, 1]: `check_range` where a compiled step cannot raise."""
    if keras.backend.standardize_dtype(pixels.dtype) == "uint8":
        return pixels
    fits = ops.logical_and(ops.min(pixels) >= -1e-3, ops.max(pixels) <= 1 + 1e-3)
    return ops.where(fits, pixels, ops.cast(float("nan"), pixels.dtype))


def to_float(video: Any, dtype: str = "float32") -> Any:
    """uint8 clips scaled to [0, 1]; floats unchanged."""
    video = ops.convert_to_tensor(video)
    if keras.backend.standardize_dtype(video.dtype) == "uint8":
        return ops.cast(video, dtype) / 255.0
    return ops.cast(video, dtype)


def batch_of(data: Any) -> dict[str, Any]:
    """A batch as a dict: the dict itself, or "video" and "label" of an array or a tuple."""
    if isinstance(data, list):
        data = tuple(data)
    if isinstance(data, tuple):
        video, label = (*data, None)[:2]
        data = video if isinstance(video, dict) else {"video": video, "label": label}
    elif not isinstance(data, dict):
        data = {"video": data}
    if "video" not in data and "tokens" not in data:
        raise ValueError(f'A batch needs the key "video" or "tokens"; received the keys {sorted(data)}.')
    return {key: value for key, value in data.items() if value is not None}
