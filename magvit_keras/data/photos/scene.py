"""One clip out of photographs: what the camera sees, the layers in front of it, exposure, light and cuts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from magvit_keras.data.photos.camera import View, camera, layer

if TYPE_CHECKING:
    from collections.abc import Callable

_FINER = 4  # outlines are drawn this much larger, for soft edges
_USUAL_CLIP = 16  # frames, in which `cuts` of the clips have a cut


class Pyramid:
    """A picture at full, half, quarter size and so on.

    Args:
        image: the picture, RGB.
    """

    def __init__(self, image: Image.Image):
        self.levels = [image]
        while min(self.levels[-1].size) >= 16:
            self.levels.append(self.levels[-1].reduce(2))
        self.size = image.size

    def show(self, view: View, at: int, frame: tuple[int, int], softer: int = 0) -> Image.Image:
        """Frame number `at` of a view, (width, height); `softer` is how often the picture's resolution is halved."""
        level = int(np.clip(round(np.log2(view.step[at])) + softer, 0, len(self.levels) - 1))
        step, (x, y) = view.step[at] / 2**level, view.centre[at] / 2**level
        cos, sin = step * np.cos(view.angle[at]), step * np.sin(view.angle[at])
        start = (x - (cos * frame[0] - sin * frame[1]) / 2, y - (sin * frame[0] + cos * frame[1]) / 2)
        affine = (cos, -sin, start[0], sin, cos, start[1])
        return self.levels[level].transform(frame, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)


@dataclasses.dataclass(frozen=True)
class Style:
    """What happens in clips: the arguments of `MovingPhotos` of the same names."""

    camera: tuple[str, ...]
    layers: int
    light: float
    cuts: float


def render(
    rng: np.random.Generator,
    first: Pyramid,
    other: Callable[[np.random.Generator], Pyramid],
    num_frames: int,
    size: tuple[int, int],
    style: Style,
) -> np.ndarray:
    """One clip, uint8 (T, H, W, 3).

    Args:
        rng: everything is drawn from it.
        first: the picture that the clip begins with.
        other: gives another one, for layers and for what follows a cut.
        num_frames: T.
        size: (H, W).
        style: what happens.
    """
    clip, start, picture = np.empty((num_frames, *size, 3), np.uint8), 0, first
    while start < num_frames:
        of_scene, rng = rng.spawn(2)
        length = of_scene.geometric(style.cuts / _USUAL_CLIP) if style.cuts else num_frames
        end = min(start + int(length), num_frames)
        clip[start:end] = _scene(of_scene, picture, other, end - start, size, style)
        start, picture = end, other(rng)
    return clip


def _scene(rng, picture: Pyramid, other, num_frames: int, size: tuple[int, int], style: Style) -> np.ndarray:
    frame = size[::-1]
    exposures = int(rng.choice([1, 1, 3]))  # a longer exposure blurs what moves
    shutter = rng.uniform(0.3, 1) / exposures
    times = (np.arange(num_frames)[:, None] + shutter * np.arange(exposures)).reshape(-1)
    softer = int(rng.random() < 0.15)
    behind = camera(rng, times, picture.size, frame, style.camera)
    front = []
    for _ in range(rng.integers(style.layers + 1)):
        pyramid = other(rng)
        front.append((pyramid, layer(rng, times, pyramid.size, frame)))
    still = not front and all(np.ptp(part, axis=0).max() < 1e-6 for part in behind)
    shots = []
    for at in range(1 if still else len(times)):
        image = picture.show(behind, at, frame, softer)
        for pyramid, body in front:
            image.paste(pyramid.show(body.view, at, frame), mask=_mask(body.outlines[at], frame, body.blur))
        shots.append(np.asarray(image))
    clip = np.stack(shots).astype("float32")
    if still:
        clip = np.broadcast_to(clip, (num_frames, *clip.shape[1:]))
    elif exposures > 1:
        clip = clip.reshape(num_frames, exposures, *clip.shape[1:]).mean(1)
    return _lit(rng, clip, style.light)


def _mask(outline: np.ndarray, frame: tuple[int, int], blur: float) -> Image.Image:
    mask = Image.new("L", (frame[0] * _FINER, frame[1] * _FINER))
    ImageDraw.Draw(mask).polygon((outline * _FINER).reshape(-1).tolist(), fill=255)
    mask = mask.reduce(_FINER)
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def _lit(rng, clip: np.ndarray, light: float) -> np.ndarray:
    """Another time of day, for the whole scene, and in half of the scenes a change while it lasts."""
    contrast, saturation = np.exp(light * rng.normal(0, (0.15, 0.3)))
    tint = np.exp(light * rng.normal(0, 0.06, 3)).astype("float32")
    level = np.exp(light * rng.normal(0, 0.2))
    changes = light * rng.choice([0, 1]) * rng.normal(0, (0.01, 0.04, 0.3))
    times = np.arange(len(clip), dtype="float32")
    over_time = level * np.exp(changes[0] * times + changes[1] * np.sin(changes[2] * times + rng.uniform(0, 6)))
    grey = clip.mean(-1, keepdims=True)
    clip = grey + np.float32(min(saturation, 1.6)) * (clip - grey)
    middle = np.float32(grey[0].mean())
    clip = (middle + np.float32(contrast) * (clip - middle)) * (tint * over_time[:, None].astype("float32"))[
        :, None, None
    ]
    return np.clip(clip + 0.5, 0, 255).astype(np.uint8)
