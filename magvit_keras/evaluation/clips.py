"""The real clips of a protocol, and which of them each sample is made from."""

import dataclasses
import hashlib
import inspect
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from magvit_keras import data as readers
from magvit_keras.data import open_source
from magvit_keras.data.readers.formats import FORMATS, make_shapes
from magvit_keras.data.source import Source
from magvit_keras.presets.protocols import Protocol, RealClips
from magvit_keras.training.tokens import read_ahead


def open_clips(protocol: Protocol, clips: RealClips, root: str | os.PathLike | None, seed: int = 0) -> Source:
    """The reader of the real clips.

    Args:
        protocol: settled.
        clips: which of them.
        root: folder of the data; None for Moving Shapes, which is made.
        seed: of random windows and crops.

    Raises:
        ValueError: no folder where one is needed, or what the reader raises.
        FileNotFoundError: the data is not there.
    """
    frames, *size = protocol.video_shape
    options: dict[str, Any] = {"num_frames": frames, "size": tuple(size), **protocol.reader}
    if protocol.data_format == "moving_shapes":
        if root is not None:
            raise ValueError("Moving Shapes is made and not read: leave --data out, or name another --format.")
        return make_shapes(**{"num_clips": protocol.videos or 1024, **options, "split": clips.split or "test"})
    if root is None:
        raise ValueError(f"The protocol {protocol.name!r} needs --data, the folder of {protocol.data_format}.")
    if has_split(protocol.data_format):
        options["split"] = clips.split
    random = clips.windows == "random"
    options |= {"frame_stride": protocol.frame_stride, "training": random, "horizontal_flip": False, "seed": seed}
    source = open_source(protocol.data_format, root, **options)
    return source if random else source.for_evaluation(windows=clips.windows, crops=clips.crops)


def has_split(data_format: str) -> bool:
    """Whether the reader of a format has splits."""
    if data_format == "moving_shapes":
        return True
    return data_format in FORMATS and "split" in inspect.signature(getattr(readers, FORMATS[data_format])).parameters


@dataclasses.dataclass(frozen=True)
class Draws:
    """Which real clip each sample is made from: all in turn, in a new order each turn.

    Args:
        clips: number of real clips D.
        samples: N of a fold.
        folds: how many.
        seed: of the orders.
        random_windows: whether a clip is another one each time it is taken.

    Attributes:
        pairs: (M, 2) int64, all different (epoch, index) that are read, sorted.
        rows: (folds, N), the row in `pairs` of each sample.

    Example:
        >>> draws = Draws(clips=3, samples=6, folds=2, seed=0, random_windows=False)
        >>> len(draws.pairs), [sorted(rows.tolist()) for rows in draws.rows]
        (3, [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]])
    """

    clips: int
    samples: int
    folds: int
    seed: int
    random_windows: bool
    pairs: np.ndarray = dataclasses.field(init=False)
    rows: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self):
        """Draws the orders."""
        turns = -(-self.samples // self.clips)
        drawn = []
        for fold in range(self.folds):
            for turn in range(turns):
                order = np.random.default_rng([self.seed, fold, turn]).permutation(self.clips)
                order = order[: self.samples - turn * self.clips]
                epoch = fold * turns + turn if self.random_windows else 0
                drawn.append(np.stack([np.full(len(order), epoch), order], axis=1))
        pairs, rows = np.unique(np.concatenate(drawn).astype("int64"), axis=0, return_inverse=True)
        object.__setattr__(self, "pairs", pairs)
        object.__setattr__(self, "rows", rows.reshape(self.folds, self.samples))

    def description(self) -> dict[str, Any]:
        """What decides about the draws, and a checksum of them."""
        fields = {name: getattr(self, name) for name in ("clips", "samples", "folds", "seed", "random_windows")}
        return {**fields, "sha256": hashlib.sha256(self.pairs.tobytes() + self.rows.tobytes()).hexdigest()}


class Clips(NamedTuple):
    """Real clips: uint8 (n, T, H, W, 3) or None where they are not needed, their classes (n,), and bool (n,).

    The last says where an unreadable clip was replaced by another one.
    """

    video: np.ndarray | None
    labels: np.ndarray
    replaced: np.ndarray


def read_clips(source: Source, lists: Sequence[np.ndarray], workers: int = 0) -> Iterator[Clips]:
    """The clips of each list of (epoch, index), read ahead by worker processes where there are any."""
    items = [[(int(index), int(epoch)) for epoch, index in pairs] for pairs in lists]
    for pairs, samples in zip(items, read_ahead(source, items, workers), strict=True):
        labels = np.array([sample["label"] for sample in samples], "int32")
        replaced = np.array([index in source.failures for index, _ in pairs])
        yield Clips(np.stack([sample["video"] for sample in samples]), labels, replaced)


def read_labels(source: Source, lists: Sequence[np.ndarray]) -> Iterator[Clips]:
    """The same without the clips: nothing is decoded where the reader knows the classes beforehand."""
    known = getattr(source, "labels", None)
    if known is None:
        yield from (clips._replace(video=None) for clips in read_clips(source, lists))
        return
    per_video = len(source) // len(known)
    for pairs in lists:
        yield Clips(None, known[pairs[:, 1] // per_video].astype("int32"), np.zeros(len(pairs), bool))


def describe_clips(source: Source) -> dict[str, Any]:
    """What decides about the clips, without the seed, which is no choice of the protocol."""
    described = source.description()
    described.pop("seed", None)
    return {**described, "clips": len(source), "videos": getattr(source, "num_videos", len(source))}
