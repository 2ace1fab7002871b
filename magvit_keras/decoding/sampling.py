"""Drawing tokens from logits: top-k, top-p and the Gumbel trick."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.layers.factors import join_ids, split_ids, split_logits

# Far below any logit, yet finite: differences of two of them stay defined.
EXCLUDED = -1e7


def filter_logits(
    logits: Any, top_k: int | None = None, top_p: float | None = None, factors: Sequence[int] | None = None
) -> Any:
    """Keeps the most likely tokens and excludes the others.

    Args:
        logits: (..., V) float32.
        top_k: keep the k most likely tokens, and those equal to the last of them.
        top_p: keep the fewest most likely tokens whose probabilities sum to at least p, in (0,1],
            and those equal to the last of them.
        factors: of the codebook; each digit is then filtered by itself.

    Returns:
        (..., V) float32, -1e7 where excluded.

    Raises:
        ValueError: top_k below 1, or top_p outside (0,1].

    Example:
        >>> import numpy as np
        >>> from magvit_keras.decoding.sampling import filter_logits
        >>> np.asarray(filter_logits(np.array([1.0, 3.0, 2.0], "float32"), top_k=2)).tolist()
        [-10000000.0, 3.0, 2.0]
    """
    logits = ops.convert_to_tensor(logits)
    if factors is not None and len(factors) > 1:
        return ops.concatenate([filter_logits(part, top_k, top_p) for part in split_logits(logits, factors)], axis=-1)
    check_filters(top_k, top_p)
    if top_k is not None:
        k = min(int(top_k), logits.shape[-1])
        descending = -ops.sort(-logits, axis=-1)
        logits = ops.where(logits >= descending[..., k - 1 : k], logits, EXCLUDED)
    if top_p is not None:
        descending = -ops.sort(-logits, axis=-1)
        mass = ops.cumsum(ops.softmax(descending, axis=-1), axis=-1)
        last = ops.sum(ops.cast(mass < top_p, "int32"), axis=-1, keepdims=True)
        last = ops.minimum(last, logits.shape[-1] - 1)
        logits = ops.where(logits >= ops.take_along_axis(descending, last, axis=-1), logits, EXCLUDED)
    return logits


def check_filters(top_k: int | None, top_p: float | None) -> None:
    """Raises ValueError unless top_k is a whole number of at least 1, and top_p in (0,1]; None is neither."""
    if top_k is not None and not (isinstance(top_k, int | np.integer) and top_k >= 1):
        raise ValueError(f"Expected top_k of at least 1, a whole number; received {top_k!r}.")
    if top_p is not None and not (isinstance(top_p, int | float | np.floating) and 0 < top_p <= 1):
        raise ValueError(f"Expected top_p in (0, 1], received {top_p!r}.")


def sample_tokens(logits: Any, temperature: Any, noise: Any, factors: Sequence[int] | None = None) -> Any:
    """Draws a token from softmax(logits / temperature), by the Gumbel trick.

    Args:
        logits: (..., V) float32; with factors V is their sum, and each digit is drawn by itself.
        temperature: scalar; 0 takes the most likely token.
        noise: Gumbel(0,1) of the shape of the logits, or None to take the most likely token.
        factors: of the codebook, see `magvit_keras.layers.factors`.

    Returns:
        (...) int32.
    """
    logits = ops.convert_to_tensor(logits)
    if noise is not None:
        # argmax(l / T + g) = argmax(l + T g), which also holds at T = 0.
        logits = logits + temperature * noise
    digits = [ops.cast(ops.argmax(part, axis=-1), "int32") for part in split_logits(logits, factors)]
    return join_ids(digits, factors)


def log_probability(logits: Any, ids: Any, factors: Sequence[int] | None = None) -> Any:
    """Log-probability of the given tokens, in float32.

    Args:
        logits: (..., V) float32.
        ids: (...) int32.
        factors: of the codebook; the log-probabilities of a token's digits are summed.

    Returns:
        (...) float32.
    """
    total = 0.0
    logits = ops.convert_to_tensor(logits)
    for part, digit in zip(split_logits(logits, factors), split_ids(ids, factors), strict=True):
        chosen = ops.squeeze(ops.take_along_axis(part, digit[..., None], axis=-1), -1)
        total = total + chosen - ops.logsumexp(part, axis=-1)
    return total


def draws_nothing(temperature: Any, top_k: int | None) -> bool:
    """Whether the most likely token is taken anyway, so that no noise is needed."""
    return is_zero(temperature) or top_k == 1


def is_zero(value: Any) -> bool:
    """Whether a Python number is 0: a constant that saves work; the value of a tensor is never asked."""
    return isinstance(value, (int, float)) and value == 0
