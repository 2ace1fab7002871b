"""A callback that writes what the tokenizer makes of a few clips."""

import os
import pathlib
from typing import Any

import keras
import numpy as np

from magvit_keras.checks import check_positive, to_float, to_numpy


class SampleReconstructions(keras.callbacks.Callback):
    """Writes an animated GIF of clips beside their reconstructions every few epochs.

    The files are `reconstruction_0001.gif` and so on, numbered by epoch: originals in the upper row, reconstructions
    in the lower one.

    Args:
        clips: (B, T, H, W, 3), uint8 or floats in [0, 1]; a handful.
        folder: where the files go; made if it is missing.
        every: epochs between two files.
        fps: frames a second.
        average: under `VQGAN`, reconstructs with the averaged weights, the ones to use afterwards.

    Raises:
        ValueError: `every` is below 1.

    Example:
        >>> callback = SampleReconstructions(np.zeros((2, 4, 16, 16, 3), "uint8"), "samples", every=5)
    """

    def __init__(self, clips: Any, folder: str | os.PathLike, every: int = 1, fps: int = 8, average: bool = True):
        """Keeps the clips."""
        super().__init__()
        check_positive(every=every)
        self.clips = to_numpy(to_float(np.asarray(clips)))
        self.folder = pathlib.Path(folder)
        self.every, self.fps, self.average = every, fps, average

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes a file where it is time."""
        if (epoch + 1) % self.every:
            return
        from magvit_keras.visualize import save_gif  # needs more than training does

        self.folder.mkdir(parents=True, exist_ok=True)
        made = reconstructions(self.model, self.clips, self.average)
        rows = np.concatenate([self.clips, made], axis=2)  # (B, T, 2H, W, 3)
        side_by_side = np.concatenate(list(rows), axis=2)  # (T, 2H, B*W, 3)
        save_gif(self.folder / f"reconstruction_{epoch + 1:04d}.gif", side_by_side[None], self.fps)


def reconstructions(model: Any, clips: np.ndarray, average: bool = True, batch_size: int = 16) -> np.ndarray:
    """What a tokenizer, or that of a `VQGAN` or `Magvit`, makes of clips: (B, T, H, W, 3) float32 in [0, 1].

    Args:
        model: the model that is trained.
        clips: (B, T, H, W, 3), float32 in [0, 1].
        average: under `VQGAN`, with the averaged weights.
        batch_size: clips at a time.
    """
    tokenizer = getattr(model, "tokenizer", model)
    if average:
        tokenizer = getattr(model, "ema_tokenizer", tokenizer)
    batches = (clips[start : start + batch_size] for start in range(0, len(clips), batch_size))
    made = [to_numpy(tokenizer.decode(tokenizer.encode(batch))) for batch in batches]
    return np.clip(np.concatenate(made), 0.0, 1.0)
