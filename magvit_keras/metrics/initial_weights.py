"""Initial weights of networks that will be given others: the same numbers on every backend, without compiling."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np


def random_kernel(name: str) -> Callable[..., np.ndarray]:
    """An initializer: normal, of variance 2 / inputs of a unit, drawn by NumPy from a seed that is the layer's name."""

    def draw(shape: Any, dtype: Any = None) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        scale = (2.0 / max(1, int(np.prod(shape[:-1])))) ** 0.5
        return rng.standard_normal(tuple(shape), "float32") * np.float32(scale)

    return draw


def constant(value: float) -> Callable[..., np.ndarray]:
    """An initializer: one value. Unlike Keras' own it compiles nothing, which for 57 small layers takes a while."""
    return lambda shape, dtype=None: np.full(tuple(shape), value, "float32")


def random_head(name: str) -> Callable[..., np.ndarray]:
    """An initializer: uniform in [0, 1), for weights that are never negative."""

    def draw(shape: Any, dtype: Any = None) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(name.encode())).random(tuple(shape), "float32")

    return draw
