"""The three-part loss of COMMIT: refine + mask + reconstruct (Sec. 3.2, Eq. 3-4)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from magvit_keras import backend
from magvit_keras.commit.masking import LOSS_PARTS
from magvit_keras.layers.factors import split_ids, split_logits


class CommitLoss(NamedTuple):
    """The loss, and what its parts' metrics need.

    Sums and counts rather than means: a part may be absent from a batch, and a running
    `keras.metrics.Mean` wants `update_state(sum / max(count, 1), sample_weight=count)`.

    Attributes:
        loss: scalar float32, to be minimised.
        part_sums: (3,) float32, cross-entropy summed over the positions of refine, mask, reconstruct.
        part_correct: (3,) float32, positions of each part whose most likely token is the target.
        part_counts: (3,) float32, positions of each part.
        example_loss: (B,) float32, the loss of each example.
        example_accuracy: (B,) float32, share of the positions of each example that count and are right.
    """

    loss: Any
    part_sums: Any
    part_correct: Any
    part_counts: Any
    example_loss: Any
    example_accuracy: Any


def cross_entropy(logits: Any, targets: Any, label_smoothing: float = 1e-4) -> Any:
    """Cross-entropy against label-smoothed targets, (1 - e) one-hot + e / V, in float32.

    Args:
        logits: (B,N,V) float.
        targets: (B,N) int32; entries outside [0,V) must carry weight 0 in what follows.
        label_smoothing: e, in [0,1).

    Returns:
        (B,N) float32.
    """
    logits = ops.convert_to_tensor(logits)
    targets = ops.clip(ops.cast(targets, "int32"), 0, logits.shape[-1] - 1)
    return backend.cross_entropy(logits, targets, label_smoothing)


def weighted_mean(values: Any, weights: Any) -> Any:
    """Mean over positions of each example, then over examples; an example without weight adds 0.

    Args:
        values: (B,N) float32.
        weights: (B,N) float32.

    Returns:
        Scalar float32.
    """
    return ops.mean(_example_means(values, weights))


def _example_means(values: Any, weights: Any) -> Any:
    weights = ops.cast(weights, "float32")
    # The authors' 1e-8 keeps an empty row finite.
    return ops.sum(values * weights, axis=1) / (ops.sum(weights, axis=1) + 1e-8)


def commit_loss(
    logits: Any,
    targets: Any,
    parts: Any,
    weights: Any,
    label_smoothing: float = 1e-4,
    factors: Sequence[int] | None = None,
) -> CommitLoss:
    """The training loss L_refine + L_mask + L_recons (Eq. 3-4).

    Args:
        logits: (B,N,V) float, one row per latent, over the codebook, or over the digits of a factored one.
        targets: (B,N) int32 in [0,V).
        parts: (B,N) int32 of `multivariate_mask`.
        weights: (B,N) float32 of `multivariate_mask`; all 1 for the full loss.
        label_smoothing: 1e-4 in the paper.
        factors: of the codebook, see `magvit_keras.layers.factors`; the cross-entropies of a token's digits are summed.

    Returns:
        `CommitLoss`.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.commit.losses import commit_loss
        >>> logits = np.zeros((1, 2, 8), "float32")
        >>> out = commit_loss(logits, np.array([[1, 2]]), np.array([[0, 1]]), np.ones((1, 2), "float32"))
        >>> round(float(out.loss), 4)  # log 8
        2.0794

    Reference: Eq. 3 and 4 of the MAGVIT paper.
    """
    values, correct = 0.0, 1.0
    digits = split_ids(ops.cast(targets, "int32"), factors)
    for part, digit in zip(split_logits(logits, factors), digits, strict=True):
        values = values + cross_entropy(part, digit, label_smoothing)
        correct = correct * ops.cast(ops.cast(ops.argmax(part, axis=-1), "int32") == digit, "float32")
    order = ops.convert_to_tensor(list(LOSS_PARTS.values()), dtype="int32")
    is_part = ops.cast(ops.cast(parts, "int32")[None] == order[:, None, None], "float32")  # (3,B,N)
    return CommitLoss(
        loss=weighted_mean(values, weights),
        part_sums=ops.sum(is_part * ops.stop_gradient(values)[None], axis=(1, 2)),
        part_correct=ops.sum(is_part * correct[None], axis=(1, 2)),
        part_counts=ops.sum(is_part, axis=(1, 2)),
        example_loss=ops.stop_gradient(_example_means(values, weights)),
        example_accuracy=_example_means(correct, weights),
    )
