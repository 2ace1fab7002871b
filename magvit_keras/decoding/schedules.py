"""Mask schedules gamma: how large a share of the tokens is still masked (Sec. 3.2, Algorithm 1)."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

# Below this nothing is masked; the schedule never reaches 0 itself, so a logarithm of it stays finite.
MIN_RATIO = 1e-6


# Each takes the progress in [0,1], the number of tokens and the module to compute with: NumPy where the
# values are constants of a program (equal on every backend), keras.ops where they are data.
def _uniform(progress, total, xp):
    return 1.0 - progress


def _cosine(progress, total, xp):
    return xp.cos(np.float32(np.pi / 2) * progress)


def _log(progress, total, xp):
    return -xp.log2(progress) / np.float32(np.log2(total))


def _exp(progress, total, xp):
    return 1.0 - xp.exp2(-np.float32(np.log2(total)) * (1.0 - progress))


def _power(progress, total, xp, exponent=2.0):
    return 1.0 - progress**exponent


def _polynomial(progress, total, xp, coefficients=()):
    value = 0.0 * progress
    for coefficient in coefficients:  # highest power first
        value = value * progress + coefficient
    return value


SCHEDULES: dict[str, Callable] = {
    "uniform": _uniform,
    "cosine": _cosine,
    "pow2": functools.partial(_power, exponent=2.0),
    "pow2.5": functools.partial(_power, exponent=2.5),
    "pow3": functools.partial(_power, exponent=3.0),
    "log": _log,
    "exp": _exp,
}


def get_schedule(name: str) -> Callable:
    """The schedule of that name.

    Args:
        name: one of `SCHEDULES`, "pow" and a positive exponent ("pow1.5"), or "poly:" and the
            coefficients from the highest power down ("poly:-1,0,1" is 1 - progress^2).

    Returns:
        A callable of (progress, total, xp), where xp is `numpy` or `keras.ops`.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    name = str(name)
    if name in SCHEDULES:
        return SCHEDULES[name]
    try:
        if name.startswith("pow") and float(name[3:]) > 0:
            return functools.partial(_power, exponent=float(name[3:]))
        if name.startswith("poly:"):
            return functools.partial(_polynomial, coefficients=tuple(float(c) for c in name[5:].split(",")))
    except ValueError:
        pass
    raise ValueError(
        f"Unknown mask schedule {name!r}; known ones: {', '.join(SCHEDULES)}, pow<exponent>, poly:<coefficients>."
    )


def mask_ratio(progress: Any, total: int, schedule: str = "cosine") -> Any:
    """The share gamma(progress) of tokens that stay masked, as a tensor: for training.

    Args:
        progress: float in [0,1], any shape; uniform random in training.
        total: number of tokens, which "log" and "exp" depend on.
        schedule: a name, see `get_schedule`.

    Returns:
        float32 of the same shape, in [1e-6, 1].

    Raises:
        ValueError: unknown schedule.

    Example:
        >>> from magvit_keras.decoding.schedules import mask_ratio
        >>> round(float(mask_ratio(0.5, 1024)), 4)
        0.7071

    Reference: Sec. 3.2 of the MAGVIT paper; MaskGIT, Sec. 3.2.
    """
    progress = ops.cast(progress, "float32")
    return ops.clip(get_schedule(schedule)(progress, total, ops), MIN_RATIO, 1.0)


def mask_ratios(num_steps: int, total: int, schedule: str = "cosine") -> np.ndarray:
    """The share of tokens that stay masked after each decoding step, as constants in float32.

    Args:
        num_steps: K, at least 1.
        total: number of tokens.
        schedule: a name, see `get_schedule`.

    Returns:
        (K,) float32, gamma((t+1)/K) for t = 0..K-1.

    Raises:
        ValueError: unknown schedule, or fewer than 1 step.
    """
    if num_steps < 1:
        raise ValueError(f"Expected at least 1 decoding step, received {num_steps}.")
    progress = decoding_progress(num_steps)
    values = get_schedule(schedule)(progress, total, np)
    return np.clip(values, np.float32(MIN_RATIO), np.float32(1)).astype("float32")


def decoding_progress(num_steps: int) -> np.ndarray:
    """(t+1)/K of each step t, (K,) float32."""
    return np.arange(1, num_steps + 1, dtype="float32") / np.float32(num_steps)
