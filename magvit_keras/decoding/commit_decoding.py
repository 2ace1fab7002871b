"""Non-autoregressive decoding by COMMIT (Sec. 3.2, Algorithm 1)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from magvit_keras.commit.masking import CONDITION_MODES, lowest_scores, num_to_mask
from magvit_keras.decoding.noise import CONFIDENCE_STREAM, REVISION_STREAM, TOKEN_STREAM, gumbel, hash_uniform
from magvit_keras.decoding.sampling import (
    draws_nothing,
    filter_logits,
    is_zero,
    log_probability,
    sample_tokens,
)
from magvit_keras.decoding.schedules import decoding_progress, mask_ratios


class DecodingSteps(NamedTuple):
    """All that happened in `decode(..., return_steps=True)` (Fig. 3); K steps, each (K,B,N) but `ids`.

    The two steps of every revision come after those of Algorithm 1, and count in K.

    Attributes:
        ids: (B,N) int32, the result.
        inputs: int32, what the network was given at each step.
        predicted: int32, all tokens after each step.
        unknown: bool, positions that were predicted at each step.
        confidence: float32, log-probability of the tokens predicted at each step; infinite where known before.
    """

    ids: Any
    inputs: Any
    predicted: Any
    unknown: Any
    confidence: Any


def decode(
    predict_logits: Callable[[Any], Any],
    condition_ids: Any,
    ispad: Any,
    *,
    mask_id: int,
    num_steps: int = 12,
    num_revisions: int = 0,
    schedule: str = "cosine",
    temperature: Any = 4.5,
    token_temperature: Any = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance_scale: Any = 0.0,
    predict_unconditional: Callable[[Any], Any] | None = None,
    seed: Any = 0,
    noise: Callable[[Any, tuple], Any] | None = None,
    token_noise: Callable[[Any, tuple], Any] | None = None,
    condition_mode: str = "commit",
    order: Any = None,
    codebook_factors: Sequence[int] | None = None,
    return_steps: bool = False,
    at: tuple[Any, Any, Any] | None = None,
) -> Any:
    """Non-autoregressive decoding by COMMIT (Algorithm 1).

    Every step predicts all unknown tokens at once and keeps those of highest confidence. The places of
    unknown tokens show the condition token where it says something, else `[MASK]`, so the tokens of the
    condition are refined together with the rest. It runs eagerly and inside a compiled program: the loop is
    one node, shapes are static, and the noise is a hash that keeps no state.

    Args:
        predict_logits: takes (B,N) int32 ids, returns (B,N,V) logits over the codebook.
        condition_ids: (B,N) int32 tokens z~ of the condition clip; any values where `ispad`.
        ispad: (B,N) bool or broadcastable to it, True where z~ shows padding only.
        mask_id: row of `[MASK]`.
        num_steps: K.
        num_revisions: rounds after the K steps. Tokens that were drawn in one step know nothing of each other, and may
            contradict. A round splits all tokens in two halves at random, and takes for each half in turn the most
            likely tokens, given the other half: two steps.
        schedule: a mask schedule, see `schedules.get_schedule`.
        temperature: of the Gumbel noise on the confidence; falls to 0 with the last step. A float or a scalar tensor.
        token_temperature: of the tokens; 0 takes the most likely one. A float or a scalar tensor.
        top_k: draw from the k most likely tokens only.
        top_p: draw from the most likely tokens of total probability p only.
        guidance_scale: g in logits + g (logits - unconditional logits); needs `predict_unconditional`.
        predict_unconditional: as `predict_logits`, but blind to the class; it is given ids with `[MASK]`
            in place of condition tokens. None turns guidance off, whatever the scale.
        seed: Python int, or int32 tensor, scalar or (B,), see `noise.hash_uniform`.
        noise: replaces the noise on the confidence: takes (step, (B,N)), returns Gumbel noise.
        token_noise: replaces the noise on the tokens: takes (step, (B,N,V)), returns Gumbel noise.
        condition_mode: "commit"; "latent" keeps the condition tokens as they are, and "prefix" ignores them (Table 5).
        order: (N,) rank at which each token becomes known, a constant, in place of the confidence; see
            `halton.halton_order`.
        codebook_factors: of a factored codebook, see `magvit_keras.layers.factors`; V is then their sum.
        return_steps: whether to return every step.
        at: (step, ids, unknown) does this one step, an int32 scalar, and returns (ids, unknown) for the next: (B,N)
            int32 and bool, which at step 0 may be anything. For programs that show each step as it is made.

    Returns:
        (B,N) int32 tokens in [0,V), or `DecodingSteps`.

    Raises:
        ValueError: unknown schedule or condition mode, fewer than 1 step or 0 revisions, or top_k, top_p out of range.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from magvit_keras.decoding.commit_decoding import decode
        >>> truth = np.array([[3, 1, 2, 0, 1, 3]])
        >>> def oracle(ids):
        ...     return 50.0 * ops.one_hot(truth, 4)
        >>> ids = decode(oracle, np.zeros((1, 6)), np.ones((1, 6)), mask_id=4, num_steps=3)
        >>> np.asarray(ids).tolist()
        [[3, 1, 2, 0, 1, 3]]

    Reference: Algorithm 1 of the MAGVIT paper. As the authors' code, it takes the floor of the number of tokens
        to mask, and masks everything again when a single token is unknown before the last step. Revisions are after
        Draft-and-Revise (arXiv 2206.04452).
    """
    if condition_mode not in CONDITION_MODES:
        raise ValueError(f"Unknown condition mode {condition_mode!r}; known ones: {', '.join(CONDITION_MODES)}.")
    if num_revisions < 0:
        raise ValueError(f"Expected num_revisions of at least 0, received {num_revisions}.")
    condition_ids = ops.cast(condition_ids, "int32")
    batch, length = condition_ids.shape
    ispad = ops.broadcast_to(ops.cast(ispad, "bool"), (batch, length))
    is_latent = condition_mode in ("latent", "latent_input")
    shows_condition = ops.logical_not(ispad) if condition_mode == "commit" else ops.zeros((batch, length), "bool")

    # Constants of the program, from NumPy: equal on every backend. After the K steps, those of the revisions.
    all_steps = num_steps + 2 * num_revisions
    after = (0, all_steps - num_steps)
    ratios = ops.convert_to_tensor(np.pad(mask_ratios(num_steps, length, schedule), after))  # gamma((t+1)/K)
    cooling = ops.convert_to_tensor(np.pad(np.float32(1) - decoding_progress(num_steps), after))  # 1 - (t+1)/K
    drafting = ops.convert_to_tensor(np.pad(np.ones(num_steps, "float32"), after))
    step_numbers = ops.reshape(ops.arange(all_steps, dtype="int32"), (-1, 1, 1))

    if order is not None:
        score_of_order = ops.broadcast_to(ops.convert_to_tensor(-np.asarray(order, "float32"))[None], (batch, length))
    may_change = ispad if is_latent else ops.ones((batch, length), "bool")
    num_changing = ops.sum(ops.cast(may_change, "int32"), axis=1)  # (B,)

    def confidence_noise(step):
        if noise is not None:
            return noise(step, (batch, length))
        return gumbel(hash_uniform(seed, step, (batch, length), CONFIDENCE_STREAM))

    def tokens_noise(step, shape):
        if token_noise is not None:
            return token_noise(step, shape)
        if draws_nothing(token_temperature, top_k):
            return None  # the most likely token: nothing to draw
        return gumbel(hash_uniform(seed, step, shape, TOKEN_STREAM))

    def to_revise(step):
        """The half of the tokens that a step revises; the other half is for the step after it or was before it."""
        past = step - num_steps
        first = hash_uniform(seed, past // 2, (batch, length), REVISION_STREAM) < 0.5
        return ops.logical_and(ops.equal(first, past % 2 == 0), may_change)

    def predict(ids, unknown):
        logits = ops.cast(predict_logits(ids), "float32")  # (B,N,V)
        if predict_unconditional is None:
            return logits
        blind = ops.cast(predict_unconditional(unknown), "float32")
        return logits + guidance_scale * (logits - blind)

    def one_step(step, state):
        ids, unknown, history = state
        unconditional = ops.where(unknown, mask_id, ids)
        inputs = ops.where(ops.logical_and(unknown, shows_condition), condition_ids, unconditional)  # z-bar
        logits = predict(inputs, unconditional)
        drawn = sample_tokens(
            filter_logits(logits, top_k, top_p, codebook_factors),
            token_temperature * ops.take(drafting, step) if num_revisions else token_temperature,
            tokens_noise(step, (batch, length, logits.shape[-1])),
            codebook_factors,
        )
        ids = ops.where(unknown, drawn, ids)  # z-hat
        log_p = log_probability(logits, ids, codebook_factors)
        confidence = ops.where(unknown, log_p, float("inf"))
        score = log_p
        if order is not None:
            score = score_of_order
        elif not is_zero(temperature):
            score = score + temperature * ops.take(cooling, step) * confidence_noise(step)
        score = ops.where(unknown, score, float("inf"))  # s; the known ones stay known
        # At least one token becomes known in every step.
        limit = ops.sum(ops.cast(unknown, "int32"), axis=1) - 1
        count = num_to_mask(ops.take(ratios, step), num_changing, limit)
        still_unknown = ops.logical_and(lowest_scores(score, count), may_change)
        if num_revisions:
            still_unknown = ops.where(step + 1 < num_steps, still_unknown, to_revise(step + 1))
        if history:
            now = step_numbers == step
            made = (inputs, ids, unknown, confidence)
            history = tuple(ops.where(now, new[None], old) for new, old in zip(made, history, strict=True))
        return ids, still_unknown, history

    ids = ops.where(may_change, 0, condition_ids)
    history = ()
    if at is not None:
        step, *before = at
        state = [ops.where(step == 0, first, given) for first, given in zip((ids, may_change), before, strict=True)]
        return one_step(step, (*state, ()))[:2]
    if return_steps:
        steps = (all_steps, batch, length)
        history = tuple(ops.zeros(steps, dtype) for dtype in ("int32", "int32", "bool", "float32"))
    ids, _, history = ops.fori_loop(0, all_steps, one_step, (ids, may_change, history))
    return DecodingSteps(ids, *history) if return_steps else ids
