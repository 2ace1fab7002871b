"""The Frechet distance between two sets of features (FVD is that of I3D's)."""

import warnings
from typing import Any

import numpy as np

from magvit_keras.metrics.statistics import FeatureStatistics


def frechet_distance(real: Any, generated: Any) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)) of two Gaussians, in float64, with unbiased covariances.

    The trace of the square root is the sum of the singular values of sqrt(S1) sqrt(S2). Nothing is inverted and no
    product is squared, so singular covariances (fewer samples than features) do no harm to the digits. They do harm
    the meaning, see Warns.

    Args:
        real: features (N, D), or `FeatureStatistics`.
        generated: features (M, D), or `FeatureStatistics`.

    Returns:
        The distance, at least 0. It depends on N and M: compare only distances of equal counts.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, fewer than 2 samples.

    Warns:
        UserWarning: fewer samples than features, with the distance that chance alone would give (`expected_bias`).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 5000, 3))
        >>> frechet_distance(a, a) < 1e-9, 3.8 < frechet_distance(a, b + [2, 0, 0]) < 4.2
        (True, True)

    Reference:
        FVD (arXiv 1812.01717); Dowson and Landau (1982); MAGVIT (arXiv 2212.05199), Sec. 4.
    """
    one, two = _statistics(real, "real"), _statistics(generated, "generated")
    if one.dim != two.dim:
        raise ValueError(f"real has {one.dim} features and generated {two.dim}; both must come from one network.")
    if (fewest := min(one.count, two.count)) <= one.dim:
        warnings.warn(
            f"Only {fewest} samples for {one.dim} features: the covariance is singular and the distance far too large. "
            f"Chance alone would give about {expected_bias(one, two):.4g}, by an estimate that is itself too small "
            "here. Use more samples, and compare with distances of the same counts only.",
            stacklevel=2,
        )
    step = one.mean - two.mean
    root = np.linalg.svd(_square_root(one.covariance) @ _square_root(two.covariance), compute_uv=False).sum()
    distance = step @ step + np.trace(one.covariance) + np.trace(two.covariance) - 2 * root
    return max(float(distance), 0.0)


def expected_bias(real: Any, generated: Any) -> float:
    """The distance to expect from samples of these sizes if both came from one Gaussian: what is left is difference.

    It falls as 1/n. To first order in 1/n, with the pooled covariance's eigenvalues v: the sum of v for the means, and
    of v_i v_j (1 + [i = j]) / (2 (v_i + v_j)) over all pairs for the covariances, times 1/N + 1/M.

    Args:
        real: features (N, D), or `FeatureStatistics`.
        generated: features (M, D), or `FeatureStatistics`.

    Returns:
        The bias in the units of the distance; too small where samples are fewer than features.

    Raises:
        ValueError: as `frechet_distance`.

    Example:
        >>> a, b = np.random.default_rng(0).normal(size=(2, 1000, 4))
        >>> expected_bias(a, b) > expected_bias(a.repeat(2, axis=0), b.repeat(2, axis=0))
        True

    Reference:
        The Bures metric, expanded for Wishart covariances; for the effect on published scores see arXiv 1911.07023.
    """
    one, two = _statistics(real, "real"), _statistics(generated, "generated")
    pooled = (one.scatter + two.scatter) / max(one.count + two.count - 2, 1)
    values = np.clip(np.linalg.eigvalsh(pooled), 0, None)
    sums = values[:, None] + values
    pairs = np.divide(np.outer(values, values), 2 * sums, out=np.zeros_like(sums), where=sums > 0)
    of_covariances = pairs.sum() + np.trace(pairs)
    return float((values.sum() + of_covariances) * (1 / one.count + 1 / two.count))


def _statistics(features: Any, name: str) -> FeatureStatistics:
    statistics = features if isinstance(features, FeatureStatistics) else FeatureStatistics(features)
    if statistics.count < 2:
        raise ValueError(f"A Frechet distance needs at least 2 samples on each side; {name} has {statistics.count}.")
    return statistics


def _square_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    # Rounding leaves null directions with values of about +-1e-16 of the largest, whose roots would be 1e-8 of it.
    floor = values.max(initial=0.0) * values.size * np.finfo("float64").eps
    return (vectors * np.sqrt(np.where(values > floor, values, 0.0))) @ vectors.T
