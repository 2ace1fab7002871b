"""Batches for `model.fit`: order, prefetching and worker processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import keras
import numpy as np

from magvit_keras.data.arguments import check_count
from magvit_keras.data.workers import Batch, Clips, Pool

_PREFETCH = 2  # batches under way beyond the current one


class Loader(keras.utils.PyDataset):
    """Batches `{"video": uint8 (B, T, H, W, 3), "label": int32 (B,)}` on every backend.

    The batches depend on the source, on `seed` and on `epoch` alone, not on the number of workers: set `epoch` to go
    on where an earlier run was stopped. It counts up by itself when `fit` has taken all batches of an epoch. To go on
    within an epoch, set `position`.

    Args:
        source: any `Source`.
        batch_size: B, the same in every batch.
        shuffle: another order in each epoch.
        seed: of the order.
        workers: processes that decode; 0 decodes in the main process. About as many as free CPU cores.
        drop_remainder: leaves out the last, smaller batch. `False` keeps it, and its shape differs.
        steps_per_epoch: the length of an epoch in batches. Epochs then go on where the last one ended, so that all
            clips come equally often. By default one pass over the clips.
        process: (index, count) of a training in several processes: each gets its part of every batch, and the batches
            as a whole are those of one process. `batch_size` counts the clips of all.

    Raises:
        ValueError: an argument is out of range, or `batch_size` exceeds the number of clips and `steps_per_epoch` is
            not given.

    Example:
        >>> from magvit_keras.data import MovingShapes
        >>> loader = MovingShapes(8, num_frames=4, size=(16, 16)).loader(batch_size=4)
        >>> len(loader), loader[0]["video"].shape, loader[0]["label"].shape
        (2, (4, 4, 16, 16, 3), (4,))
    """

    def __init__(
        self,
        source: Clips,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 0,
        drop_remainder: bool = True,
        steps_per_epoch: int | None = None,
        process: tuple[int, int] = (0, 1),
    ):
        super().__init__(workers=1, use_multiprocessing=False)  # the processes are our own
        self.source, self.batch_size = source, check_count("batch_size", batch_size)
        self.shuffle, self.drop_remainder, self.seed = bool(shuffle), bool(drop_remainder), check_count("seed", seed, 0)
        self.steps_per_epoch = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
        workers = check_count("workers", workers, 0)
        if drop_remainder and steps_per_epoch is None and batch_size > len(source):
            raise ValueError(
                f"batch_size={batch_size} exceeds the {len(source)} clips of the source; expected at most "
                f"{len(source)}, or steps_per_epoch so that clips repeat, or drop_remainder=False"
            )
        self._part = part_of_batch(self.batch_size, process)
        if process[1] > 1 and not drop_remainder:
            raise ValueError("several processes cannot share the smaller last batch of drop_remainder=False")
        self._pool = Pool(source, workers) if workers else None
        self._lock = threading.RLock()  # TensorFlow asks from a thread of its own
        self._pending: dict[int, Batch] = {}  # by position
        self._found: dict[int, str] = {}
        self._steps_of: dict[int, int] | None = None
        self._in_epoch = False
        self._epoch = self._first = 0

    @property
    def class_names(self) -> list[str]:
        """The classes of the source; a label is a position in this list. `fit` compares them with the model's."""
        return list(self.source.class_names)

    @property
    def epoch(self) -> int:
        """The epoch whose batches come next, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        with self._lock:
            self._epoch, self._first = check_count("epoch", value, 0), 0
            self._steps_of = {} if self._in_epoch else None

    @property
    def position(self) -> int:
        """How many batches lie before the next epoch's first one, over all epochs.

        Set it to the number of batches that an earlier run has trained on, for example `int(optimizer.iterations)`:
        the next epoch begins with the batch that would have followed, and has as many batches as any other.
        """
        return self._epoch * len(self) + self._first

    @position.setter
    def position(self, value: int) -> None:
        with self._lock:
            self.epoch, self._first = divmod(check_count("position", value, 0), len(self))

    def __len__(self) -> int:
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        whole, rest = divmod(len(self.source), self.batch_size)
        return whole + (not self.drop_remainder and rest > 0)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        with self._lock:
            if not 0 <= step < len(self):
                raise IndexError(f"batch {step} of {len(self)}")
            if self._in_epoch:
                # Within `fit`, Keras shuffles the indices that it requests (its shuffle=True) with Python's global
                # random state. The n-th new number gets the n-th batch: the order stays our own, which a resumed run
                # repeats and which can be prefetched.
                step = self._steps_of.setdefault(step, len(self._steps_of))
            return self._batch(step)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for step in range(len(self)):
            with self._lock:
                batch = self._batch(step)
            yield batch
        self._report()

    def items(self, step: int, epoch: int | None = None) -> list[tuple[int, int]]:
        """What a batch holds for this process: (index in the source, pass over the source) of each clip."""
        count, epoch = len(self.source), self._epoch if epoch is None else epoch
        if self.steps_per_epoch is None:
            positions = range(step * self.batch_size, min((step + 1) * self.batch_size, count))[self._part]
            return [(int(self._order(epoch)[position]), epoch) for position in positions]
        first = (epoch * self.steps_per_epoch + step) * self.batch_size
        passes = (divmod(position, count) for position in range(first, first + self.batch_size)[self._part])
        return [(int(self._order(number)[position]), number) for number, position in passes]

    def _items_at(self, position: int) -> list[tuple[int, int]]:
        epoch, step = divmod(position, len(self))
        return self.items(step, epoch)

    def on_epoch_begin(self) -> None:
        """Called by Keras."""
        with self._lock:
            # An epoch that `fit(steps_per_epoch=...)` left early goes on; a single look at the first batch, by which
            # Keras builds a model, does not count.
            if self._steps_of is None or len(self._steps_of) <= 1:
                self._steps_of = {}
            self._in_epoch = True

    def on_epoch_end(self) -> None:
        """Called by Keras; reports unreadable videos and counts the epoch, where all its batches were taken."""
        with self._lock:
            if self._steps_of is not None and len(self._steps_of) == len(self):
                self._epoch += 1
                self._steps_of = None
            self._in_epoch = False
        self._report()

    def close(self) -> None:
        """Ends the worker processes; the next batch starts new ones."""
        with self._lock:
            self._pending.clear()
            if self._pool is not None:
                self._pool.close()
        self._report()

    def _batch(self, step: int) -> dict[str, np.ndarray]:
        known = {**self.source.failures, **self._found}
        first = self.position
        items = self._items_at(first + step)
        if self._pool is None:
            results = [self.source.sample(*item, {**known}) for item in items]
        else:
            # Batches of an epoch that was left early are not wanted any more.
            last = first + len(self)
            self._pending = {at: batch for at, batch in self._pending.items() if first <= at < last}
            batch = self._pending.pop(first + step, None) or self._pool.submit(items, known)
            for ahead in range(first + step + 1, min(first + step + 1 + _PREFETCH, last)):
                if ahead not in self._pending:
                    self._pending[ahead] = self._pool.submit(self._items_at(ahead), known)
            results = self._pool.results(batch)
        for _, found in results:
            self._found.update(found)
        return {
            "video": np.stack([sample["video"] for sample, _ in results]),
            "label": np.array([sample["label"] for sample, _ in results], np.int32),
        }

    def _order(self, number: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(len(self.source))
        cached = getattr(self, "_cached_order", None)
        if cached is None or cached[0] != number:
            order = np.random.default_rng([self.seed, number]).permutation(len(self.source))
            self._cached_order = cached = (number, order)
        return cached[1]

    def _report(self) -> None:
        found, self._found = self._found, {}
        self.source.report(found)


def part_of_batch(batch_size: int, process: tuple[int, int]) -> slice:
    """The rows of a batch that belong to the process (index, count).

    Raises:
        ValueError: the batch cannot be shared evenly, or there is no such process.
    """
    index, count = process
    if not 0 <= index < count:
        raise ValueError(f"process={process}: expected (index, count) with index from 0 to count - 1.")
    if batch_size % count:
        raise ValueError(f"batch_size={batch_size} cannot be shared evenly by {count} processes")
    size = batch_size // count
    return slice(index * size, (index + 1) * size)
