"""Noise that is the same on every backend: an integer hash of (seed, step, position).

The generators of the three backends draw different numbers for one seed, and carrying their state through
a compiled loop is awkward. A hash has no state: one seed is one clip everywhere, and a clip does not depend
on the batch that it was made in.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


def _int32(value: int) -> int:
    """The same 32 bits as a signed number; int32 is what wraps alike on all backends (uint32 does not)."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


# Odd constants: of the golden ratio, and of the "lowbias32" mixer by C. Wellons.
_GOLDEN = _int32(0x9E3779B9)
_STEP = _int32(0x85EBCA6B)
_STREAM = _int32(0xC2B2AE35)
_MIX_1, _MIX_2 = _int32(0x7FEB352D), _int32(0x846CA68B)

#: Streams of the hash: the kinds of noise in decoding are independent.
CONFIDENCE_STREAM, TOKEN_STREAM, REVISION_STREAM = 1, 2, 3


def _shift(x: Any, bits: int) -> Any:
    # The shift copies the sign bit into int32; the mask makes it a logical shift.
    return ops.bitwise_and(ops.bitwise_right_shift(x, bits), (1 << (32 - bits)) - 1)


def _mix(x: Any) -> Any:
    """A bijection of 32 bits in which every input bit moves about half of the output bits."""
    x = ops.bitwise_xor(x, _shift(x, 16)) * _MIX_1
    x = ops.bitwise_xor(x, _shift(x, 15)) * _MIX_2
    return ops.bitwise_xor(x, _shift(x, 16))


def clip_seeds(seed: Any, num_clips: int, first: int = 0) -> Any:
    """One seed for each clip, from one seed for all.

    Give the clips of a split batch their own seeds (`first` = clips before) and they come out as in one batch.

    Args:
        seed: any int, or int32 scalar tensor.
        num_clips: B.
        first: number of the first clip.

    Returns:
        (B,) int32.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.decoding.noise import clip_seeds
        >>> bool((np.asarray(clip_seeds(0, 4))[2:] == np.asarray(clip_seeds(0, 2, first=2))).all())
        True
    """
    number = ops.arange(num_clips, dtype="int32") + first
    return _mix(_seed_tensor(seed) + number * _GOLDEN)


def seed_from(seed: int, first: int) -> int:
    """The seed whose clips are those of another seed from clip `first` on.

    Args:
        seed: any int.
        first: number of the first clip.

    Returns:
        An int of 32 bits.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.decoding.noise import clip_seeds, seed_from
        >>> bool((np.asarray(clip_seeds(7, 5))[3:] == np.asarray(clip_seeds(seed_from(7, 3), 2))).all())
        True
    """
    return (_folded(seed) + first * _GOLDEN) & 0xFFFFFFFF


def hash_uniform(seed: Any, step: Any, shape: tuple[int, ...], stream: int = 0) -> Any:
    """Uniform numbers from a hash, bit-identical on all backends.

    Args:
        seed: any int, or int32 tensor, scalar or (B,): one for each clip. A scalar is the same as
            `clip_seeds(seed, B)`. A tensor can change without a new trace.
        step: int or int32 scalar tensor, the decoding step.
        shape: (B, ...), static.
        stream: separates uses of the same seed and step.

    Returns:
        float32 of that shape, in (0,1), both ends excluded, multiples of 2^-24.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.decoding.noise import hash_uniform
        >>> u = np.asarray(hash_uniform(seed=1, step=0, shape=(2, 1000)))
        >>> bool(0 < u.min() and u.max() < 1 and abs(u.mean() - 0.5) < 0.05)
        True
    """
    seeds = _seed_tensor(seed)
    if len(seeds.shape) == 0:
        seeds = clip_seeds(seeds, shape[0])
    step = ops.cast(step, "int32")
    key = _mix(_mix(seeds + _int32(stream * _STREAM)) + step * _STEP)  # (B,)
    key = ops.reshape(key, (-1, *(1 for _ in shape[1:])))
    position = ops.reshape(ops.arange(math.prod(shape[1:]), dtype="int32"), (1, *shape[1:]))
    # Two rounds with the key in both: with one, two keys would give the same numbers at shifted positions.
    bits = _mix(ops.bitwise_xor(_mix(position * _GOLDEN + key), _mix(key + _GOLDEN)))
    return (ops.cast(_shift(bits, 9), "float32") + 0.5) * (2.0**-23)


def gumbel(uniform: Any) -> Any:
    """Gumbel(0,1) noise from uniform numbers in (0,1): -log(-log u)."""
    return -ops.log(-ops.log(uniform))


def _seed_tensor(seed: Any) -> Any:
    if isinstance(seed, int | np.integer):
        seed = _int32(_folded(seed))
    elif not hasattr(seed, "dtype") or "int" not in keras.backend.standardize_dtype(seed.dtype):
        raise ValueError(f"A seed must be a whole number; received {seed!r}.")
    return ops.cast(seed, "int32")


def _folded(seed: Any) -> int:
    """All bits count, also those beyond 32 and the sign."""
    seed = int(seed)
    seed = seed if seed >= 0 else -seed * 0x9E3779B97F4A7C15
    return seed ^ (seed >> 32)
