"""Clips in a notebook: an animated picture inside the cell's HTML, with a film strip below it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, features

from magvit_keras.visualize.clips import clip_list, grid, strip, to_uint8, upscale
from magvit_keras.visualize.comparison import row_length, side_by_side

_WIDE = 520  # pixels that the animation fills, about, by whole factors
_CELL = 128, 256  # at least, up to five clips in a row, and at most
_STRIP_WIDE = 1100
_EXACT_BYTES = 120_000  # below this the picture is stored without loss
_MOST_BYTES = 200_000, 80_000  # of animation and film strip, where WebP's quality can do it; base64 adds a third


class Animation:
    """What `show` returns: notebooks show it through `_repr_html_`.

    Args:
        frames: uint8 (T, H, W, 3), as laid out and enlarged.
        fps: frames per second.
        film: uint8 (H, W, 3), a film strip to unfold; None for a picture that stands still.
        caption: a sentence below.
    """

    def __init__(self, frames: np.ndarray, fps: float, film: np.ndarray | None = None, caption: str | None = None):
        self.frames, self.fps, self.film, self.caption = frames, fps, film, caption
        self._html = None

    def _repr_html_(self) -> str:
        if self._html is None:  # made once: notebooks may ask again
            self._html = self._make_html()
        return self._html

    def _make_html(self) -> str:
        about = self.caption or repr(self)
        parts = [_img(self.frames, self.fps, about, _MOST_BYTES[0])]
        if self.caption:
            parts.append(f"<div>{html.escape(self.caption)}</div>")
        if self.film is not None:
            strip_img = _img(self.film[None], 0, f"Film strip: {about}", _MOST_BYTES[1])
            parts.append(f"<details><summary>Film strip</summary>{strip_img}</details>")
        return f'<div style="max-width:100%">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        frames, height, width = self.frames.shape[:3]
        moving = f"{frames} frames of {height}x{width} pixels, {self.fps:g} per second"
        return f"<Animation: {moving if frames > 1 else f'{height}x{width} pixels'}; a notebook shows it>"


def show(
    clips: np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray],
    labels: Sequence[str] | None = None,
    fps: float = 8,
    columns: int | None = None,
    scale: int | None = None,
    caption: str | None = None,
) -> Animation:
    """Shows clips or frames in a notebook: as the last expression of a cell, or by `IPython.display.display`.

    It needs neither a player nor FFmpeg nor a network, and stays in a saved notebook. All clips are in one animated
    picture and so keep in step; below it a film strip unfolds. To write files, see `save_gif` and `save_mp4`.

    Args:
        clips: uint8 or floats in [0, 1]. One clip (T, H, W, 3), several (N, T, H, W, 3), or a list of them; one frame
            (H, W, 3) or a list of frames; or a dict of name -> any of these, shown side by side, see `side_by_side`.
            Four axes are a clip; with `fps=0`, or with a label for each of them, they are frames (N, H, W, 3).
        labels: a caption for each clip or frame.
        fps: frames per second; 0 for frames that stand still.
        columns: clips in a row; by default about as many as rows, or with a dict all, up to 8.
        scale: enlarges the pixels, a whole number; by default so that small clips fill the cell.
        caption: a sentence below the picture.

    Returns:
        An `Animation`, which notebooks show.

    Raises:
        ValueError: wrong type, range or shape, see `to_uint8` and `grid`.

    Example:
        >>> import numpy as np
        >>> import magvit_keras as mk
        >>> clips = np.random.rand(2, 8, 32, 32, 3)
        >>> mk.show(clips, labels=["first", "second"])
        <Animation: 8 frames of 277x516 pixels, 8 per second; a notebook shows it>
        >>> mk.show({"clips": clips, "darker": clips / 2}, fps=4).frames.shape[0]
        8
    """
    if fps is None:
        fps = 0
    if not 0 <= fps < float("inf"):
        raise ValueError(f"fps={fps!r}: expected a number above 0, or 0 for frames that stand still")
    if isinstance(clips, Mapping):
        named = {str(name): _as_clips(entry, fps, None) for name, entry in clips.items()}
        listed = [clip for entry in named.values() for clip in entry]
        count = max((len(entry) for entry in named.values()), default=0)
        across = row_length(count if count > 1 or labels is not None else len(named), columns)
        scale = _scale(listed, across) if scale is None else scale
        sheet = side_by_side(named, columns, labels, scale)
        rows = [clip for group in zip(*named.values(), strict=True) for clip in group]
        names = list(named) * count
        same = len({clip.shape[1:3] for clip in rows}) == 1
        film = _film(rows, names) if same else None
    else:
        listed = clip_list(_as_clips(clips, fps, labels))
        across = min(len(listed), columns or math.ceil(math.sqrt(len(listed))))
        scale = _scale(listed, across) if scale is None else scale
        sheet = grid([upscale(clip, scale) for clip in listed], columns, labels)
        film = _film(listed, labels)
    return Animation(sheet, fps, film if len(sheet) > 1 else None, caption)


def _as_clips(clips, fps, labels) -> list[np.ndarray]:
    if isinstance(clips, (list, tuple)):
        return [frame[None] if frame.ndim == 3 else frame for frame in map(to_uint8, clips)]
    clips = to_uint8(clips)
    if clips.ndim == 3:
        return [clips[None]]
    frames = clips.ndim == 4 and (not fps or (labels is not None and len(labels) == len(clips) > 1))
    return [frame[None] for frame in clips] if frames else clip_list(clips)


def _scale(clips, columns) -> int:
    widest = max((clip.shape[2] for clip in clips), default=1)
    least = _CELL[0] if columns <= 5 else 1
    return max(1, min(_CELL[1], max(least, _WIDE // max(1, columns))) // widest)


def _film(clips, labels) -> np.ndarray:
    # Many clips show fewer frames: the strip has no neighbouring frames to predict from, and would weigh most.
    most = min(max(len(clip) for clip in clips), 16, max(4, 72 // len(clips)))
    factor = max(1, min(_STRIP_WIDE // most, _STRIP_WIDE // len(clips), 128) // clips[0].shape[2])
    return strip([upscale(clip, factor) for clip in clips], most, labels)


def _img(frames, fps, alt, most_bytes) -> str:
    kind, data = picture_bytes(frames, fps, most_bytes)
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    style = "max-width:100%;height:auto;image-rendering:pixelated"
    return f'<img src="{source}" alt="{html.escape(alt)}" width="{frames.shape[2]}" style="{style}">'


def picture_bytes(frames: np.ndarray, fps: float = 8, most_bytes: int = _MOST_BYTES[0]) -> tuple[str, bytes]:
    """Frames as one picture file that every browser animates: its media type and content.

    Args:
        frames: uint8 (T, H, W, 3); one frame makes a still picture.
        fps: frames per second.
        most_bytes: WebP's quality falls in steps, to a limit, until the content is no longer than this.
    """
    # <img>, and not <video>: viewers of saved notebooks, GitHub's among them, drop <video> but keep pictures, and
    # H.264 needs PyAV. Sizes of nine clips of 16x64x64 (MovingShapes, enlarged twice): GIF 655 kB with 256 colours,
    # animated PNG 752 kB without loss, WebP 140 kB at 37 dB. So: PNG where few colours make it small, such as token
    # maps, which it keeps exactly; WebP otherwise.
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    animated = {}
    if len(images) > 1:
        times = np.round(np.arange(len(images) + 1) * 1000 / fps).astype(int)
        animated = {
            "save_all": True,
            "append_images": images[1:],
            "duration": np.diff(times).tolist(),
            "loop": 0,
        }
    few_colours = len(np.unique(frames[0].reshape(-1, 3), axis=0)) < 2000
    if few_colours or not features.check("webp"):
        data = _save(images[0], "PNG", animated)
        if len(data) <= min(_EXACT_BYTES, most_bytes) or not features.check("webp"):
            return "image/png", data
    for quality in (85, 60, 30):
        data = _save(images[0], "WEBP", {**animated, "quality": quality, "method": 2})
        if len(data) <= most_bytes:
            break
    return "image/webp", data


def _save(image, kind, options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
