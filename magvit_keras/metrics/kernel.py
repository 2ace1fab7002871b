"""The kernel distance (MMD) between two sets of features."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from magvit_keras.metrics.statistics import feature_rows

_BLOCK = 1024


def kernel_distance(
    real: Any,
    generated: Any,
    kernel: str = "polynomial",
    degree: int = 3,
    gamma: float | None = None,
    coefficient: float = 1.0,
    bandwidth: float = 10.0,
    unbiased: bool = True,
    scale: float = 1.0,
) -> float:
    """Squared maximum mean discrepancy, in float64: no Gaussian is assumed, and few samples do.

    Args:
        real: features (N, D).
        generated: features (M, D).
        kernel: "polynomial", (gamma x.y + coefficient)^degree, or "gaussian", exp(-|x - y|^2 / (2 bandwidth^2)).
        degree: of the polynomial; 3 is that of the kernel inception distance.
        gamma: of the polynomial; None is 1 / D.
        coefficient: of the polynomial.
        bandwidth: of the Gaussian, in the units of the features; 10 is that of CMMD.
        unbiased: leave out the pairs of a sample with itself. The expected value is then 0 for equal distributions at
            every count, and single values may be below 0.
        scale: factor on the result; some papers report 100 or 1000 times the distance.

    Returns:
        The squared distance, in units of the kernel.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, fewer than 2 samples, an unknown kernel.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 500, 8))
        >>> abs(kernel_distance(a, b)) < 0.05 < kernel_distance(a, b + 1)
        True

    Reference:
        Gretton et al. (JMLR 2012); Demystifying MMD GANs (arXiv 1801.01401); JEDi (arXiv 2410.05203).
    """
    x, y = feature_rows(real, "real"), feature_rows(generated, "generated")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"real has {x.shape[1]} features and generated {y.shape[1]}; both must come from one network.")
    if min(len(x), len(y)) < 2:
        raise ValueError(f"A kernel distance needs at least 2 samples on each side; received {len(x)} and {len(y)}.")
    slope = 1 / x.shape[1] if gamma is None else gamma
    kernels = {
        "polynomial": lambda product, square: (slope * product + coefficient) ** degree,
        "gaussian": lambda product, square: np.exp(-square / (2 * bandwidth**2)),
    }
    if kernel not in kernels:
        raise ValueError(f"Unknown kernel {kernel!r}; expected polynomial or gaussian.")
    value = kernels[kernel]
    within = sum(_mean_within(rows, value, unbiased) for rows in (x, y))
    between = sum(_values(a, b, value).sum() for a in _blocks(x) for b in _blocks(y)) / (len(x) * len(y))
    return float(scale * (within - 2 * between))


def _values(a: np.ndarray, b: np.ndarray, value: Callable) -> np.ndarray:
    """The kernel of all pairs."""
    products = a @ b.T
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * products
    return value(products, np.maximum(squares, 0))


def _mean_within(rows: np.ndarray, value: Callable, unbiased: bool) -> float:
    total = sum(_values(a, b, value).sum() for a in _blocks(rows) for b in _blocks(rows))
    if not unbiased:
        return total / len(rows) ** 2
    total -= value((rows**2).sum(axis=1), np.zeros(len(rows))).sum()  # the pairs of a sample with itself
    return total / (len(rows) * (len(rows) - 1))


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """So that the matrix of all pairs need not fit into memory."""
    return (rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK))
