"""Clips beside one another under their names, and maps on the token grid enlarged to the clip's pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from magvit_keras.visualize.clips import clip_list, grid, upscale

_WIDEST = 8  # clips in a row by default


def side_by_side(
    clips: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    scale: int = 1,
    dark: bool = False,
) -> np.ndarray:
    """Clips that are to be compared, as one clip: what has one name has one place.

    One clip a name makes a row of named clips. Several clips a name make a row for each name, so that what belongs
    together lies one below the other.

    Args:
        clips: name -> one clip (T, H, W, 3), or several: (N, T, H, W, 3) or a list, equally many under each name.
            Smaller ones, such as token maps, are enlarged to the size of the largest where a whole factor does it.
        columns: clips in a row; by default all, but at most 8. More go into further rows.
        labels: a caption for each of the N clips.
        scale: enlarges the clips, a whole number; captions stay sharp.
        dark: as for `grid`.

    Returns:
        uint8 (T', H', W', 3).

    Raises:
        ValueError: see `to_uint8`; no clips; different numbers of clips; sizes that no whole factor brings together.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import side_by_side
        >>> clips = np.random.rand(3, 8, 32, 32, 3)
        >>> side_by_side({"clips": clips, "darker": clips / 2}).shape
        (8, 104, 104, 3)
    """
    if not isinstance(clips, Mapping) or not clips:
        raise ValueError(f"clips: expected a dict of name -> clips, received {type(clips).__name__} {clips!r:.40}")
    named = {str(name): clip_list(entry) for name, entry in clips.items()}
    counts = {name: len(entry) for name, entry in named.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"clips: expected equally many under each name, received {counts}")
    size = tuple(max(clip.shape[axis] for entry in named.values() for clip in entry) for axis in (1, 2))
    named = {name: [upscale(_to_size(clip, size, name), scale) for clip in entry] for name, entry in named.items()}
    count = next(iter(counts.values()))
    if labels is not None and len(labels) != count:
        raise ValueError(f"labels: expected {count}, one for each clip; received {len(labels)}")
    if count == 1 and labels is None:
        return grid([entry[0] for entry in named.values()], row_length(len(named), columns), list(named), dark)
    width = row_length(count, columns)
    rows, names = [], []
    for start in range(0, count, width):
        part = slice(start, start + width)
        for name, entry in named.items():
            # A short last row is as wide as the others: the clips stay in their columns.
            row = grid(entry[part], width, None if labels is None else labels[part], dark)
            full = width * (entry[0].shape[2] + 4) - 4
            paper = row[:1, :1, :1] * 0 + (36 if dark else 255)
            rows.append(np.concatenate([row, np.broadcast_to(paper, (*row.shape[:2], full - row.shape[2], 3))], axis=2))
            names.append(name)
    return grid(rows, 1, names, dark)


def row_length(count: int, columns: int | None = None) -> int:
    """How many of `count` clips stand in a row: at most 8, and in rows of about one length."""
    return min(count, columns or math.ceil(count / math.ceil(count / _WIDEST)))


def to_pixels(maps: np.ndarray, video_shape: tuple[int, int, int]) -> np.ndarray:
    """Enlarges what lies on the token grid to the pixels of the clip: each token becomes the box that it stands for.

    Args:
        maps: (..., t, h, w, 3) colours, such as `token_map`'s, or (t, h, w) numbers, such as `attention_maps`'.
        video_shape: (T, H, W), each a multiple of the token grid's.

    Returns:
        (..., T, H, W, 3) or (T, H, W), the same type.

    Raises:
        ValueError: the sizes are not multiples.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import to_pixels, token_map
        >>> to_pixels(token_map(np.zeros((4, 8, 8), int), 1024), (16, 64, 64)).shape
        (16, 64, 64, 3)
    """
    maps = np.asarray(maps)
    first = 0 if maps.ndim == 3 else maps.ndim - 4
    small = maps.shape[first : first + 3]
    if maps.ndim < 3 or any(big % part for big, part in zip(video_shape, small, strict=True)):
        raise ValueError(
            f"expected video_shape (T, H, W) of multiples of the token grid {small}, received {tuple(video_shape)}"
        )
    for axis, (big, part) in enumerate(zip(video_shape, small, strict=True), first):
        maps = np.repeat(maps, big // part, axis=axis)
    return maps


def _to_size(clip: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    factors = [big / small for big, small in zip(size, clip.shape[1:3], strict=True)]
    if factors[0] != factors[1] or factors[0] != int(factors[0]):
        raise ValueError(
            f"clips: frames of {name!r} are {clip.shape[1]}x{clip.shape[2]} and the largest {size[0]}x{size[1]}; "
            "expected one size, or sizes that a whole factor brings together"
        )
    return upscale(clip, int(factors[0]))
