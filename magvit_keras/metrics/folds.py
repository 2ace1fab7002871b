"""Scores over folds or splits of the samples: mean and standard deviation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class FoldScore(NamedTuple):
    """Mean and population standard deviation over folds, and the score of each."""

    mean: float
    std: float
    scores: tuple[float, ...]


def over_folds(function: Callable[..., float], folds: int, *samples: Any) -> FoldScore:
    """`function` on each of `folds` consecutive parts of the samples.

    Args:
        function: takes as many arrays as are given, for example `frechet_distance`.
        folds: how many parts; the paper takes 4. Where they do not divide the samples, sizes differ by one.
        samples: arrays with samples along the first axis. Each is cut into the same number of parts.

    Returns:
        (mean, std, scores). The deviation is the population's, divided by `folds`, as the authors' code has it.

    Raises:
        ValueError: more folds than samples.

    Example:
        >>> over_folds(lambda rows: float(rows.mean()), 2, np.array([1.0, 1.0, 3.0, 3.0]))
        FoldScore(mean=2.0, std=1.0, scores=(1.0, 3.0))

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3.
    """
    counts = [len(array) for array in samples]
    if isinstance(folds, bool) or not isinstance(folds, int) or not 1 <= folds <= min(counts, default=0):
        raise ValueError(f"folds must be an integer from 1 to the number of samples; received {folds!r} for {counts}.")
    parts = [
        [array[i * n // folds : (i + 1) * n // folds] for array, n in zip(samples, counts, strict=True)]
        for i in range(folds)
    ]
    scores = [float(function(*part)) for part in parts]
    return FoldScore(float(np.mean(scores)), float(np.std(scores)), tuple(scores))
