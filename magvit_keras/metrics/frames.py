"""PSNR and SSIM of frames, between neighbouring frames of a clip, and of the best of several tries."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import EXCURSION, check_range, range_or_nan, to_float, to_numpy

_GRAY = (0.2125, 0.7154, 0.0721)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(real: Any, generated: Any) -> Any:
    """Peak signal-to-noise ratio of every frame, over its pixels and channels.

    Args:
        real: (..., height, width, channels), floats in [0, 1] or uint8: a frame, a clip, a batch of clips.
        generated: the same shape.

    Returns:
        (...,) in dB; infinity for equal frames. The PSNR of a clip is the mean over its frames.

    Raises:
        ValueError: shapes that differ, values outside [0, 1] or not finite.

    Example:
        >>> clips = np.full((2, 3, 16, 16, 3), 0.5, "float32")
        >>> ops.convert_to_numpy(psnr(clips, clips + 0.1)).round(2).tolist()
        [[20.0, 20.0, 20.0], [20.0, 20.0, 20.0]]

    Reference:
        MAGVIT (arXiv 2212.05199), Table 3 (BAIR).
    """
    real, generated = pair(real, generated)
    error = ops.mean(ops.square(real - generated), axis=(-3, -2, -1))
    return -10.0 * ops.log10(error)


def ssim(real: Any, generated: Any) -> Any:
    """Structural similarity of every frame, on gray values, with the constants of the paper of that name.

    Gray is 0.2125 R + 0.7154 G + 0.0721 B; the window is an 11 x 11 Gaussian of 1.5 pixels that stays inside the frame;
    k1 is 0.01, k2 is 0.03. Weighted variances are those of the population.

    Args:
        real: (..., height, width, channels), 3 channels or 1, at least 11 x 11, floats in [0, 1] or uint8.
        generated: the same shape.

    Returns:
        (...,) from -1 to 1, 1 for equal frames. The SSIM of a clip is the mean over its frames.

    Raises:
        ValueError: shapes that differ, frames that are too small, values outside [0, 1] or not finite.

    Example:
        >>> clip = np.random.default_rng(0).random((3, 16, 16, 3), "float32")
        >>> ops.convert_to_numpy(ssim(clip, clip)).round(4).tolist()
        [1.0, 1.0, 1.0]

    Reference:
        Wang et al., Image quality assessment (IEEE TIP 2004).
    """
    return ops.mean(ssim_map(real, generated), axis=(-2, -1))


def ssim_map(real: Any, generated: Any) -> Any:
    """Structural similarity around every pixel: where two frames differ.

    Args:
        real: as for `ssim`.
        generated: the same shape.

    Returns:
        (..., height - 10, width - 10), as the window stays inside the frame; its mean is `ssim`.

    Raises:
        ValueError: as `ssim`.

    Example:
        >>> clip = np.random.default_rng(0).random((3, 16, 16, 3), "float32")
        >>> tuple(ssim_map(clip, clip).shape)
        (3, 6, 6)

    Reference:
        Wang et al., Image quality assessment (IEEE TIP 2004).
    """
    real, generated = pair(real, generated)
    if min(real.shape[-3], real.shape[-2]) < _WINDOW or real.shape[-1] not in (1, 3):
        raise ValueError(
            f"SSIM needs frames of at least {_WINDOW} x {_WINDOW} with 1 or 3 channels; received the shape "
            f"{tuple(real.shape)}."
        )
    x, y = _gray(real), _gray(generated)  # (..., H, W)
    mean_x, mean_y = _blur(x), _blur(y)
    # By rounding alone variances get below 0, and covariances beyond what the variances allow.
    var_x = ops.maximum(_blur(x * x) - mean_x * mean_x, 0.0)
    var_y = ops.maximum(_blur(y * y) - mean_y * mean_y, 0.0)
    bound = ops.sqrt(var_x * var_y)
    covariance = ops.clip(_blur(x * y) - mean_x * mean_y, -bound, bound)
    above = (2.0 * mean_x * mean_y + _C1) * (2.0 * covariance + _C2)
    below = (mean_x * mean_x + mean_y * mean_y + _C1) * (var_x + var_y + _C2)
    return above / below


def interframe(metric: Callable[[Any, Any], Any], video: Any) -> Any:
    """A metric of two frames, applied to neighbouring frames: how still, or how restless, a clip is.

    Args:
        metric: `psnr`, `ssim`, an `LPIPS` network, or any function of two batches of clips.
        video: (batch, time, height, width, channels), at least 2 frames.

    Returns:
        What the metric returns for time - 1 pairs; (batch, time - 1) for those named.

    Raises:
        ValueError: another shape, or a single frame.

    Example:
        >>> still = np.full((1, 4, 16, 16, 3), 0.5, "float32")
        >>> ops.convert_to_numpy(interframe(ssim, still)).round(4).tolist()
        [[1.0, 1.0, 1.0]]
    """
    if len(video.shape) != 5 or video.shape[1] < 2:
        raise ValueError(
            "video must be (batch, time, height, width, channels) with at least 2 frames; received the shape "
            f"{tuple(video.shape)}."
        )
    return metric(video[:, :-1], video[:, 1:])


def best_of(
    metric: Callable[[Any, Any], Any], real: Any, tries: Iterable[Any], largest: bool = True
) -> tuple[np.ndarray, int]:
    """The best score of each clip among several generated for it; the paper takes 100 for PSNR and SSIM on BAIR.

    Args:
        metric: `psnr`, `ssim`, an `LPIPS` network, or any function of two batches that returns (batch, ...); a clip's
            score is the mean over the further axes.
        real: (batch, time, height, width, channels).
        tries: batches of the same shape, one after the other: a generator keeps only one in memory.
        largest: whether large is good; False for distances.

    Returns:
        The scores (batch,), float64, and how many tries there were: a score means little without the number.

    Raises:
        ValueError: no tries.

    Example:
        >>> real = np.full((2, 1, 16, 16, 3), 0.5, "float32")
        >>> scores, count = best_of(psnr, real, (real + error for error in (0.1, 0.2)))
        >>> scores.round(2).tolist(), count
        ([20.0, 20.0], 2)

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3.
    """
    best, count = None, 0
    for generated in tries:
        values = np.asarray(to_numpy(metric(real, generated)), "float64")
        values = values.reshape(len(values), -1).mean(axis=1)
        best = values if best is None else (np.maximum if largest else np.minimum)(best, values)
        count += 1
    if best is None:
        raise ValueError("best_of needs at least one try; received none.")
    return best, count


def pair(real: Any, generated: Any) -> tuple[Any, Any]:
    """Both as float32 tensors in [0, 1]; what a decoder puts a little outside is clipped.

    Raises:
        ValueError: shapes that differ, and, where values are known, values further outside or not finite; inside a
            compiled step such values become NaN.
    """
    shapes = [tuple(x.shape) for x in (real, generated)]
    if shapes[0] != shapes[1] or len(shapes[0]) < 3:
        raise ValueError(
            f"real and generated must have one shape (..., height, width, channels); received {shapes[0]} and "
            f"{shapes[1]}."
        )
    named = ((real, "real"), (generated, "generated"))
    return tuple(ops.clip(to_float(checked(pixels, name)), 0.0, 1.0) for pixels, name in named)


def checked(pixels: Any, name: str) -> Any:
    """The pixels, if they are finite and in [0, 1] or a little outside; inside a compiled step NaN if they are not.

    Raises:
        ValueError: they are known and do not fit.
    """
    if backend.is_traced(pixels):
        return range_or_nan(pixels, EXCURSION)
    check_range(pixels, name, EXCURSION)
    return pixels


def _gray(x: Any) -> Any:
    if x.shape[-1] == 1:
        return x[..., 0]
    return sum(weight * x[..., i] for i, weight in enumerate(_GRAY))


def _blur(x: Any) -> Any:
    """Gaussian of (..., H, W), inside the frame: (..., H - 10, W - 10)."""
    # Sums of shifted frames, not a convolution: those may run in reduced precision, and variances are differences.
    taps = np.exp(-0.5 * ((np.arange(_WINDOW) - _WINDOW // 2) / _SIGMA) ** 2)
    taps = [float(tap) for tap in taps / taps.sum()]
    height, width = x.shape[-2] - _WINDOW + 1, x.shape[-1] - _WINDOW + 1
    x = sum(tap * x[..., i : i + height, :] for i, tap in enumerate(taps))
    return sum(tap * x[..., i : i + width] for i, tap in enumerate(taps))
