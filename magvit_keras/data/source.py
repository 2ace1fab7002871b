"""The base of every video source: indexing, unreadable files, subsets, arrays and loaders."""

from __future__ import annotations

import abc
import hashlib
import inspect
import sys
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from magvit_keras.data.arguments import NAMES_IN_A_MESSAGE, BadFile, check_count, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from magvit_keras.data.loader import Loader

ON_ERROR = ("skip", "raise")
# Arguments of readers that say where clips are and not what they are.
_PLACES = ("root", "folder", "path", "on_error")


class UnreadableVideo(BadFile):
    """A video that cannot be decoded: broken, truncated, too large, or no video at all.

    Args:
        path: the file.
        reason: what went wrong, in words.
    """

    words = "cannot read the video {path}: {reason}"


class UnreadableVideoWarning(UserWarning):
    """Some videos were skipped, each replaced by the next readable one."""


class Source(abc.ABC):
    """Video clips with labels, by index. Readers of further datasets derive from this class.

    A subclass defines `__len__`, `class_names` and `read(index, epoch)`; the rest comes from here. `read` depends on
    its arguments and on the source's own seed alone, so that any process can read any clip in any order.

    Attributes:
        on_error: `"skip"` replaces an unreadable video by the next readable one and warns; `"raise"` raises.
    """

    on_error = "skip"

    # --- what a reader defines ---

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of clips."""

    @property
    @abc.abstractmethod
    def class_names(self) -> list[str]:
        """The names of the classes; the label of a clip is its position in this list."""

    @abc.abstractmethod
    def read(self, index: int, epoch: int) -> dict:
        """Reads one clip.

        Args:
            index: `0 <= index < len(self)`.
            epoch: the pass over the data; random windows and crops are drawn anew in each.

        Returns:
            `{"video": uint8 (T, H, W, 3), "label": int}`.

        Raises:
            UnreadableVideo: the file is broken. Nothing else should be raised for a bad file.
        """

    def name(self, index: int) -> str:
        """What messages call the clip: its path where it has one."""
        return f"clip {index}"

    def for_evaluation(self) -> Source:
        """The same clips without random windows, crops and flips."""
        return self

    # --- what every source has ---

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def failures(self) -> dict[int, str]:
        """Videos not worth another try, `{index: reason}`."""
        # Made on first use, so that a subclass need not call super().__init__().
        return self.__dict__.setdefault("_failures_by_index", {})

    @property
    def unreadable(self) -> dict[str, str]:
        """The videos found to be unreadable so far, `{name: reason}`."""
        return {self.name(index): reason for index, reason in sorted(self.failures.items())}

    def known_labels(self) -> np.ndarray | None:
        """The label of every clip, int64 (N,), where the reader knows them without reading any; otherwise None."""
        known = np.asarray(getattr(self, "labels", ()))
        if known.ndim != 1 or known.dtype.kind not in "iu" or not known.size or len(self) % known.size:
            return None
        return np.repeat(known.astype("int64"), len(self) // known.size)  # several clips of a video follow one another

    def settings(self) -> dict[str, Any]:
        """The kind of reader, and those of its arguments that it keeps as plain data under their own names.

        A reader extends this by whatever else determines its clips. A method `split` is here already, so that
        readers keep an argument of this name as `split_name`.
        """
        names = {name for kind in type(self).__mro__ for name in inspect.signature(kind.__init__).parameters}
        found = {"reader": type(self).__name__}
        for name in sorted(names - {"self", "args", "kwargs", *_PLACES}):
            value = getattr(self, "split_name" if name == "split" else name, Ellipsis)
            if _is_plain(value):
                found[name] = value
        return found

    def description(self) -> dict[str, Any]:
        """What determines the clips and their classes, as far as it is known without reading any.

        Returns:
            Plain data: `settings`, and checksums of the names of the clips and, where they are known, of the labels.

        Example:
            >>> from magvit_keras.data import MovingShapes
            >>> MovingShapes(8, num_frames=4, size=(16, 16)).description()["look"]
            'textured'
        """
        names, labels = hashlib.sha256(), self.known_labels()
        for index in range(len(self)):
            names.update(self.name(index).encode("utf-8", "backslashreplace") + b"\0")
        found = {**self.settings(), "names": names.hexdigest()}
        return found if labels is None else {**found, "labels": hashlib.sha256(labels.tobytes()).hexdigest()}

    def __getitem__(self, index: int) -> dict:
        """One clip; in training each time another window, crop and flip, so that any data loader sees them all.

        The first request gets that of epoch 0; the sequence is the same in every run.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        index, visits = int(index) % len(self), self.__dict__.setdefault("_visits", Counter())
        sample, found = self.sample(index, epoch=visits[index] + _data_loader_seed())
        visits[index] += 1
        self.report(found)
        return sample

    def __iter__(self) -> Iterator[dict]:
        return (self[index] for index in range(len(self)))

    def sample(self, index: int, epoch: int = 0, known: Mapping[int, str] | None = None) -> tuple[dict, dict[int, str]]:
        """Reads one clip, or the next readable one after it.

        Args:
            index: `0 <= index < len(self)`.
            epoch: the pass over the data.
            known: `{index: reason}` of videos that are not worth another try; by default, what `report` was told.

        Returns:
            The clip, and `{index: reason}` of the unreadable videos met for the first time.
        """
        known = self.failures if known is None else known
        found: dict[int, str] = {}
        for candidate in ((index + step) % len(self) for step in range(len(self))):
            if candidate in known:
                if self.on_error == "raise":
                    raise UnreadableVideo(self.name(candidate), known[candidate])
                continue
            try:
                return self.read(candidate, epoch), found
            except UnreadableVideo as error:
                if self.on_error == "raise":
                    raise
                found[candidate] = error.reason
        failures = {**known, **found}
        first = next(iter(failures))
        raise UnreadableVideo(
            self.name(first), f"{failures[first]} (and no other of the {len(self)} videos is readable)"
        )

    def report(self, failures: Mapping[int, str]) -> None:
        """Remembers unreadable videos and warns about the new ones: one warning that counts and names them."""
        new = {index: reason for index, reason in failures.items() if index not in self.failures}
        if not new:
            return
        self.failures.update(new)
        named = {self.name(index): reason for index, reason in new.items()}
        warnings.warn(
            f"{len(new)} of {len(self)} videos could not be read; the next readable one replaces each:\n"
            + listed(named),
            UnreadableVideoWarning,
            stacklevel=3,
        )

    def arrays(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """Loads the clips into memory.

        Args:
            limit: the number of clips from the front; all by default.

        Returns:
            `{"video": uint8 (N, T, H, W, 3), "label": int32 (N,)}`, which `model.fit` takes as it is.
        """
        count = len(self) if limit is None else min(check_count("limit", limit), len(self))
        labels, videos, found = np.empty(count, np.int32), None, {}
        for index in range(count):
            sample, new = self.sample(index, 0, {**self.failures, **found})
            found.update(new)
            if videos is None:  # filled in place: a list of clips would need the memory twice
                videos = np.empty((count, *sample["video"].shape), np.uint8)
            videos[index], labels[index] = sample["video"], sample["label"]
        self.report(found)
        return {"video": videos, "label": labels}

    def take(self, count: int) -> Subset:
        """The first `count` clips (all of them where there are fewer)."""
        return Subset(self, range(min(check_count("count", count), len(self))))

    def split(self, fraction: float, seed: int = 0) -> tuple[Subset, Subset]:
        """Holds out clips for validation.

        Args:
            fraction: the part to hold out, between 0 and 1; at least one clip goes to each side.
            seed: chooses which clips.

        Returns:
            The clips to train on, and the held-out ones with `for_evaluation` applied. The two share no clip. A class
            keeps at least one clip to train on, as far as the labels are known; a warning names classes without any.

        Raises:
            ValueError: `fraction` is not between 0 and 1, or there are fewer than two clips.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction={fraction!r}: expected a number between 0 and 1, for example 0.1")
        if len(self) < 2:
            raise ValueError(f"cannot split {len(self)} clip(s) in two: expected at least 2")
        order = np.random.default_rng([seed, len(self)]).permutation(len(self)).tolist()
        held = min(max(1, round(fraction * len(self))), len(self) - 1)
        labels = self.known_labels()
        if labels is not None:
            left, last = Counter(labels.tolist()), set()
            for index in order:
                if left[labels[index]] == 1:
                    last.add(index)
                left[labels[index]] -= 1
            order = [index for index in order if index not in last] + [index for index in order if index in last]
            held = max(1, min(held, len(order) - len(last)))
            trained = set(labels[order[held:]].tolist())
            absent = [name for label, name in enumerate(self.class_names) if label not in trained]
            if absent and max(trained) >= 0:
                warnings.warn(
                    f"{len(absent)} of {self.num_classes} classes have no clip to train on: "
                    + ", ".join(absent[:NAMES_IN_A_MESSAGE]),
                    stacklevel=2,
                )
        return Subset(self, sorted(order[held:])), Subset(self.for_evaluation(), sorted(order[:held]))

    def shard(self, index: int, count: int, drop_remainder: bool = True) -> Subset:
        """The clips of one process out of several: every `count`-th, so that sorted classes are spread evenly.

        Args:
            index: which process, from 0; for example `jax.process_index()`.
            count: how many processes; for example `jax.process_count()`.
            drop_remainder: leaves out the last clips so that all processes have equally many, which training in step
                needs. `False` keeps them, for evaluation.

        Returns:
            Its clips. Those of different processes have none in common.

        Raises:
            ValueError: `index` is not below `count`, or there are fewer clips than processes.

        Example:
            >>> from magvit_keras.data import MovingShapes
            >>> MovingShapes(7, num_frames=4, size=(16, 16)).shard(1, 3).indices
            [1, 4]
        """
        count = check_count("count", count)
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise ValueError(f"index={index!r}: expected 0 to {count - 1}, a process out of {count}")
        if len(self) < count:
            raise ValueError(f"{len(self)} clips cannot be shared by {count} processes; expected at least {count}")
        end = len(self) - len(self) % count if drop_remainder else len(self)
        return Subset(self, range(int(index), end, count))

    def loader(
        self,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 0,
        drop_remainder: bool = True,
        steps_per_epoch: int | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> Loader:
        """Batches for `model.fit`; see `magvit_keras.data.Loader` for the arguments."""
        from magvit_keras.data.loader import Loader  # Keras is loaded here and not before

        return Loader(self, batch_size, shuffle, seed, workers, drop_remainder, steps_per_epoch, process)


class Subset(Source):
    """Some of the clips of a source, in a given order. What the source knows to be unreadable is not tried again.

    Args:
        source: where the clips come from.
        indices: which clips, each `0 <= index < len(source)`.

    Example:
        >>> from magvit_keras.data import MovingShapes, Subset
        >>> odd = Subset(MovingShapes(10, num_frames=4, size=(16, 16)), range(1, 10, 2))
        >>> len(odd)
        5
    """

    def __init__(self, source: Source, indices: Sequence[int]):
        self.source, self.indices = source, [int(index) for index in indices]
        self.on_error = source.on_error
        bad = [index for index in self.indices if not 0 <= index < len(source)]
        if bad:
            raise ValueError(f"index {bad[0]} is outside a source of {len(source)} clips")
        if not self.indices:
            raise ValueError("a subset needs at least one clip; received no index")
        known = source.failures
        self.failures.update({place: known[index] for place, index in enumerate(self.indices) if index in known})

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def class_names(self) -> list[str]:
        """The classes of the whole source."""
        return self.source.class_names

    def known_labels(self) -> np.ndarray | None:
        """Those of the underlying source."""
        known = self.source.known_labels()
        return None if known is None else known[self.indices]

    def settings(self) -> dict[str, Any]:
        """Those of the underlying source."""
        return self.source.settings()

    def read(self, index: int, epoch: int) -> dict:
        """Reads the clip of the underlying source."""
        return self.source.read(self.indices[index], epoch)

    def name(self, index: int) -> str:
        """The name that the underlying source gives."""
        return self.source.name(self.indices[index])

    def for_evaluation(self) -> Subset:
        """The same clips without random windows, crops and flips."""
        return Subset(self.source.for_evaluation(), self.indices)


def _is_plain(value: Any) -> bool:
    return all(isinstance(part, bool | int | float | str | None) for part in _parts(value))


def _parts(value: Any) -> Sequence:
    return value if isinstance(value, list | tuple) else [value]


def _data_loader_seed() -> int:
    """In a worker process of a PyTorch DataLoader, which begins every epoch with a fresh copy: that epoch's seed."""
    loading = sys.modules.get("torch.utils.data")
    worker = loading.get_worker_info() if loading is not None else None
    return 0 if worker is None else worker.seed - worker.id
