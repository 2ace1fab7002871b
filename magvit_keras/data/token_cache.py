"""Tokens on disk and in batches: the transformer trains without running the tokenizer again."""

from __future__ import annotations

import os
import pathlib
import tempfile
import zipfile

import keras
import numpy as np


def write_shard(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays to an .npz file in one step: a shard is there whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(partial, path)
    except BaseException:
        pathlib.Path(partial).unlink(missing_ok=True)
        raise


def read_shards(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """All shards of a folder as one dict of arrays, in the order of their names.

    Raises:
        ValueError: the folder holds no shard, or a shard is damaged; the message names it.
    """
    paths = sorted(pathlib.Path(folder).glob("*.npz"))
    if not paths:
        raise ValueError(f"{folder} holds no token shards (*.npz).")
    shards = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                shards.append({name: arrays[name] for name in arrays})
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"The token shard {path} is damaged ({error}); delete it to have it made again.") from None
    return {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}


class TokenBatches(keras.utils.PyDataset):
    """Batches of cached tokens for `Magvit.fit`.

    The order depends on `seed` and `epoch` alone, so that a training that goes on sees what it would have seen.

    Args:
        arrays: "tokens", "condition_tokens" and perhaps "label", of one length.
        batch_size: examples in a batch.
        seed: of the order.
        steps_per_epoch: batches in an epoch, drawn with new orders as often as needed; one pass by default.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], batch_size: int, seed: int = 0, steps_per_epoch: int | None = None
    ):
        super().__init__()
        self.arrays, self.batch_size, self.seed = arrays, batch_size, seed
        self.count = len(arrays["tokens"])
        self.steps = steps_per_epoch or max(1, self.count // batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        first = (self.epoch * self.steps + step) * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        rows = [self._order(int(p) // self.count)[int(p) % self.count] for p in positions]
        return {name: array[rows] for name, array in self.arrays.items()}

    def _order(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).permutation(self.count)

    def on_epoch_end(self) -> None:
        """Called by Keras: the next epoch has other batches."""
        self.epoch += 1
