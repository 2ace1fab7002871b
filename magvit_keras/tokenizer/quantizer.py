"""Vector quantization of the latents (Sec. 3.1)."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive
from magvit_keras.layers.initial_values import drawn_by_numpy

#: Steps over which moving codes are means.
MEMORY = 100.0
#: A moving code that is chosen less than this share of how often codes are chosen on average is replaced.
UNUSED = 0.03


@keras.saving.register_keras_serializable("magvit_keras")
class VectorQuantizer(keras.layers.Layer):
    """Replaces each latent vector by the nearest of `codebook_size` learned codes.

    Computes in float32 under every precision policy: the distances decide which code is nearest.

    Args:
        codebook_size: number of codes K.
        embedding_dim: width of a code.
        commitment_cost: weight of pulling the latents towards their codes.
        entropy_loss_weight: weight of the entropy loss, which spreads the use of the codes; 0 leaves it out.
        entropy_temperature: temperature of the soft assignment in the entropy loss.
        moving: codes are no trained weights but the running means of the latents that choose them, over some
            `MEMORY` steps; a code that hardly any latent chooses is replaced by a random latent of the batch. Codes
            begin as latents of the first batch.

    Example:
        >>> quantized, ids, losses = VectorQuantizer(16, 8)(np.zeros((1, 2, 4, 4, 8), "float32"))
        >>> ids.shape
        (1, 2, 4, 4)

    Reference:
        MAGVIT, Sec. 3.1; the entropy loss as in MaskGIT (CVPR 2022); moving codes as in VQ-VAE (arXiv 1711.00937),
        appendix A.1, and Jukebox (arXiv 2005.00341), Sec. 3.1.
    """

    def __init__(
        self,
        codebook_size: int = 1024,
        embedding_dim: int = 256,
        commitment_cost: float = 0.25,
        entropy_loss_weight: float = 0.1,
        entropy_temperature: float = 0.01,
        moving: bool = False,
        **kwargs: Any,
    ):
        check_positive(codebook_size=codebook_size, embedding_dim=embedding_dim)
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.codebook_size = codebook_size
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.entropy_loss_weight = entropy_loss_weight
        self.entropy_temperature = entropy_temperature
        self.moving = moving
        self.seed_generator = keras.random.SeedGenerator(0) if moving else None

    def build(self, input_shape: tuple) -> None:
        """Makes the codebook (K, D)."""
        bound = (3.0 / self.codebook_size) ** 0.5
        self.codebook = self.add_weight(
            shape=(self.codebook_size, self.embedding_dim),
            initializer=drawn_by_numpy(keras.initializers.RandomUniform(-bound, bound)),
            trainable=not self.moving,
            name="codebook",
        )
        if self.moving:
            # How many latents of a batch choose each code, as a running mean.
            self.counts = self.add_weight(
                shape=(self.codebook_size,), initializer="zeros", trainable=False, name="counts"
            )

    def distances(self, x: Any) -> Any:
        """Squared Euclidean distances (B, ..., K) of latents (B, ..., D) to all codes."""
        squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
        # Exact: rounded to bfloat16 or TF32, as accelerators do, one latent in a hundred has another code.
        rows = ops.reshape(x, (-1, self.embedding_dim))
        products = backend.exact_matmul(rows, ops.transpose(ops.convert_to_tensor(self.codebook)))
        products = ops.reshape(products, (*ops.shape(x)[:-1], self.codebook_size))
        return squares - 2.0 * products + ops.sum(ops.square(self.codebook), axis=-1)

    def ids(self, x: Any) -> Any:
        """The nearest code (B, ...) int32 of latents (B, ..., D); the first of equally near ones."""
        return ops.cast(ops.argmin(self.distances(ops.cast(x, "float32")), axis=-1), "int32")

    def lookup(self, ids: Any) -> Any:
        """The codes (B, ..., D) of ids (B, ...) in [0, K)."""
        # On TensorFlow the gradient of a lookup in the variable itself is sparse; a lookup in a product is dense.
        return ops.take(self.codebook * 1.0, ids, axis=0)

    def call(self, x: Any, training: bool = False) -> tuple[Any, Any, dict[str, Any]]:
        """Quantizes latents (B, ..., D).

        Returns:
            The codes with the gradient passed straight through (B, ..., D), their ids (B, ...) int32, and the
            losses `commitment`, `codebook` and `entropy`, weighted.
        """
        distances = self.distances(x)
        ids = ops.cast(ops.argmin(distances, axis=-1), "int32")
        quantized = self.lookup(ids)
        losses = {
            "commitment": self.commitment_cost * ops.mean(ops.square(ops.stop_gradient(quantized) - x)),
            "codebook": ops.mean(ops.square(quantized - ops.stop_gradient(x))),
            "entropy": ops.zeros(()),
        }
        if self.entropy_loss_weight:
            losses["entropy"] = self.entropy_loss_weight * entropy_loss(distances, self.entropy_temperature)
        if self.moving:
            losses["codebook"] = ops.zeros(())
            if training and self.trainable:
                self._move(ops.stop_gradient(x), ids)
        return x + ops.stop_gradient(quantized - x), ids, losses

    def _move(self, x: Any, ids: Any) -> None:
        """Moves the codes towards the means of the latents (B, ..., D) that chose them, and replaces unused ones."""
        rows, flat = ops.reshape(x, (-1, self.embedding_dim)), ops.reshape(ids, (-1,))
        ones = ops.ones_like(rows[:, :1])
        # One sum for both: how many latents chose each code, and what they add up to.
        sums = ops.segment_sum(ops.concatenate([ones, rows], axis=1), flat, num_segments=self.codebook_size)
        sums = backend.replica_sum(sums) / MEMORY  # (K, 1 + D)
        before = self.counts * (1 - 1 / MEMORY)
        counts = before + sums[:, 0]
        codes = (before[:, None] * self.codebook + sums[:, 1:]) / ops.maximum(counts, 1e-8)[:, None]
        usual = ops.mean(counts)
        unused = counts < UNUSED * usual
        draws = keras.random.uniform((self.codebook_size,), dtype="float32", seed=self.seed_generator)
        fresh = backend.choose_rows(rows, draws)  # (K, D)
        self.codebook.assign(ops.where(unused[:, None], fresh, codes))
        self.counts.assign(ops.where(unused, usual, counts))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shapes of the codes, the ids and the three losses."""
        return input_shape, input_shape[:-1], {"commitment": (), "codebook": (), "entropy": ()}

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "entropy_loss_weight": self.entropy_loss_weight,
            "entropy_temperature": self.entropy_temperature,
            "moving": self.moving,
        }


def entropy_loss(distances: Any, temperature: float = 0.01) -> Any:
    """Mean entropy of the soft assignments minus the entropy of their mean.

    Low where each latent is sure of its code and all codes are used equally.

    Args:
        distances: (..., K) squared distances of the latents to the codes.
        temperature: the soft assignment is softmax(-distances / temperature).

    Returns:
        A scalar.
    """
    affinity = ops.reshape(-distances / temperature, (-1, distances.shape[-1]))  # (N, K)
    probabilities = ops.softmax(affinity, axis=-1)
    mean = backend.replica_mean(ops.mean(probabilities, axis=0))  # (K,), of the batch on all devices
    entropy_of_mean = -ops.sum(mean * ops.log(mean + 1e-5))
    mean_entropy = -ops.mean(ops.sum(probabilities * ops.log_softmax(affinity, axis=-1), axis=-1))
    return mean_entropy - entropy_of_mean
