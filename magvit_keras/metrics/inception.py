"""The Inception Score of class predictions (for video: those of C3D on UCF-101)."""

from typing import Any

import numpy as np

from magvit_keras.metrics.folds import over_folds
from magvit_keras.metrics.statistics import feature_rows


def inception_score(logits: Any, splits: int = 1) -> float:
    """exp of the mean KL divergence of a sample's class probabilities from those of all samples, in float64.

    MAGVIT scores all 10,000 samples of a fold at once, and has 4 folds; StyleGAN-V takes 2,048 samples in 10 splits. A
    score of few samples is too small, so more splits give a smaller score. The deviation over folds or splits:
    `over_folds(inception_score, folds, logits)`.

    Args:
        logits: (N, classes), before the softmax.
        splits: consecutive parts that are scored by themselves; the result is the mean of their scores.

    Returns:
        The score, from 1 (all samples alike) to the number of classes.

    Raises:
        ValueError: another shape, values that are not finite, or more splits than samples.

    Example:
        >>> round(inception_score(100 * np.eye(5)), 6), inception_score(np.zeros((5, 5)))
        (5.0, 1.0)

    Reference:
        Salimans et al. (arXiv 1606.03498); TGAN (arXiv 1611.06624) for video.
    """
    rows = feature_rows(logits, "logits")
    if splits != 1:
        return over_folds(inception_score, splits, rows).mean
    rows = rows - rows.max(axis=1, keepdims=True)
    log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    # A class that no sample has adds p log p = 0.
    log_marginal = np.log(np.where(marginal > 0, marginal, 1.0))
    return float(np.exp((p * (log_p - log_marginal)).sum(axis=1).mean()))
