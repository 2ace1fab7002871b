"""The order of a Halton sequence: tokens that become known together lie far apart."""

import numpy as np

_PRIMES = (2, 3, 5)


def halton_order(latent_shape: tuple[int, int, int]) -> np.ndarray:
    """The rank at which each latent becomes known: 0 for the first.

    The points of the three-dimensional Halton sequence are visited in turn; a latent's rank is that of the first
    point in its cell.

    Args:
        latent_shape: (t, h, w).

    Returns:
        (t*h*w,) int32, a permutation of 0 .. t*h*w - 1 in time-row-column order.

    Example:
        >>> sorted(halton_order((2, 2, 2)).tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]

    Reference: Halton Scheduler for Masked Generative Image Transformer (arXiv 2503.17076).
    """
    total = int(np.prod(latent_shape))
    points = 8 * total
    while True:
        digits = [_radical_inverse(points, prime) for prime in _PRIMES]
        cells = [np.floor(d * n).astype(int) for d, n in zip(digits, latent_shape, strict=True)]
        flat = np.ravel_multi_index(cells, latent_shape)
        visited, first = np.unique(flat, return_index=True)
        if len(visited) == total:
            return np.argsort(np.argsort(first)).astype("int32")
        points *= 2


def _radical_inverse(count: int, base: int) -> np.ndarray:
    """The digits of 1 .. count in that base, mirrored at the point: in [0, 1)."""
    rest, value, scale = np.arange(1, count + 1), np.zeros(count), 1.0
    while rest.any():
        scale /= base
        value += scale * (rest % base)
        rest = rest // base
    return value
