"""The Inception Score of class predictions (for video: those of C3D on UCF-101)."""

from typing import Any

import numpy as np

from magvit_keras.metrics.statistics import feature_rows


def inception_score(logits: Any) -> float:
    """exp of the mean KL divergence of a sample's class probabilities from those of all samples, in float64.

    MAGVIT scores all 10,000 samples of a fold at once; StyleGAN-V takes 2,048 samples in 10 splits. Both are
    `over_folds(inception_score, folds, logits)`. A score of few samples is too small.

    Args:
        logits: (N, classes), before the softmax.

    Returns:
        The score, from 1 (all samples alike) to the number of classes.

    Raises:
        ValueError: another shape, or values that are not finite.

    Example:
        >>> round(inception_score(100 * np.eye(5)), 6), inception_score(np.zeros((5, 5)))
        (5.0, 1.0)

    Reference:
        Salimans et al. (arXiv 1606.03498); TGAN (arXiv 1611.06624) for video.
    """
    rows = feature_rows(logits, "logits")
    rows = rows - rows.max(axis=1, keepdims=True)
    log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    # A class that no sample has adds p log p = 0.
    log_marginal = np.log(np.where(marginal > 0, marginal, 1.0))
    return float(np.exp((p * (log_p - log_marginal)).sum(axis=1).mean()))
