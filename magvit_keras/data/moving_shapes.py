"""Moving Shapes: textured shapes that move over a textured background, rendered from a seed."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from magvit_keras.data import shapes as draw
from magvit_keras.data.source import Source, _count, check_clip_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS = ("train", "validation", "test")
MOTIONS = ("left_right", "up_down", "diagonal", "orbit", "spin", "pulse")
_OBJECT_COLOURS = 0.18, 0.5  # how far the object's hue lies from the background's, in turns


class MovingShapes(Source):
    """Procedural video clips: the built-in data set, which needs no download.

    Each clip shows one large textured shape that moves in one way over a textured background that drifts; in most
    clips a bar or a second, smaller shape passes over it. The class is shape x motion: `star_orbit`, `ring_spin`, ...
    Shapes are anti-aliased, bounce at the borders, turn and change size. A clip depends on `(seed, split, index)`,
    `shapes`, `motions`, `occlusion` and `texture` alone; a longer clip begins with the frames of the shorter one.

    Args:
        num_clips: the number of clips. Classes take turns, so that they are equally frequent.
        num_frames: T, 1 or more.
        size: `(height, width)` in pixels, at least 8; an int for squares.
        seed: a non-negative int; another seed gives other clips.
        split: `"train"`, `"validation"` or `"test"`: sets of clips that have nothing in common.
        shapes: some of circle, square, triangle, star, ring, cross.
        motions: some of left_right, up_down, diagonal, orbit, spin, pulse.
        occlusion: the part of the clips, 0 to 1, in which something passes over the shape.
        texture: contrast of the textures, 0 to 1; with 0 shapes and backgrounds are plain.

    Raises:
        ValueError: an argument is out of range or names an unknown split, shape or motion.

    Example:
        >>> from magvit_keras.data import MovingShapes
        >>> clips = MovingShapes(8, num_frames=4, size=(32, 32))
        >>> clips[0]["video"].shape, str(clips[0]["video"].dtype)
        ((4, 32, 32, 3), 'uint8')
        >>> clips.class_names[:2], clips.num_classes
        (['circle_left_right', 'circle_up_down'], 36)
    """

    def __init__(
        self,
        num_clips: int,
        num_frames: int = 16,
        size: tuple[int, int] = (64, 64),
        seed: int = 0,
        split: str = "train",
        shapes: Sequence[str] = tuple(draw.SHAPES),
        motions: Sequence[str] = MOTIONS,
        occlusion: float = 0.7,
        texture: float = 1.0,
    ):
        self.num_clips = _count("num_clips", num_clips)
        self.num_frames, self.size = check_clip_shape(num_frames, size)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed={seed!r}: expected a whole number, 0 or more")
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        for name, value in (("occlusion", occlusion), ("texture", texture)):
            if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r}: expected a number from 0 to 1")
        self.seed, self.split_name, self.occlusion, self.texture = int(seed), split, float(occlusion), float(texture)
        self.shapes, self.motions = _names("shapes", shapes, draw.SHAPES), _names("motions", motions, MOTIONS)
        # Classes take turns in a shuffled order: even a small set shows several shapes and motions.
        self._turns = np.random.default_rng(len(self.class_names)).permutation(len(self.class_names))

    def __len__(self) -> int:
        return self.num_clips

    @property
    def class_names(self) -> list[str]:
        """Shape x motion, the shape first."""
        return [f"{shape}_{motion}" for shape in self.shapes for motion in self.motions]

    def read(self, index: int, epoch: int = 0) -> dict:
        """Renders one clip, the same in every epoch."""
        label = int(self._turns[index % len(self._turns)])
        shape, motion = self.shapes[label // len(self.motions)], self.motions[label % len(self.motions)]
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split_name), index])
        video = _render(rng, shape, motion, self.num_frames, self.size, self.occlusion, self.texture)
        return {"video": video, "label": label}

    def name(self, index: int) -> str:
        """Class and number: `star_orbit/train_00007`."""
        label = self._turns[index % len(self._turns)]
        return f"{self.class_names[label]}/{self.split_name}_{index:05d}"

    def write_videos(
        self, folder: str | os.PathLike, extension: str | Sequence[str] = "mp4", fps: float = 8, overwrite: bool = False
    ) -> list[pathlib.Path]:
        """Writes the clips as video files into class sub-folders, as `VideoFolder` reads them.

        Args:
            folder: made where it is missing.
            extension: one of mp4, mov, mkv (H.264), avi (XVID), webm (VP9), gif; or several, which then take turns.
            fps: frames per second.
            overwrite: writes files anew that are there already; otherwise they stay.

        Returns:
            The paths, in the order of the clips.
        """
        from magvit_keras.data.encode import check_extension, write_video

        extensions = [extension] if isinstance(extension, str) else list(extension)
        extensions = [check_extension(e) for e in extensions]
        paths = []
        for index in range(len(self)):
            path = pathlib.Path(folder) / f"{self.name(index)}.{extensions[index % len(extensions)]}"
            if overwrite or not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, self.read(index)["video"], fps)
            paths.append(path)
        return paths


class _Path(NamedTuple):
    """Where the shape is in each frame: centre, angle and radius, arrays (T,)."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    radius: np.ndarray


def _render(
    rng, shape: str, motion: str, num_frames: int, size: tuple[int, int], occlusion: float, texture: float
) -> np.ndarray:
    """Background, shape with a shadow and an outline, occluder; returns uint8 (T, H, W, 3)."""
    unit = min(size)
    height, width = size[0] / unit, size[1] / unit
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / unit for n in size)
    # At least 16 frames are laid out, whatever the length, so that a short clip is the start of a long one.
    laid_out = np.arange(max(num_frames, 16), dtype=np.float32)
    time = laid_out[:num_frames]
    # Independent streams: what one part draws at random does not shift the others.
    backdrop, paint, way, cover = rng.spawn(4)

    hue = backdrop.uniform()
    canvas, bright = _background(backdrop, hue, x, y, time, 1 / unit, texture)
    path = _path(way, motion, laid_out, width, height)
    colours = _object_colours(paint, hue, bright)
    # Turning must be visible on a circle too: only textures without a centre of their own.
    textures = ("stripes", "checks") if motion == "spin" else tuple(draw.TEXTURES)
    _draw_shape(canvas, paint, shape, path, x, y, colours, 1 / unit, textures, texture)
    if cover.uniform() < occlusion:
        _draw_occluder(canvas, cover, path, x, y, laid_out, width, height, 1 / unit)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def _background(rng, hue, x, y, time, pixel, contrast_of_texture):
    angle, speed = rng.uniform(0, draw.TAU), rng.uniform(0.008, 0.03)
    u = x[None, None, :] - np.float32(speed * np.cos(angle)) * time[:, None, None]  # (T, 1, W)
    v = y[None, :, None] - np.float32(speed * np.sin(angle)) * time[:, None, None]  # (T, H, 1)
    kind = rng.choice(["noise", "fine", "stripes", "checks", "spots"])
    scale = np.float32(rng.uniform(1.6, 2.6))
    if kind == "noise":
        value = draw.noise(rng, u, v, pixel, low=0.5, high=2.0)
    elif kind == "fine":
        value = draw.noise(rng, u, v, pixel, low=1.2, high=4.5, waves=6)
    else:
        value = draw.TEXTURES[kind](rng, u * scale, v * scale, pixel * scale)
    value = _faded(value, contrast_of_texture)
    bright = bool(rng.uniform() < 0.5)
    level, contrast = (rng.uniform(0.7, 0.9) if bright else rng.uniform(0.25, 0.42)), rng.uniform(0.16, 0.3)
    low = draw.hsv(hue, rng.uniform(0.25, 0.55), level - contrast / 2)
    high = draw.hsv(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.1, 0.45), level + contrast / 2)
    # A fixed slope of light across the frame: the camera stands still while the ground drifts.
    slope = np.float32(rng.uniform(-0.2, 0.2)) * (x[None, :] - 0.5) + np.float32(rng.uniform(-0.2, 0.2)) * (
        y[:, None] - 0.5
    )
    canvas = value[..., None] * (high - low) + low
    canvas *= (1 + slope)[None, :, :, None]
    return canvas, bright


def _object_colours(rng, hue, bright):
    """Two texture colours and an outline that stand out from the background."""
    hue = hue + rng.choice([-1, 1]) * rng.uniform(*_OBJECT_COLOURS)
    strong = draw.hsv(hue, rng.uniform(0.75, 1.0), rng.uniform(0.75, 0.95))
    second = [
        draw.hsv(hue, rng.uniform(0.05, 0.25), 1.0),
        draw.hsv(hue + rng.uniform(-0.05, 0.05), 0.9, rng.uniform(0.3, 0.45)),
        draw.hsv(hue + rng.uniform(0.12, 0.22), 0.8, 0.95),
    ][rng.integers(3)]
    outline = draw.hsv(hue, 0.6, 0.12) if bright else draw.hsv(hue, 0.08, 0.97)
    return strong, second, outline


def _path(rng, motion, time, width, height) -> _Path:
    """The class's motion, and small turns and changes of size that do not hide it."""
    radius = rng.uniform(0.19, 0.26)

    def step(low, high):
        return rng.choice([-1.0, 1.0]) * rng.uniform(low, high) * time

    angle = rng.uniform(0, draw.TAU) + step(0.0, 0.05)
    sizes = radius * (1 + rng.uniform(0, 0.07) * np.sin(step(0.2, 0.5) + rng.uniform(0, draw.TAU)))
    margin = 0.85 * radius
    x0, y0 = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
    x, y = np.full_like(time, x0), np.full_like(time, y0)
    if motion in ("left_right", "diagonal"):
        x = draw.bounce(x0 + step(0.045, 0.085), margin, width - margin)
    if motion in ("up_down", "diagonal"):
        y = draw.bounce(y0 + step(0.045, 0.085), margin, height - margin)
    if motion == "orbit":
        sizes = sizes * 0.8
        reach, turn = rng.uniform(0.22, 0.28), rng.uniform(0, draw.TAU) + step(0.22, 0.4)
        x, y = width / 2 + reach * np.cos(turn), height / 2 + reach * np.sin(turn)
    if motion in ("spin", "pulse"):
        sizes = sizes * 1.2
        x, y = (np.full_like(time, side * rng.uniform(0.42, 0.58)) for side in (width, height))
    if motion == "spin":
        angle = angle + step(0.18, 0.35)
    if motion == "pulse":
        sizes = sizes * (0.8 + 0.38 * np.sin(rng.uniform(0, draw.TAU) + step(0.4, 0.65)))
    return _Path(*(np.asarray(a, np.float32) for a in (x, y, angle, sizes)))


def _local(path: _Path, x, y, reach: float = 1.5):
    """The pixels within `reach` radii of the shape, as flat indices, with their coordinates in its own frame."""
    dx, dy = x[None, :] - path.x[:, None], y[None, :] - path.y[:, None]  # (T, W), (T, H)
    near = dy[:, :, None] ** 2 + dx[:, None, :] ** 2 < ((reach * path.radius) ** 2)[:, None, None]
    index = np.flatnonzero(near)
    frame, rest = np.divmod(index, len(y) * len(x))
    row, column = np.divmod(rest, len(x))
    dx, dy = dx[frame, column], dy[frame, row]
    cos, sin = (np.cos(path.angle) / path.radius)[frame], (np.sin(path.angle) / path.radius)[frame]
    return index, frame, dx * cos + dy * sin, dy * cos - dx * sin


def _draw_shape(canvas, rng, shape, path: _Path, x, y, colours, pixel, textures, contrast=1.0, shadow=0.5):
    path = _Path(*(a[: len(canvas)] for a in path))
    index, frame, u, v = _local(path, x, y)
    strong, second, outline = colours
    texture = draw.TEXTURES[rng.choice(textures)]
    value = _faded(texture(rng, u, v, np.float32(pixel) / path.radius[frame]), contrast)
    distance = draw.SHAPES[shape](u, v)
    per_pixel = (path.radius / np.float32(pixel))[frame]  # pixels per unit of distance
    cover = np.clip(0.5 - distance * per_pixel, 0, 1)[:, None]
    border = np.clip(0.5 + (distance + np.float32(0.1)) * per_pixel, 0, 1)[:, None]
    light = (1.04 - 0.14 * (u + v) * np.float32(0.7))[:, None]
    paint = (value[:, None] * (second - strong) + strong) * light
    paint += border * (outline - paint)
    pixels = canvas.reshape(-1, 3)
    under = pixels[index] * (1 - np.float32(shadow) * np.clip(1 - distance / 0.35, 0, 1)[:, None] ** 2)
    pixels[index] = under + cover * (paint - under)


def _faded(value, contrast: float):
    """A texture's values in [0, 1], drawn together towards their middle."""
    return value if contrast == 1 else np.float32(0.5) + np.float32(contrast) * (value - np.float32(0.5))


def _draw_occluder(canvas, rng, path: _Path, x, y, time, width, height, pixel):
    """A bar that sweeps across the frame, or a small plain shape that flies over."""
    grey = draw.hsv(rng.uniform(), rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.95))
    dark = grey * np.float32(0.55)
    if rng.uniform() < 0.5:
        angle, half = rng.uniform(0, draw.TAU), rng.uniform(0.04, 0.07)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        reach = 0.5 * (abs(c) * width + abs(s) * height)
        offset = draw.bounce(
            rng.uniform(-reach, reach) + rng.choice([-1, 1]) * rng.uniform(0.04, 0.08) * time, -reach, reach
        )
        across = (x[None, :] - width / 2) * c + (y[:, None] - height / 2) * s
        distance = np.abs(across[None] - offset[: len(canvas), None, None].astype(np.float32))  # (T, H, W)
        index = np.flatnonzero(distance < half + pixel)
        distance = distance.reshape(-1)[index]
        cover = np.clip(0.5 + (half - distance) / np.float32(pixel), 0, 1)[:, None]
        paint = grey + (dark - grey) * np.clip(0.5 + (distance - 0.7 * half) / np.float32(pixel), 0, 1)[:, None]
        pixels = canvas.reshape(-1, 3)
        pixels[index] += cover * (paint - pixels[index])
        return
    radius = rng.uniform(0.085, 0.12)
    moves = [rng.choice([-1, 1]) * rng.uniform(0.03, 0.07) * time for _ in range(2)]
    # It starts so that it meets the shape at some moment of the first 16 frames.
    meet = rng.integers(16)
    start = [float(at[meet] - move[meet]) for at, move in zip((path.x, path.y), moves, strict=True)]
    ways = [
        draw.bounce(a + m, -radius, side + radius) for a, m, side in zip(start, moves, (width, height), strict=True)
    ]
    small = _Path(*(np.asarray(a, np.float32) for a in (*ways, rng.uniform(0, draw.TAU) + 0 * time, radius + 0 * time)))
    shape = rng.choice(["circle", "square", "triangle"])
    _draw_shape(canvas, rng, shape, small, x, y, (grey, dark, dark), pixel, tuple(draw.TEXTURES), shadow=0.3)


def _names(argument: str, names: Sequence[str], known) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"{argument}={names}: expected different names out of {', '.join(known)}")
    return names
