"""A Haar wavelet that folds pixels into channels, and back: no number is lost, and none is learned."""

import math
from typing import Any

from keras import ops


def check_wavelet(wavelet: tuple[int, ...] | None, rank: int) -> tuple[int, ...] | None:
    """Returns the factors as a tuple, or raises ValueError unless they are a power of two for each axis."""
    if wavelet is None:
        return None
    factors = tuple(wavelet)
    if len(factors) != rank or any(not isinstance(n, int) or n < 1 or n & (n - 1) for n in factors):
        axes = "(time, height, width)" if rank == 3 else "(height, width)"
        raise ValueError(f"wavelet must be a power of two for each of {axes}, or None; received {wavelet!r}.")
    return factors


def fold(x: Any, factors: tuple[int, ...]) -> Any:
    """Blocks of cells as channels: sums and differences of neighbours, then of those, until a block is one cell.

    Along height and width a pair (a, b) becomes (a + b, a - b) / sqrt(2), so that an error in a channel is as large as
    the error in the pixels that it makes. Along time it becomes (a + b, a - b) / 2 and time comes last: of frames that
    are all equal, the first channels are those of one frame, and the others are zero.

    Args:
        x: (B, ..., C).
        factors: cells of a block along each axis between batch and channels, powers of two that divide it.

    Returns:
        (B, ..., C * prod(factors)).

    Example:
        >>> fold(np.ones((1, 4, 8, 8, 3), "float32"), (4, 8, 8)).shape
        (1, 1, 1, 1, 768)
    """
    for axis, scale in _steps(factors):
        shape = (ops.shape(x)[0], *x.shape[1:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
        a, b = ops.unstack(ops.reshape(x, shape), 2, axis=axis + 1)
        x = ops.concatenate([(a + b) * scale, (a - b) * scale], axis=-1)
    return x


def unfold(x: Any, factors: tuple[int, ...]) -> Any:
    """The inverse of `fold`: (B, ..., C * prod(factors)) -> (B, ..., C)."""
    for axis, scale in reversed(_steps(factors)):
        sums, differences = ops.split(x * (0.5 / scale), 2, axis=-1)
        x = ops.stack([sums + differences, sums - differences], axis=axis + 1)
        x = ops.reshape(x, (ops.shape(x)[0], *x.shape[1:axis], 2 * x.shape[axis], *x.shape[axis + 2 :]))
    return x


def unit(factors: tuple[int, ...]) -> float:
    """What the first channels are of a block whose pixels are all 1."""
    return math.sqrt(math.prod(factors[-2:]))


def _steps(factors: tuple[int, ...]) -> list[tuple[int, float]]:
    """Axis and scale of each halving: those of space, then those of time."""
    rank = len(factors)
    steps = [(axis, math.sqrt(0.5)) for axis in (rank - 1, rank) for _ in range(factors[axis - 1].bit_length() - 1)]
    return steps + [(1, 0.5)] * (factors[0].bit_length() - 1 if rank == 3 else 0)
