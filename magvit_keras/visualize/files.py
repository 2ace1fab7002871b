"""Clips as GIF, MP4 and PNG files, which appear under their names when they are complete."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from magvit_keras.data.files.encode import write_video
from magvit_keras.files import atomic_path
from magvit_keras.visualize.clips import clip_list, grid, strip, upscale

Clips = np.ndarray | Sequence[np.ndarray]


def save_gif(
    path: str | os.PathLike,
    clips: Clips,
    fps: float = 8,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    scale: int = 1,
) -> pathlib.Path:
    """Writes clips as one GIF that loops.

    Args:
        path: ends in .gif.
        clips: uint8 or float in [0, 1]; (T, H, W, 3), (N, T, H, W, 3) or a list.
        fps: frames per second.
        columns: see `grid`.
        labels: a caption for each clip.
        scale: enlarges the clips, a whole number.

    Returns:
        The path.

    Raises:
        ValueError: the clips' type, range or shape is wrong, or the path has another ending.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras import visualize
        >>> path = visualize.save_gif(tempfile.mkdtemp() + "/clips.gif", np.random.rand(4, 8, 32, 32, 3))
    """
    return write_video(_ending(path, ".gif"), _sheet(clips, columns, labels, scale), fps)


def save_mp4(
    path: str | os.PathLike,
    clips: Clips,
    fps: float = 8,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    scale: int = 1,
) -> pathlib.Path:
    """Writes clips as one H.264 file, which browsers play.

    Args:
        path: ends in .mp4.
        clips: as for `save_gif`.
        fps: frames per second.
        columns: see `grid`.
        labels: a caption for each clip.
        scale: enlarges the clips, a whole number.

    Returns:
        The path.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: as for `save_gif`.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras import visualize
        >>> path = visualize.save_mp4(tempfile.mkdtemp() + "/clip.mp4", np.random.rand(8, 32, 32, 3))
    """
    sheet = _sheet(clips, columns, labels, scale)
    # Browsers want 4:2:0 colour, which has even sizes only: the last row or column comes twice.
    odd = [(0, size % 2) for size in sheet.shape[1:3]]
    return write_video(_ending(path, ".mp4"), np.pad(sheet, ((0, 0), *odd, (0, 0)), mode="edge"), fps)


def save_png_strip(
    path: str | os.PathLike,
    clips: Clips,
    max_frames: int = 8,
    labels: Sequence[str] | None = None,
    scale: int = 1,
) -> pathlib.Path:
    """Writes a film strip: a row for each clip, time from left to right.

    Args:
        path: ends in .png.
        clips: as for `save_gif`.
        max_frames: longer clips show this many of their frames.
        labels: a caption for each clip.
        scale: enlarges the frames, a whole number.

    Returns:
        The path.

    Raises:
        ValueError: as for `save_gif`.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras import visualize
        >>> path = visualize.save_png_strip(tempfile.mkdtemp() + "/strip.png", np.random.rand(2, 16, 32, 32, 3))
    """
    path = _ending(path, ".png")
    clips = [upscale(clip, scale) for clip in clip_list(clips)]
    with atomic_path(path) as partial:
        Image.fromarray(strip(clips, max_frames, labels)).save(partial, "PNG")
    return path


def _sheet(clips, columns, labels, scale) -> np.ndarray:
    # Enlarged first, so that captions are sharp and have room.
    return grid([upscale(clip, scale) for clip in clip_list(clips)], columns, labels)


def _ending(path, ending: str) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix.lower() != ending:
        raise ValueError(f"path={str(path)!r}: expected a name that ends in {ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
