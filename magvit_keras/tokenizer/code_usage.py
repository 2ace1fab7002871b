"""Which codes a training run uses, and new ones for those it does not."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive, to_numpy


@keras.saving.register_keras_serializable("magvit_keras")
class CodeUsage(keras.layers.Layer):
    """Counts the steps since each code was used last, and optionally restarts codes that went unused too long.

    Args:
        codebook_size: number of codes K.
        restart_after: codes that went unused for this many steps are replaced by random latents; None never does.
        seed: of the choice of latents.

    Raises:
        ValueError: `restart_after` is neither None nor a positive integer.

    Reference:
        Jukebox (arXiv 2005.00341), Sec. 3.1: random restarts.
    """

    def __init__(self, codebook_size: int, restart_after: int | None = None, seed: int = 0, **kwargs: Any):
        if restart_after is not None:
            check_positive(restart_codes_after=restart_after)
        super().__init__(**{**kwargs, "trainable": False, "dtype": "float32"})
        self.codebook_size = codebook_size
        self.restart_after = restart_after
        self.seed = seed
        self.seed_generator = None if restart_after is None else keras.random.SeedGenerator(seed)
        self.unused_steps = self.add_weight(
            shape=(codebook_size,), dtype="int32", initializer="zeros", trainable=False, name="unused_steps"
        )
        self.built = True

    def update(self, ids: Any, latents: Any, codebooks: Sequence[keras.Variable]) -> None:
        """Counts one step, and restarts codes where that is asked.

        Args:
            ids: any shape, int32 in [0, K): the codes that the step used.
            latents: (..., D) float32 of the step.
            codebooks: variables (K, D) that get the same new codes: the trained one and its average.
        """
        flat = ops.reshape(ids, (-1,))
        counts = ops.segment_sum(ops.ones_like(flat), flat, num_segments=self.codebook_size)  # (K,)
        counts = backend.replica_sum(counts)
        unused = ops.where(counts > 0, 0, self.unused_steps + 1)
        if self.restart_after is not None:
            dead = unused >= self.restart_after  # (K,)
            pool = ops.reshape(latents, (-1, latents.shape[-1]))  # (N, D)
            draws = keras.random.uniform((self.codebook_size,), dtype="float32", seed=self.seed_generator)
            fresh = backend.choose_rows(pool, draws)  # (K, D)
            for codebook in codebooks:
                codebook.assign(ops.where(dead[:, None], fresh, ops.convert_to_tensor(codebook)))
            unused = ops.where(dead, 0, unused)
        self.unused_steps.assign(ops.cast(unused, "int32"))

    def share_used_within(self, steps: int) -> float:
        """Share of the codes that were used at least once in the last `steps` steps, 0 to 1."""
        return float((to_numpy(self.unused_steps) < steps).mean())

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "restart_after": self.restart_after,
            "seed": self.seed,
        }
