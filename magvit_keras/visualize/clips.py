"""Arrays to pictures: grids, film strips, token maps and decoding steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TOLERANCE = 0.25  # what a decoder puts outside of [0, 1], as in `checks.EXCURSION`
_LIGHT, _DARK = (255, 40), (36, 230)  # grey levels of paper (gaps) and ink (captions)
_MASKED = (128, 128, 128)
_GAP = 4


def to_uint8(clips: np.ndarray) -> np.ndarray:
    """Clips as uint8.

    Args:
        clips: uint8, or float in [0, 1]; any shape that ends in 3 colours. What a decoder puts a little outside is
            clipped. Tensors of any backend will do.

    Returns:
        uint8, the same shape.

    Raises:
        ValueError: another type, values outside [0, 1] or NaN (the message names the range), not 3 colours.

    Example:
        >>> from magvit_keras.visualize import to_uint8
        >>> to_uint8([[0.0, 0.5, 1.0]]).tolist()
        [[0, 128, 255]]
    """
    clips = np.asarray(clips)
    if clips.ndim < 1 or clips.shape[-1] != 3 or clips.size == 0:
        raise ValueError(f"clips: expected (..., 3) with the colours last, received shape {clips.shape}")
    if clips.dtype == np.uint8:
        return clips
    if clips.dtype.kind not in "fV":  # bfloat16 calls itself void
        raise ValueError(f"clips: expected uint8, or float in [0, 1]; received {clips.dtype}")
    clips = clips.astype(np.float32)
    low, high = clips.min(), clips.max()
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        hint = "; divide 0-255 by 255" if high > 2 else ""
        hint = "; from [-1, 1] it is (x + 1) / 2" if -1.001 <= low <= -0.5 and high <= 1.001 else hint
        raise ValueError(f"clips: expected floats in [0, 1], received values from {low:.4g} to {high:.4g}{hint}")
    return (np.clip(clips, 0, 1) * 255 + 0.5).astype(np.uint8)


def upscale(clips: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges (..., H, W, 3) by a whole factor; each pixel becomes a square.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import upscale
        >>> upscale(np.zeros((4, 8, 8, 3), np.uint8), 3).shape
        (4, 24, 24, 3)
    """
    if isinstance(factor, bool) or factor != int(factor) or factor < 1:
        raise ValueError(f"factor={factor!r}: expected a whole number, 1 or more")
    return np.repeat(np.repeat(np.asarray(clips), int(factor), axis=-3), int(factor), axis=-2)


def grid(
    clips: np.ndarray | Sequence[np.ndarray],
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    dark: bool = False,
) -> np.ndarray:
    """Lays clips out side by side, as one clip.

    Args:
        clips: one clip (T, H, W, 3), or several: (N, T, H, W, 3) or a list. In a list lengths may differ; a clip that
            has ended shows its last frame.
        columns: clips in a row; by default about as many as there are rows.
        labels: a caption for each clip, drawn above it; cut with dots where it is wider than the clip.
        dark: gaps and captions are light on dark, not dark on white.

    Returns:
        uint8 (T, H', W', 3).

    Raises:
        ValueError: see `to_uint8`; frames of different sizes; not one label a clip.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import grid
        >>> grid(np.zeros((6, 8, 32, 32, 3)), columns=3).shape
        (8, 68, 104, 3)
    """
    clips = clip_list(clips)
    if labels is not None and len(labels) != len(clips):
        raise ValueError(f"labels: expected {len(clips)}, one for each clip; received {len(labels)}")
    columns = min(len(clips), math.ceil(math.sqrt(len(clips))) if columns is None else columns)
    if columns < 1:
        raise ValueError(f"columns={columns}: expected 1 or more")
    frames = max(len(clip) for clip in clips)
    height, width = clips[0].shape[1:3]
    header = caption_height(width) if labels is not None else 0
    rows = math.ceil(len(clips) / columns)
    cell = header + height + _GAP, width + _GAP
    sheet = np.full(
        (frames, rows * cell[0] - _GAP, columns * cell[1] - _GAP, 3), (_DARK if dark else _LIGHT)[0], np.uint8
    )
    for number, clip in enumerate(clips):
        top, left = number // columns * cell[0], number % columns * cell[1]
        if labels is not None:
            sheet[:, top : top + header, left : left + width] = caption(str(labels[number]), width, dark)
        shown = np.minimum(np.arange(frames), len(clip) - 1)
        sheet[:, top + header : top + header + height, left : left + width] = clip[shown]
    return sheet


def strip(
    clips: np.ndarray | Sequence[np.ndarray],
    max_frames: int = 8,
    labels: Sequence[str] | None = None,
    dark: bool = False,
) -> np.ndarray:
    """A film strip: one row for each clip, time from left to right.

    Args:
        clips: as for `grid`.
        max_frames: longer clips show this many frames, evenly spaced, the first and last among them.
        labels: a caption for each clip, drawn above its row.
        dark: as for `grid`.

    Returns:
        uint8 (H', W', 3).

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import strip
        >>> strip(np.zeros((2, 16, 32, 32, 3)), max_frames=4).shape
        (68, 140, 3)
    """
    rows = []
    if max_frames < 1:
        raise ValueError(f"max_frames={max_frames}: expected 1 or more")
    for clip in clip_list(clips):
        shown = np.linspace(0, len(clip) - 1, min(max_frames, len(clip))).round().astype(int)
        rows.append(grid(clip[shown][:, None], columns=len(shown), dark=dark))
    widest = max(row.shape[2] for row in rows)
    paper = (_DARK if dark else _LIGHT)[0]
    rows = [np.pad(row, ((0, 0), (0, 0), (0, widest - row.shape[2]), (0, 0)), constant_values=paper) for row in rows]
    return grid(rows, columns=1, labels=labels, dark=dark)[0]


def token_map(ids: np.ndarray, codebook_size: int) -> np.ndarray:
    """Paints tokens: every id has a colour of its own, the same in all pictures.

    Args:
        ids: whole numbers (...), 0 <= id < codebook_size.
        codebook_size: of the tokenizer.

    Returns:
        uint8 (..., 3): for ids (t, h, w) a clip of t frames; enlarge it with `upscale`.

    Raises:
        ValueError: ids that are not whole numbers or outside the codebook.

    Example:
        >>> from magvit_keras.visualize import token_map
        >>> token_map([[[0, 1], [1, 0]]], codebook_size=1024).shape
        (1, 2, 2, 3)
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"ids: expected whole numbers, received {ids.dtype}")
    if ids.size and not (ids.min() >= 0 and ids.max() < codebook_size):
        raise ValueError(
            f"ids: expected 0 to {codebook_size - 1} (codebook_size={codebook_size}), "
            f"received {ids.min()} to {ids.max()}"
        )
    return _palette(int(codebook_size))[ids]


def hatched(clip: np.ndarray, given: np.ndarray) -> np.ndarray:
    """A clip of which only a part is given; the rest is hatched in grey.

    Args:
        clip: one clip (T, H, W, 3), see `to_uint8`.
        given: bool (T, H, W), True where a pixel is given.

    Returns:
        uint8 (T, H, W, 3).

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize.clips import hatched
        >>> hatched(np.zeros((1, 4, 4, 3)), np.ones((1, 4, 4), bool)).max()
        np.uint8(0)
    """
    rows, columns = np.indices(given.shape[1:])
    stripes = np.where((rows + columns) % 6 < 2, 170, 128).astype(np.uint8)
    return np.where(given[..., None], to_uint8(clip), stripes[..., None])


def decoding_steps(tokens_per_step: np.ndarray, masks_per_step: np.ndarray, codebook_size: int) -> np.ndarray:
    """Paints the steps of non-autoregressive decoding (Algorithm 1): tokens that are still masked are grey.

    Args:
        tokens_per_step: ids (K, t, h, w); what stands at masked places does not matter.
        masks_per_step: bool (K, t, h, w), True where the token is masked.
        codebook_size: of the tokenizer.

    Returns:
        uint8 (K, t, h, w, 3): a clip for each step.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import decoding_steps
        >>> steps = decoding_steps(np.zeros((2, 1, 1, 2), int), np.array([[[[True, False]]], [[[False, False]]]]), 8)
        >>> steps[0, 0, 0, 0].tolist()
        [128, 128, 128]
    """
    tokens, masks = np.asarray(tokens_per_step), np.asarray(masks_per_step)
    if tokens.shape != masks.shape or masks.dtype != bool:
        raise ValueError(
            f"expected tokens and a bool mask of one shape; received {tokens.shape} and {masks.dtype} {masks.shape}"
        )
    return np.where(masks[..., None], np.uint8(_MASKED), token_map(np.where(masks, 0, tokens), codebook_size))


def clip_list(clips: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """One clip, an array of clips or a list of them, as a list of uint8 (T, H, W, 3) with equal frames."""
    if not isinstance(clips, (list, tuple)):
        clips = to_uint8(clips)
        clips = [clips] if clips.ndim == 4 else clips
    clips = [to_uint8(clip) for clip in clips]
    if not clips or any(clip.ndim != 4 for clip in clips):
        shapes = ", ".join(str(clip.shape) for clip in clips) or "none"
        raise ValueError(f"clips: expected (T, H, W, 3) or (N, T, H, W, 3), received {shapes}")
    if len({clip.shape[1:3] for clip in clips}) > 1:
        sizes = sorted({clip.shape[1:3] for clip in clips})
        raise ValueError(f"clips: expected frames of one size, received {', '.join(map(str, sizes))}")
    return clips


def caption_height(width: int) -> int:
    """The height of a line of text above a picture of this width, in pixels."""
    return _font_size(width) + 5


def caption(text: str, width: int, dark: bool = False) -> np.ndarray:
    """One line of text, uint8 (caption_height, width, 3)."""
    font = ImageFont.load_default(_font_size(width))
    if font.getlength(text) > width - 2:
        while text and font.getlength(text + "…") > width - 2:
            text = text[:-1]
        text += "…"
    paper, ink = _DARK if dark else _LIGHT
    image = Image.new("RGB", (width, caption_height(width)), (paper,) * 3)
    ImageDraw.Draw(image).text((1, 1), text, fill=(ink,) * 3, font=font)
    return np.asarray(image)


def _font_size(width: int) -> int:
    return min(16, max(8, width // 8))


def _palette(count: int) -> np.ndarray:
    """Colours of ids 0 to count - 1, spread evenly however many there are; none is the grey of masks."""
    # The additive recurrence of the plastic constant fills (hue, saturation, value) without clusters.
    root = 1.2207440846057596
    hue, saturation, value = np.mod(0.5 + np.arange(count)[:, None] * (1 / root) ** np.arange(1, 4), 1).T
    saturation, value = 0.4 + 0.6 * saturation, 0.45 + 0.55 * value
    k = np.mod(np.array([5, 3, 1]) + hue[:, None] * 6, 6)
    rgb = value[:, None] * (1 - saturation[:, None] * np.clip(np.minimum(k, 4 - k), 0, 1))
    return (rgb * 255 + 0.5).astype(np.uint8)
