"""Batches of cached tokens: the transformer trains without running the tokenizer again."""

from __future__ import annotations

import keras
import numpy as np

from magvit_keras.data.loader import part_of_batch


class TokenBatches(keras.utils.PyDataset):
    """Batches of cached tokens for `Magvit.fit`.

    The order depends on `seed` and `epoch` alone, so that a training that goes on sees what it would have seen.

    Args:
        arrays: "tokens", "condition_tokens" and perhaps "label", of one length.
        batch_size: examples in a batch.
        seed: of the order.
        steps_per_epoch: batches in an epoch, drawn with new orders as often as needed; one pass by default.
        process: (index, count) of a training in several processes: each gets its part of every batch.

    Example:
        >>> import numpy as np
        >>> arrays = {"tokens": np.zeros((6, 2, 4, 4), "uint16"), "label": np.arange(6)}
        >>> batch = TokenBatches(arrays, batch_size=4)[0]
        >>> batch["tokens"].shape, str(batch["tokens"].dtype)
        ((4, 2, 4, 4), 'int32')
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        process: tuple[int, int] = (0, 1),
    ):
        super().__init__()
        self.arrays, self.batch_size, self.seed = arrays, batch_size, seed
        self._part = part_of_batch(batch_size, process)
        self.count = len(arrays["tokens"])
        self.steps = steps_per_epoch or max(1, self.count // batch_size)
        self._epoch = self._first = 0
        self._last_order = (-1, np.empty(0, int))

    @property
    def epoch(self) -> int:
        """The epoch whose batches come next, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch, self._first = int(value), 0

    @property
    def position(self) -> int:
        """How many batches lie before the next one, over all epochs; to be set where a training goes on."""
        return self._epoch * self.steps + self._first

    @position.setter
    def position(self, value: int) -> None:
        self._epoch, self._first = divmod(int(value), self.steps)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        first = (self.position + step) * self.batch_size
        positions = np.arange(first, first + self.batch_size)[self._part]
        rows = [self._order(int(p) // self.count)[int(p) % self.count] for p in positions]
        # In memory tokens keep the narrow type of the file.
        return {name: array[rows].astype("int32") for name, array in self.arrays.items()}

    def _order(self, number: int) -> np.ndarray:
        last = self._last_order  # shuffling a large cache takes longer than a batch
        if last[0] != number:
            self._last_order = last = (number, np.random.default_rng([self.seed, number]).permutation(self.count))
        return last[1]

    def on_epoch_end(self) -> None:
        """Called by Keras: the next epoch has other batches."""
        self._epoch += 1
