"""Initial weights drawn by NumPy: on JAX every shape that Keras draws is a program to compile, half a second each.

The distributions are those of Keras' initializers, and the seeds theirs too. The same seed gives the same weights on
every backend.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# A normal cut at two standard deviations has this standard deviation.
_CUT = 0.87962566103423978


@keras.saving.register_keras_serializable("magvit_keras")
class TruncatedNormal(keras.initializers.TruncatedNormal):
    """`keras.initializers.TruncatedNormal`, drawn by NumPy: cut at two standard deviations, and not rescaled.

    Example:
        >>> values = TruncatedNormal(stddev=0.02, seed=0)((100, 100))
        >>> values.dtype.name, bool(abs(values).max() <= 0.04)
        ('float32', True)
    """

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        """Values of a shape; the same at every call, as the seed is the initializer's."""
        return drawn_by_numpy(self)(shape, dtype)


def drawn_by_numpy(initializer: Any) -> Callable[..., Any]:
    """The same distribution and seed as a function that draws with NumPy; other initializers are returned as they are.

    Args:
        initializer: a Keras initializer.

    Returns:
        A function of shape and dtype that gives a float32 array.

    Example:
        >>> draw = drawn_by_numpy(keras.initializers.get("lecun_normal"))
        >>> draw((3, 3, 8, 4)).shape
        (3, 3, 8, 4)
    """
    inits = keras.initializers
    known = (inits.VarianceScaling, inits.TruncatedNormal, inits.RandomUniform)
    if not isinstance(initializer, known) or not isinstance(initializer.seed, int):
        return initializer

    def draw(shape: Any, dtype: Any = None) -> np.ndarray:
        shape, rng = tuple(shape), np.random.default_rng(initializer.seed)
        if isinstance(initializer, inits.TruncatedNormal):
            return initializer.mean + initializer.stddev * _truncated(rng, shape)
        if isinstance(initializer, inits.RandomUniform):
            return rng.uniform(initializer.minval, initializer.maxval, shape).astype("float32")
        scale = initializer.scale / _fan(shape, initializer.mode)
        if initializer.distribution == "uniform":
            return rng.uniform(-math.sqrt(3 * scale), math.sqrt(3 * scale), shape).astype("float32")
        if initializer.distribution == "truncated_normal":
            return np.float32(math.sqrt(scale) / _CUT) * _truncated(rng, shape)
        return np.float32(math.sqrt(scale)) * rng.standard_normal(shape, "float32")

    return draw


def _truncated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.standard_normal(shape, "float32")
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()), "float32")
    return values


def _fan(shape: tuple[int, ...], mode: str) -> float:
    """Inputs, outputs, or the mean of both, of a unit of a Dense layer or a convolution."""
    cells = math.prod(shape[:-2])
    inputs, outputs = cells * shape[-2], cells * shape[-1]
    return max(1.0, {"fan_in": inputs, "fan_out": outputs}.get(mode, (inputs + outputs) / 2))
