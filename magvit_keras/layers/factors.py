"""Large codebooks as products of small ones: a token is written as one digit in each of several alphabets.

A codebook of 2^18 codes is (512, 512): the transformer embeds a token as the sum of two rows and predicts two digits
of 512 values, instead of holding a table of 262,144 rows and as many logits for each position.

Reference: Language Model Beats Diffusion (MAGVIT-v2, arXiv 2310.05737), Sec. 3.2, "token factorization".
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any


def check_factors(factors: Sequence[int] | None, codebook_size: int) -> tuple[int, ...]:
    """The sizes of the alphabets; `(codebook_size,)` where the codebook is not factored.

    Raises:
        ValueError: the factors do not multiply to the codebook size.

    Example:
        >>> check_factors((512, 512), 2**18), check_factors(None, 1024)
        ((512, 512), (1024,))
    """
    if factors is None:
        return (codebook_size,)
    if not factors or min(factors) < 2 or math.prod(factors) != codebook_size:
        raise ValueError(
            f"codebook_factors must be sizes of at least 2 with the product {codebook_size}; received {tuple(factors)}."
        )
    return tuple(int(factor) for factor in factors)


def split_ids(ids: Any, factors: Sequence[int] | None) -> list[Any]:
    """Digits of tokens, the lowest first: tensors of the shape of `ids`, the i-th in [0, factors[i]).

    Without factors a token is its own only digit.

    Example:
        >>> split_ids(5 + 8 * 3, (8, 4))
        [5, 3]
    """
    digits, rest = [], ids
    for factor in (factors or ())[:-1]:
        digits.append(rest % factor)
        rest = rest // factor
    return [*digits, rest]


def join_ids(digits: Sequence[Any], factors: Sequence[int] | None) -> Any:
    """Tokens of their digits; undoes `split_ids`."""
    ids = digits[-1]
    for digit, factor in zip(digits[-2::-1], (factors or ())[-2::-1], strict=True):
        ids = ids * factor + digit
    return ids


def split_logits(logits: Any, factors: Sequence[int] | None) -> list[Any]:
    """Logits (..., sum of the factors) -> logits of each digit (..., factor)."""
    if factors is None or len(factors) == 1:
        return [logits]
    starts = [sum(factors[:i]) for i in range(len(factors) + 1)]
    return [logits[..., start:stop] for start, stop in itertools.pairwise(starts)]
