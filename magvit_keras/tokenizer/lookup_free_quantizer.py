"""Lookup-free quantization (LFQ): the signs of the latents are the code (MAGVIT-v2)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive


@keras.saving.register_keras_serializable("magvit_keras")
class LookupFreeQuantizer(keras.layers.Layer):
    """Replaces each of the `log2(codebook_size)` latent values by its sign; the id is the number that they spell.

    There is no codebook to learn or to collapse, and no distance to compute, so 2^18 codes cost what 2 do. The first
    value is the lowest bit. Computes in float32 under every precision policy.

    The entropy loss is that of the vector quantizer with the 2^d sign vectors as codes. Its first half, the entropy
    of each soft assignment, is exactly the sum over the bits. The second, the entropy of the mean assignment, is
    computed exactly within groups of `entropy_group_bits` bits and summed over the groups: all bits in one group give
    the exact value, smaller groups an upper bound of it at 2^entropy_group_bits numbers a latent instead of 2^d.

    Args:
        codebook_size: number of codes, a power of two; 2^18 in MAGVIT-v2.
        commitment_cost: weight of pulling the latents towards their signs.
        entropy_loss_weight: weight of the entropy loss; 0 leaves it out.
        entropy_temperature: temperature of the soft assignment.
        entropy_group_bits: bits whose joint frequencies are counted together.

    Raises:
        ValueError: `codebook_size` is no power of two.

    Example:
        >>> quantizer = LookupFreeQuantizer(2**18)
        >>> quantized, ids, losses = quantizer(np.zeros((1, 2, 4, 4, 18), "float32"))
        >>> quantized.shape, ids.shape
        ((1, 2, 4, 4, 18), (1, 2, 4, 4))

    Reference:
        MAGVIT-v2 (arXiv 2310.05737), Sec. 3.1.
    """

    def __init__(
        self,
        codebook_size: int = 2**18,
        commitment_cost: float = 0.25,
        entropy_loss_weight: float = 0.1,
        entropy_temperature: float = 0.01,
        entropy_group_bits: int = 8,
        **kwargs: Any,
    ):
        check_positive(codebook_size=codebook_size, entropy_group_bits=entropy_group_bits)
        bits = codebook_size.bit_length() - 1
        if codebook_size < 2 or 2**bits != codebook_size or bits > 30:
            raise ValueError(
                f"LookupFreeQuantizer needs a power of two from 2 to 2^30 as codebook_size; received {codebook_size}."
            )
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.codebook_size = codebook_size
        self.embedding_dim = bits
        self.commitment_cost = commitment_cost
        self.entropy_loss_weight = entropy_loss_weight
        self.entropy_temperature = entropy_temperature
        self.entropy_group_bits = entropy_group_bits

    def build(self, input_shape: tuple) -> None:
        """Makes no weights; the width of the latents must be the number of bits."""
        if input_shape[-1] != self.embedding_dim:
            raise ValueError(
                f"{self.codebook_size} codes need latents of width {self.embedding_dim}; received {input_shape[-1]}."
            )

    def _place(self) -> Any:
        return ops.convert_to_tensor(2 ** np.arange(self.embedding_dim), dtype="int32")

    def ids(self, x: Any) -> Any:
        """The code (B, ...) int32 of latents (B, ..., d); bit i is set where value i is above zero."""
        return ops.cast(ops.sum(ops.cast(x > 0, "int32") * self._place(), axis=-1), "int32")

    def lookup(self, ids: Any) -> Any:
        """The signs (B, ..., d), each -1 or 1, of ids (B, ...) in [0, codebook_size)."""
        bits = (ops.cast(ops.expand_dims(ids, -1), "int32") // self._place()) % 2
        return 2.0 * ops.cast(bits, "float32") - 1.0

    def call(self, x: Any, training: bool = False) -> tuple[Any, Any, dict[str, Any]]:
        """Quantizes latents (B, ..., d).

        Returns:
            The signs with the gradient passed straight through (B, ..., d), their ids (B, ...) int32, and the
            losses `commitment`, `codebook` (0: there is none) and `entropy`, weighted.
        """
        quantized = ops.where(x > 0, 1.0, -1.0)
        losses = {
            "commitment": self.commitment_cost * ops.mean(ops.square(ops.stop_gradient(quantized) - x)),
            "codebook": ops.zeros(()),
            "entropy": ops.zeros(()),
        }
        if self.entropy_loss_weight:
            entropy = sign_entropy_loss(x, self.entropy_temperature, self.entropy_group_bits)
            losses["entropy"] = self.entropy_loss_weight * entropy
        return x + ops.stop_gradient(quantized - x), self.ids(x), losses

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shapes of the codes, the ids and the three losses."""
        return input_shape, input_shape[:-1], {"commitment": (), "codebook": (), "entropy": ()}

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "commitment_cost": self.commitment_cost,
            "entropy_loss_weight": self.entropy_loss_weight,
            "entropy_temperature": self.entropy_temperature,
            "entropy_group_bits": self.entropy_group_bits,
        }


def sign_entropy_loss(x: Any, temperature: float = 0.01, group_bits: int = 8) -> Any:
    """`entropy_loss` of the vector quantizer for the 2^d sign vectors as codes, without listing them.

    Args:
        x: (..., d) latents.
        temperature: the soft assignment is softmax(-squared distance / temperature).
        group_bits: bits counted together in the entropy of the mean assignment.

    Returns:
        A scalar: the mean entropy of the assignments minus the (bounded) entropy of their mean.
    """
    bits = x.shape[-1]
    # (x - 1)^2 and (x + 1)^2 differ by 4 x: a bit is set with probability sigmoid(4 x / temperature).
    logits = ops.reshape(x, (-1, bits)) * (4.0 / temperature)  # (N, d)
    log_set, log_clear = ops.log_sigmoid(logits), ops.log_sigmoid(-logits)
    per_bit = -(ops.exp(log_set) * log_set + ops.exp(log_clear) * log_clear)
    mean_entropy = ops.mean(ops.sum(per_bit, axis=-1))
    entropy_of_mean = ops.zeros(())
    for start in range(0, bits, group_bits):
        width = min(group_bits, bits - start)
        codes = (np.arange(2**width)[:, None] >> np.arange(width)) % 2  # (2^width, width)
        group = slice(start, start + width)
        is_set = ops.convert_to_tensor(codes.T, dtype="float32")  # (width, 2^width)
        log_probability = ops.matmul(log_set[:, group], is_set) + ops.matmul(log_clear[:, group], 1.0 - is_set)
        mean = backend.replica_mean(ops.mean(ops.exp(log_probability), axis=0))
        entropy_of_mean = entropy_of_mean - ops.sum(mean * ops.log(mean + 1e-10))
    return mean_entropy - entropy_of_mean
