"""Autoregressive decoding, token by token with a key-value cache: a rival of Table 6."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from magvit_keras.decoding.commit_decoding import DecodingSteps, draws_nothing
from magvit_keras.decoding.noise import TOKEN_STREAM, gumbel, hash_uniform
from magvit_keras.decoding.sampling import filter_logits, log_probability, sample_tokens


def decode_autoregressive(
    predict_next: Callable[[Any, Any, Any], tuple[Any, Any]],
    cache: Any,
    prefix: Any,
    known_ids: Any,
    is_known: Any,
    *,
    mask_id: int,
    token_temperature: Any = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance_scale: Any = 0.0,
    unconditional_prefix: Any = None,
    unconditional_cache: Any = None,
    seed: Any = 0,
    codebook_factors: Sequence[int] | None = None,
    return_steps: bool = False,
) -> Any:
    """Decodes the latents one after the other, in time-row-column order; N steps for N latents.

    Args:
        predict_next: takes (B,) int32 tokens, their position (int32 scalar tensor) and a cache; returns the logits
            (B,V) of the latent after them and the cache with them in it.
        cache: the cache of no tokens, any nest of tensors.
        prefix: (B,P) int32 tokens before the latents, P of at least 1.
        known_ids: (B,N) int32 tokens of the condition.
        is_known: (B,N) bool, where they are taken instead of drawn. Only those before a latent influence it.
        mask_id: what stands in `DecodingSteps` for latents that are not drawn yet.
        token_temperature: 0 takes the most likely token. A float or a scalar tensor.
        top_k: draw from the k most likely tokens only.
        top_p: draw from the most likely tokens of total probability p only.
        guidance_scale: g in logits + g (logits - unconditional logits).
        unconditional_prefix: (B,P), the prefix without a class; None turns guidance off, whatever the scale.
        unconditional_cache: another cache of no tokens, for guidance.
        seed: Python int, or int32 tensor, scalar or (B,), see `noise.hash_uniform`.
        codebook_factors: of a factored codebook, see `magvit_keras.layers.factors`.
        return_steps: whether to return every step.

    Returns:
        (B,N) int32 tokens in [0,V), or `DecodingSteps` with N steps.

    Example:
        >>> import numpy as np
        >>> def count(ids, position, cache):  # the token after i is i + 1
        ...     return 50.0 * ops.one_hot((ids + 1) % 8, 8), cache
        >>> ids = decode_autoregressive(count, (), np.array([[9, 2]]), np.zeros((1, 4)), np.zeros((1, 4)), mask_id=8)
        >>> np.asarray(ids).tolist()
        [[3, 4, 5, 6]]

    Reference: Table 6 of the MAGVIT paper; VideoGPT (arXiv 2104.10157) decodes in this order.
    """
    prefix, known_ids = ops.cast(prefix, "int32"), ops.cast(known_ids, "int32")
    (batch, length), first = known_ids.shape, prefix.shape[1]
    is_guided = unconditional_prefix is not None
    is_known = ops.broadcast_to(ops.cast(is_known, "bool"), (batch, length))
    is_given = ops.concatenate([ops.ones_like(prefix, dtype="bool"), is_known], axis=1)  # (B,P+N)
    place = ops.arange(first + length, dtype="int32")[None]  # (1,P+N)

    def next_logits(token, position, state):
        logits, new_cache = predict_next(token, position, state["cache"])
        state = {**state, "cache": new_cache}
        logits = ops.cast(logits, "float32")
        if not is_guided:
            return logits, state
        in_prefix = ops.cast(position < first, "int32")
        blind_token = ops.take(unconditional_prefix, ops.minimum(position, first - 1), axis=1)
        blind_token = in_prefix * ops.cast(blind_token, "int32") + (1 - in_prefix) * token
        blind, new_cache = predict_next(blind_token, position, state["unconditional_cache"])
        blind = ops.cast(blind, "float32")
        return logits + guidance_scale * (logits - blind), {**state, "unconditional_cache": new_cache}

    def one_step(position, state):
        token = ops.take(state["sequence"], position, axis=1)  # (B,)
        logits, state = next_logits(token, position, state)
        logits = logits[:, None]  # (B,1,V)
        noise = None
        if not draws_nothing(token_temperature, top_k):
            noise = gumbel(hash_uniform(seed, position, tuple(logits.shape), TOKEN_STREAM))
        drawn = sample_tokens(
            filter_logits(logits, top_k, top_p, codebook_factors), token_temperature, noise, codebook_factors
        )  # (B,1)
        is_next = place == position + 1
        sequence = ops.where(ops.logical_and(is_next, ops.logical_not(is_given)), drawn, state["sequence"])
        log_p = log_probability(logits, drawn, codebook_factors)
        return {**state, "sequence": sequence, "log_p": ops.where(is_next, log_p, state["log_p"])}

    sequence = ops.concatenate([prefix, ops.where(is_known, known_ids, mask_id)], axis=1)
    state = {"sequence": sequence, "log_p": ops.zeros(sequence.shape, "float32"), "cache": cache}
    if is_guided:
        state["unconditional_cache"] = unconditional_cache
    state = ops.fori_loop(0, first + length - 1, one_step, state)
    ids = state["sequence"][:, first:]
    return _steps(ids, state["log_p"][:, first:], is_known, mask_id) if return_steps else ids


def _steps(ids: Any, log_p: Any, is_known: Any, mask_id: int) -> DecodingSteps:
    """What was known when: at step i the latents before i, and those given."""
    length = ids.shape[1]
    step = ops.reshape(ops.arange(length, dtype="int32"), (-1, 1, 1))
    place = ops.reshape(ops.arange(length, dtype="int32"), (1, 1, -1))
    unknown = ops.logical_and(place >= step, ops.logical_not(is_known)[None])
    drawn_now = ops.logical_and(place == step, unknown)
    return DecodingSteps(
        ids=ids,
        inputs=ops.where(unknown, mask_id, ids[None]),
        predicted=ops.where(ops.logical_and(unknown, ops.logical_not(drawn_now)), 0, ids[None]),
        unknown=unknown,
        confidence=ops.where(drawn_now, log_p[None], float("inf")),
    )
