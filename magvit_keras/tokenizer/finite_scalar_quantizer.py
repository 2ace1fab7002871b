"""Finite scalar quantization (FSQ): each latent value is rounded to a few levels."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras.checks import check_positive

# The bound lies this much outside the outermost levels, so that they are reached before tanh is flat.
_SLACK = 1e-3


@keras.saving.register_keras_serializable("magvit_keras")
class FiniteScalarQuantizer(keras.layers.Layer):
    """Bounds each latent value by tanh and rounds it to one of its levels; the id counts the grid points.

    There is no codebook and no auxiliary loss; the losses are 0, so that the trainer needs no special case.
    Computes in float32 under every precision policy.

    The codes lie in [-1, 1] and are what the decoder reads; `ids` reads what the encoder writes, before tanh. The two
    are different spaces, so the inverse of `lookup` is `ids_of_codes`, not `ids`.

    Args:
        levels: number of levels of each latent value, at least 2; their product is the codebook size. The authors
            advise 5 or more each: (8, 6, 5) for 240 codes, (8, 5, 5, 5) for 1000, (7, 5, 5, 5, 5) for 4375,
            (8, 8, 8, 6, 5) for 15360, (8, 8, 8, 5, 5, 5) for 64000.

    Raises:
        ValueError: no levels, or fewer than 2 of one.

    Example:
        >>> quantizer = FiniteScalarQuantizer((8, 5, 5, 5))
        >>> quantized, ids, losses = quantizer(np.zeros((1, 2, 4, 4, 4), "float32"))
        >>> quantizer.codebook_size, ids.shape
        (1000, (1, 2, 4, 4))

    Reference:
        Finite Scalar Quantization: VQ-VAE Made Simple (arXiv 2309.15505).
    """

    def __init__(self, levels: tuple[int, ...] = (8, 5, 5, 5), **kwargs: Any):
        levels = tuple(levels)
        check_positive(**{f"levels[{i}]": n for i, n in enumerate(levels)})
        if not levels or min(levels) < 2 or math.prod(levels) >= 2**31:
            raise ValueError(f"FiniteScalarQuantizer needs 2 or more levels each, below 2^31 codes; received {levels}.")
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.levels = tuple(int(n) for n in levels)
        self.codebook_size = math.prod(self.levels)
        self.embedding_dim = len(self.levels)
        count = np.asarray(self.levels)
        self._half = (count // 2).astype("float32")  # the level in the middle, at 0
        self._place = np.cumprod([1, *self.levels[:-1]]).astype("int32")  # the first value counts fastest
        self._reach = ((count - 1) * (1 + _SLACK) / 2).astype("float32")
        # An even number of levels has none in the middle of its interval: shift by half a level, and tanh to match.
        self._offset = np.where(count % 2 == 0, 0.5, 0.0).astype("float32")
        self._shift = np.arctanh(self._offset / self._reach)

    def build(self, input_shape: tuple) -> None:
        """Makes no weights; the width of the latents must be the number of entries of `levels`."""
        if input_shape[-1] != self.embedding_dim:
            raise ValueError(f"levels {self.levels} need latents of width {self.embedding_dim}; got {input_shape[-1]}.")

    def bound(self, x: Any) -> Any:
        """Latents (B, ..., d) squeezed into the interval of their levels, one unit a level."""
        return ops.tanh(x + _tensor(self._shift)) * _tensor(self._reach) - _tensor(self._offset)

    def ids(self, x: Any) -> Any:
        """The code (B, ...) int32 of latents (B, ..., d)."""
        return self._count(ops.round(self.bound(ops.cast(x, "float32"))))

    def ids_of_codes(self, codes: Any) -> Any:
        """The ids (B, ...) int32 of codes (B, ..., d) as `lookup` gives them."""
        return self._count(ops.round(codes * _tensor(self._half)))

    def _count(self, rounded: Any) -> Any:
        digits = ops.cast(rounded + _tensor(self._half), "int32")  # 0 to levels - 1
        return ops.cast(ops.sum(digits * _tensor(self._place), axis=-1), "int32")

    def lookup(self, ids: Any) -> Any:
        """The codes (B, ..., d), in [-1, 1], of ids (B, ...) in [0, codebook_size)."""
        levels = _tensor(np.asarray(self.levels, "int32"))
        digits = (ops.cast(ops.expand_dims(ids, -1), "int32") // _tensor(self._place)) % levels
        return (ops.cast(digits, "float32") - _tensor(self._half)) / _tensor(self._half)

    def call(self, x: Any, training: bool = False) -> tuple[Any, Any, dict[str, Any]]:
        """Quantizes latents (B, ..., d).

        Returns:
            The codes (B, ..., d) with the gradient of the rounding passed straight through, their ids (B, ...) int32,
            and the losses `commitment`, `codebook` and `entropy`, all 0.
        """
        bounded = self.bound(x)
        rounded = bounded + ops.stop_gradient(ops.round(bounded) - bounded)
        losses = {name: ops.zeros(()) for name in ("commitment", "codebook", "entropy")}
        return rounded / _tensor(self._half), self.ids(x), losses

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shapes of the codes, the ids and the three losses."""
        return input_shape, input_shape[:-1], {"commitment": (), "codebook": (), "entropy": ()}

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "levels": list(self.levels)}


def _tensor(constant: np.ndarray) -> Any:
    # Not every backend mixes NumPy arrays and tensors, and a tensor made in the constructor would belong to one device.
    return ops.convert_to_tensor(constant)
