"""Checks of what users hand in, made before any long work."""

import os
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras.early_checks import check_divides, check_numbers, check_parts, check_positive  # noqa: F401

#: How far decoded clips may lie outside of [0, 1]: so much is clipped by whatever looks at clips or measures them.
EXCURSION = 0.25


def to_numpy(x: Any) -> np.ndarray:
    """`keras.ops.convert_to_numpy` without the warnings that NumPy gives on Keras' way; of a variable a copy."""
    if isinstance(x, keras.Variable):
        with warnings.catch_warnings():  # its value may be that of several replicas, which Keras knows how to read
            warnings.simplefilter("ignore", DeprecationWarning)
            return np.array(ops.convert_to_numpy(x))
    if hasattr(x, "detach"):  # of PyTorch
        x = x.detach().cpu()
        if keras.backend.standardize_dtype(x.dtype) != "bfloat16":  # which NumPy knows by another library alone
            return x.numpy()
    return ops.convert_to_numpy(x)


def described(value: Any) -> str:
    """What a user has given, in a few words for a message."""
    if isinstance(value, str | bytes | os.PathLike):
        return f"the text {str(value)!r}" if isinstance(value, str) else f"{value!r}"
    if hasattr(value, "shape"):
        return f"an array of the shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value)) or '(none)'}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return f"a {type(value).__name__}" if " object at 0x" in text else f"{type(value).__name__} {text}"[:120]


def check_array(video: Any, name: str = "video", what: str = "") -> None:
    """Raises ValueError unless the clips, or `what`, are an array or a tensor."""
    if hasattr(video, "shape") and hasattr(video, "dtype"):
        return
    if what:
        raise ValueError(f"{name} must be an array of {what}; received {described(video)}.")
    hint = "A file is read by magvit_keras.data.read_video, a folder of them by magvit_keras.data.VideoFolder."
    if isinstance(video, dict):
        hint = 'The clips of a dict are its entry "video".'
    elif isinstance(video, tuple | list):
        hint = "Clips of one size become an array by np.stack(clips)."
    raise ValueError(f"{name} must be an array (batch, time, height, width, 3); received {described(video)}. {hint}")


def _video_and_label(batch: Any) -> tuple[Any, Any]:
    """Of a tuple or a list: the clips, and the labels or None."""
    video, label, *rest = (*batch, None, None)[: max(2, len(batch))]
    if any(len(getattr(part, "shape", ())) > 3 for part in (label, *rest)):
        raise ValueError(
            f"Expected clips, or clips and labels; received a {type(batch).__name__} of {len(batch)} arrays. Clips of "
            "one size become an array by np.stack(clips)."
        )
    return video, label


def video_of(batch: Any) -> Any:
    """The clips of a batch: the batch itself, its "video" entry, or the first of a tuple."""
    if isinstance(batch, tuple | list) and batch:
        batch = _video_and_label(batch)[0]
    if isinstance(batch, dict):
        if "video" not in batch:
            raise ValueError(f'A batch given as a dict needs the key "video"; received the keys {_keys(batch)}.')
        batch = batch["video"]
    return batch


def _keys(batch: dict) -> str:
    return ", ".join(sorted(map(str, batch))) or "(none)"


def check_axes(video: Any, name: str = "video") -> None:
    """Raises ValueError unless `video` is an array (B, T, H, W, 3)."""
    check_array(video, name)
    shape = tuple(video.shape)
    if len(shape) != 5 or shape[-1] != 3:
        hint = " A single clip needs a batch axis: clip[None]." if len(shape) == 4 and shape[-1] == 3 else ""
        raise ValueError(
            f"{name} must be (batch, time, height, width, 3), channels last; received the shape {shape}.{hint}"
        )


def check_video(video: Any, divisor: tuple[int, int, int], name: str = "video") -> None:
    """Raises ValueError unless `video` is (B, T, H, W, 3), divisible, and in [0, 1] or uint8.

    Args:
        video: the clips, concrete.
        divisor: what time, height and width must be divisible by.
        name: how the message calls the argument.
    """
    check_axes(video, name)
    shape = tuple(video.shape)
    for axis, size, by in zip(("time", "height", "width"), shape[1:4], divisor, strict=True):
        if size % by or size < by:
            raise ValueError(
                f"{name} has {axis} {size}, which is not a multiple of {by}, the tokenizer's downsampling along "
                f"{axis}; received the shape {shape}."
            )
    check_range(video, name)


def check_range(pixels: Any, name: str = "video", excursion: float = 1e-3) -> None:
    """Raises ValueError unless the pixels are uint8, or floats in [0, 1]; `excursion` is how far outside passes."""
    array = pixels if isinstance(pixels, np.ndarray) else to_numpy(pixels)
    if not array.size:
        raise ValueError(f"{name} holds no clip; received the shape {tuple(array.shape)}.")
    if array.dtype == np.uint8:
        return
    if array.dtype.kind not in "fV":  # bfloat16 has kind V
        raise ValueError(f"{name} must be uint8, or floats in [0, 1]; received {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity).")
    if low < -excursion or high > 1 + excursion:
        hint = ""
        if high > 2:
            hint = " Divide by 255, or pass uint8."
        elif low >= -EXCURSION and high <= 1 + EXCURSION:
            hint = " Clip what a decoder has put a little outside: np.clip(x, 0, 1)."
        elif -1.001 <= low <= -0.5 and high <= 1.001:
            hint = " From [-1, 1] it is (x + 1) / 2."
        raise ValueError(f"{name} must be in [0, 1]; received values from {low:.4g} to {high:.4g}.{hint}")


def range_or_nan(pixels: Any, excursion: float = 1e-3) -> Any:
    """The pixels, or NaN everywhere if one is outside [0, 1]: `check_range` where a compiled step cannot raise."""
    if keras.backend.standardize_dtype(pixels.dtype) == "uint8":
        return pixels
    fits = ops.logical_and(ops.min(pixels) >= -excursion, ops.max(pixels) <= 1 + excursion)
    return ops.where(fits, pixels, ops.cast(float("nan"), pixels.dtype))


def to_float(video: Any, dtype: str = "float32") -> Any:
    """uint8 clips scaled to [0, 1]; floats unchanged."""
    video = ops.convert_to_tensor(video)
    if keras.backend.standardize_dtype(video.dtype) == "uint8":
        return ops.cast(video, dtype) / 255.0
    return ops.cast(video, dtype)


def batch_of(data: Any) -> dict[str, Any]:
    """A batch as a dict: the dict itself, or "video" and "label" of an array or a tuple."""
    if isinstance(data, tuple | list) and data:
        video, label = _video_and_label(data)
        data = video if isinstance(video, dict) else {"video": video, "label": label}
    elif not isinstance(data, dict):
        data = {"video": data}
    given = {key: value for key, value in data.items() if value is not None}
    if "video" not in given and "tokens" not in given:
        raise ValueError(f'A batch needs the key "video" or "tokens"; received the keys {_keys(given)}.')
    return given
