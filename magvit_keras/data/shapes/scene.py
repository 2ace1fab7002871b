"""The scenes of Moving Shapes: background, path, shape and what passes over it, from a random generator."""

from typing import NamedTuple

import numpy as np

from magvit_keras.data.shapes import drawing as draw

_OBJECT_COLOURS = 0.18, 0.5  # how far the object's hue lies from the background's, in turns


class Path(NamedTuple):
    """Where the shape is in each frame: centre, angle and radius, arrays (T,)."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    radius: np.ndarray


def render(
    rng, shape: str, motion: str, num_frames: int, size: tuple[int, int], occlusion: float, texture: float | None
) -> np.ndarray:
    """Background, shape with a shadow and an outline, occluder; returns uint8 (T, H, W, 3). No texture: all plain."""
    unit = min(size)
    height, width = size[0] / unit, size[1] / unit
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / unit for n in size)
    # At least 16 frames are laid out, whatever the length, so that a short clip is the start of a long one.
    laid_out = np.arange(max(num_frames, 16), dtype=np.float32)
    time = laid_out[:num_frames]
    # Independent streams: what one part draws at random does not shift the others.
    backdrop, paint, way, cover = rng.spawn(4)

    path = path_of(way, motion, laid_out, width, height)
    if texture is None:
        ground, *colours = _plain_colours(paint)
        canvas = np.broadcast_to(ground, (len(time), len(y), len(x), 3)).copy()
        _draw_shape(canvas, paint, shape, path, x, y, colours, 1 / unit, ("stripes",), contrast=0.3, shadow=0.0)
    else:
        hue = backdrop.uniform()
        canvas, bright = _background(backdrop, hue, x, y, time, 1 / unit, texture)
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


def _plain_colours(rng):
    """Background, two colours of the shape's stripes and its outline, out of eight hues."""
    turn, bright = rng.integers(8), bool(rng.uniform() < 0.5)
    ground = draw.hsv(turn / 8, 0.4, 0.85) if bright else draw.hsv(turn / 8, 0.5, 0.35)
    hue = (turn + rng.integers(2, 7)) / 8
    strong = draw.hsv(hue, 0.9, 0.9)
    second = draw.hsv(hue, 0.15, 1.0) if rng.uniform() < 0.5 else draw.hsv(hue, 0.9, 0.4)
    outline = draw.hsv(hue, 0.6, 0.12) if bright else draw.hsv(hue, 0.08, 0.97)
    return ground, strong, second, strong + np.float32(0.6) * (outline - strong)


def path_of(rng, motion, time, width, height) -> Path:
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
    return Path(*(np.asarray(a, np.float32) for a in (x, y, angle, sizes)))


def _local(path: Path, x, y, reach: float = 1.5):
    """The pixels within `reach` radii of the shape, as flat indices, with their coordinates in its own frame."""
    dx, dy = x[None, :] - path.x[:, None], y[None, :] - path.y[:, None]  # (T, W), (T, H)
    near = dy[:, :, None] ** 2 + dx[:, None, :] ** 2 < ((reach * path.radius) ** 2)[:, None, None]
    index = np.flatnonzero(near)
    frame, rest = np.divmod(index, len(y) * len(x))
    row, column = np.divmod(rest, len(x))
    dx, dy = dx[frame, column], dy[frame, row]
    cos, sin = (np.cos(path.angle) / path.radius)[frame], (np.sin(path.angle) / path.radius)[frame]
    return index, frame, dx * cos + dy * sin, dy * cos - dx * sin


def _draw_shape(canvas, rng, shape, path: Path, x, y, colours, pixel, textures, contrast=1.0, shadow=0.5):
    texture = draw.TEXTURES[rng.choice(textures)]

    def value_of(u, v, size):
        return _faded(texture(rng, u, v, size), contrast)

    draw_shape(canvas, shape, path, x, y, colours, pixel, value_of, shade=0.14, shadow=shadow)


def draw_shape(canvas, shape, path: Path, x, y, colours, pixel, value_of, shade=0.0, shadow=0.0):
    """Draws a shape along its path into `canvas` (T, H, W, 3): two colours mixed by `value_of(u, v, pixel)`."""
    path = Path(*(a[: len(canvas)] for a in path))
    index, frame, u, v = _local(path, x, y)
    strong, second, outline = colours
    value = value_of(u, v, np.float32(pixel) / path.radius[frame])
    distance = draw.SHAPES[shape](u, v)
    per_pixel = (path.radius / np.float32(pixel))[frame]  # pixels per unit of distance
    cover = np.clip(0.5 - distance * per_pixel, 0, 1)[:, None]
    border = np.clip(0.5 + (distance + np.float32(0.1)) * per_pixel, 0, 1)[:, None]
    paint = value[:, None] * (second - strong) + strong
    if shade:
        paint *= (1.04 - np.float32(shade) * (u + v) * np.float32(0.7))[:, None]
    paint += border * (outline - paint)
    pixels = canvas.reshape(-1, 3)
    under = pixels[index]
    if shadow:
        under = under * (1 - np.float32(shadow) * np.clip(1 - distance / 0.35, 0, 1)[:, None] ** 2)
    pixels[index] = under + cover * (paint - under)


def _faded(value, contrast: float):
    """A texture's values in [0, 1], drawn together towards their middle."""
    return value if contrast == 1 else np.float32(0.5) + np.float32(contrast) * (value - np.float32(0.5))


def _draw_occluder(canvas, rng, path: Path, x, y, time, width, height, pixel):
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
    small = Path(*(np.asarray(a, np.float32) for a in (*ways, rng.uniform(0, draw.TAU) + 0 * time, radius + 0 * time)))
    shape = rng.choice(["circle", "square", "triangle"])
    _draw_shape(canvas, rng, shape, small, x, y, (grey, dark, dark), pixel, tuple(draw.TEXTURES), shadow=0.3)
