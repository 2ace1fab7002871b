"""The multivariate mask of COMMIT (Sec. 3.2, Eq. 2), and the masks that it is compared with (Table 5)."""

from typing import Any, NamedTuple

from keras import ops

# The part of the loss that a position belongs to (Eq. 3-4).
REFINE, MASK, RECONSTRUCT, GIVEN = range(4)
LOSS_PARTS = {"refine": REFINE, "mask": MASK, "reconstruct": RECONSTRUCT}

CONDITION_MODES = {
    "commit": "Eq. 2: condition tokens stand in for masked tokens, and are to be corrected",
    "prefix": "the mask does not know the condition; its tokens come before the clip's, or it is absent",
    "latent": "latent masking: condition tokens are kept, as input and as target",
    "latent_input": "latent masking with the tokens of the clip itself at the condition's place",
    "autoregressive": "no mask: a causal transformer reads the clip; condition tokens are kept and not predicted",
}


class MaskedTokens(NamedTuple):
    """What `multivariate_mask` returns; every field has the shape of the ids, (B,N).

    Attributes:
        ids: int32, the transformer's input z-bar.
        unconditional_ids: int32, the same without condition tokens, for guidance.
        targets: int32, what is to be predicted.
        parts: int32, `REFINE`, `MASK` or `RECONSTRUCT` (and `GIVEN` where latent masking predicts nothing).
        weights: float32, 1 where the loss counts, else 0.
    """

    ids: Any
    unconditional_ids: Any
    targets: Any
    parts: Any
    weights: Any


def multivariate_mask(
    ids: Any,
    condition_ids: Any,
    ispad: Any,
    ratio: Any,
    score: Any,
    *,
    mask_id: int,
    condition_mode: str = "commit",
    loss_parts: tuple[str, ...] = ("refine", "mask", "reconstruct"),
    limit: Any = None,
) -> MaskedTokens:
    """The multivariate mask m(z | z~) of Eq. 2.

    Where the score is among the lowest, the token is replaced: by the condition token, if that shows
    any given pixel (refine), else by `[MASK]` (mask). The other tokens stay (reconstruct).

    Args:
        ids: (B,N) int32 tokens z of the clip.
        condition_ids: (B,N) int32 tokens z~ of the condition clip.
        ispad: (B,N) bool or broadcastable to it, True where z~ shows padding only.
        ratio: scalar or (B,) float in [0,1], share of tokens to replace, e.g. gamma(u) of a uniform u.
        score: (B,N) float, the scores s; uniform random in training. Equal scores are replaced together.
        mask_id: row of `[MASK]`.
        condition_mode: one of `CONDITION_MODES`.
        loss_parts: names in `LOSS_PARTS` whose positions have weight 1 (Table 5 switches parts off).
        limit: scalar or (B,) int, replace at most this many tokens; 0 replaces all, as the authors' code does.

    Returns:
        `MaskedTokens`.

    Raises:
        ValueError: unknown condition mode or loss part.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.commit.masking import multivariate_mask
        >>> masked = multivariate_mask(
        ...     np.array([[1, 2, 3, 4]]), np.array([[5, 6, 7, 8]]), np.array([[False, False, True, True]]),
        ...     ratio=0.75, score=np.array([[0.1, 0.9, 0.2, 0.3]]), mask_id=9)
        >>> np.asarray(masked.ids).tolist()
        [[5, 2, 9, 9]]

    Reference: Eq. 2 of the MAGVIT paper; Table 5 for the other modes.
    """
    _check(condition_mode, CONDITION_MODES, "condition mode")
    for part in loss_parts:
        _check(part, LOSS_PARTS, "loss part")
    ids = ops.cast(ids, "int32")
    condition_ids = ops.cast(condition_ids, "int32")
    shape = ops.shape(ids)
    ispad = ops.broadcast_to(ops.cast(ispad, "bool"), shape)
    score = ops.cast(score, "float32")
    total = ops.full(shape[:1], shape[1], dtype="int32")  # (B,)
    if condition_mode in ("latent", "latent_input"):
        # Condition tokens are out of the draw: their score is beyond any other.
        score = ops.where(ispad, score, float("inf"))
        total = ops.sum(ops.cast(ispad, "int32"), axis=1)
    replaced = lowest_scores(score, num_to_mask(ratio, total, limit))  # s_i <= s*
    unconditional = ops.where(replaced, mask_id, ids)
    if condition_mode == "commit":
        refined = ops.logical_and(replaced, ops.logical_not(ispad))
        parts = ops.where(refined, REFINE, ops.where(replaced, MASK, RECONSTRUCT))
        masked, targets = ops.where(refined, condition_ids, unconditional), ids
    elif condition_mode == "autoregressive":
        parts = ops.where(ispad, MASK, GIVEN)
        masked = unconditional = ops.where(ispad, ids, condition_ids)
        targets = ids
    else:
        parts = ops.where(replaced, MASK, RECONSTRUCT)
        masked, targets = unconditional, ids
        if condition_mode in ("latent", "latent_input"):
            parts = ops.where(ispad, parts, GIVEN)
        if condition_mode == "latent":
            targets = ops.where(ispad, ids, condition_ids)
            masked = unconditional = ops.where(replaced, mask_id, targets)
    weights = ops.zeros(shape, "float32")
    for part in loss_parts:
        weights = weights + ops.cast(parts == LOSS_PARTS[part], "float32")
    return MaskedTokens(masked, unconditional, targets, ops.cast(parts, "int32"), weights)


def num_to_mask(ratio: Any, total: Any, limit: Any = None) -> Any:
    """How many of `total` tokens a ratio masks: max(1, floor(ratio * total)), in float32.

    float32 is part of the definition: the cosine schedule at two thirds gives 511 of 1024 tokens, not 512.

    Args:
        ratio: scalar or (B,) float in [0,1].
        total: (B,) int.
        limit: scalar or (B,) int, an upper bound that may go down to 0.

    Returns:
        (B,) int32.
    """
    total = ops.cast(total, "float32")
    count = ops.floor(ops.cast(ratio, "float32") * total)
    count = ops.cast(ops.maximum(count, 1.0), "int32")
    return count if limit is None else ops.minimum(count, ops.cast(limit, "int32"))


def lowest_scores(score: Any, count: Any) -> Any:
    """Where the score is at most the `count`-th smallest one of its row, s* of Eq. 2.

    Args:
        score: (B,N) float32.
        count: (B,) int32; equal scores are taken together, and a count of 0 takes the whole row.

    Returns:
        (B,N) bool.
    """
    last = score.shape[1] - 1
    index = ops.where(count > 0, count - 1, last)
    cutoff = ops.take_along_axis(ops.sort(score, axis=1), index[:, None], axis=1)  # (B,1)
    return score <= cutoff


def _check(name: str, known: dict, what: str) -> None:
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}; known ones: {', '.join(known)}.")
