"""Mean and covariance of features, gathered batch by batch and process by process."""

import os
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from magvit_keras.checks import to_numpy
from magvit_keras.files import atomic_path


class FeatureStatistics:
    """Count, mean and covariance of feature rows, in float64, without keeping the rows.

    Batches are merged by the formula of Chan, Golub and LeVeque, which loses no digits where the mean is large against
    the spread. Statistics of parts merge into those of the whole, so processes each gather their own.

    Args:
        features: the first rows (N, D), if there are any yet.

    Raises:
        ValueError: rows that are not (N, D), not finite, or of another width than the first ones.

    Example:
        >>> rows = np.arange(12.0).reshape(6, 2)
        >>> parts = FeatureStatistics(rows[:2]).update(rows[2:5]).merge(FeatureStatistics(rows[5:]))
        >>> parts.count, parts.mean.tolist()
        (6, [5.0, 6.0])
        >>> bool(np.allclose(parts.covariance, np.cov(rows, rowvar=False)))
        True

    Reference:
        Chan, Golub, LeVeque: Algorithms for computing the sample variance (1983).
    """

    def __init__(self, features: Any = None):
        self.count = 0
        self.mean = np.zeros(0)
        #: sum of (x - mean)(x - mean)^T, (D, D)
        self.scatter = np.zeros((0, 0))
        if features is not None:
            self.update(features)

    @property
    def dim(self) -> int:
        """Number of features; 0 before the first rows."""
        return self.mean.size

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), the unbiased one: divided by count - 1."""
        if self.count < 2:
            raise ValueError(f"A covariance needs at least 2 samples; received {self.count}.")
        return self.scatter / (self.count - 1)

    def update(self, features: Any) -> "FeatureStatistics":
        """Takes in the rows (N, D) of a batch; returns itself."""
        rows = feature_rows(features)
        part = FeatureStatistics()
        part.count, part.mean = len(rows), rows.mean(axis=0)
        centred = rows - part.mean
        part.scatter = centred.T @ centred
        return self.merge(part)

    def merge(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """Takes in the samples that another object has seen; returns itself."""
        if other.count == 0:
            return self
        if self.count and self.dim != other.dim:
            raise ValueError(f"Statistics of {self.dim} and of {other.dim} features cannot be merged.")
        if self.count == 0:
            self.mean, self.scatter = np.zeros(other.dim), np.zeros((other.dim, other.dim))
        count = self.count + other.count
        step = other.mean - self.mean
        # Into new arrays: another object may share the old ones.
        self.scatter = self.scatter + other.scatter + np.outer(step, step) * (self.count * other.count / count)
        self.mean = self.mean + step * (other.count / count)
        self.count = count
        return self

    @classmethod
    def merged(cls, parts: Iterable["FeatureStatistics"]) -> "FeatureStatistics":
        """The statistics of all samples of all parts, for example one per process."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` that `load` reads: the real clips of a data set are then measured once."""
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, count=self.count, mean=self.mean, scatter=self.scatter)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "FeatureStatistics":
        """What `save` wrote.

        Raises:
            ValueError: another file, or numbers that are not statistics.
        """
        loaded = cls()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                held = dict(arrays)
        except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a file that FeatureStatistics.save wrote: {error}") from None
        if set(held) != {"count", "mean", "scatter"}:
            raise ValueError(f"{path} holds {sorted(held)}; expected count, mean and scatter.")
        d = held["mean"].size
        fits = (held["count"].shape, held["mean"].shape, held["scatter"].shape) == ((), (d,), (d, d))
        if not (fits and held["count"] >= 0 and all(np.isfinite(array).all() for array in held.values())):
            shapes = {name: array.shape for name, array in held.items()}
            raise ValueError(
                f"{path} holds no count, mean (D,) and scatter (D, D) of finite numbers; received {shapes}."
            )
        loaded.count, loaded.mean, loaded.scatter = int(held["count"]), held["mean"], held["scatter"]
        return loaded


def feature_rows(features: Any, name: str = "features") -> np.ndarray:
    """Features as float64 (N, D), N at least 1.

    Raises:
        ValueError: another shape, or values that are not finite.
    """
    if not isinstance(features, np.ndarray | list):
        features = to_numpy(features)
    rows = np.asarray(features, dtype="float64")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must be (samples, dimensions), neither 0; received the shape {rows.shape}.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name} hold NaN or infinity in {bad.size} of {len(rows)} rows, the first one row {bad[0]}. "
            "Are the clips finite, and is the network's precision enough?"
        )
    return rows
