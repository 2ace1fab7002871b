"""Signed distances, textures and paths: what Moving Shapes draws with.

Lengths are in units of the frame's short side and times in frames, so that a clip looks the same at every size.
All functions work on arrays of any shape, element by element.
"""

import numpy as np

TAU = 2 * np.pi


def _circle(u, v):
    return np.sqrt(u * u + v * v) - 0.9


def _square(u, v):
    return np.maximum(np.abs(u), np.abs(v)) - 0.78


def _triangle(u, v):
    # An equilateral triangle is the intersection of three half-planes; its tip points up (v grows downwards).
    slanted = np.abs(u) * np.float32(np.sqrt(3) / 2) - v * np.float32(0.5)
    return np.maximum(v, slanted) - 0.55


def _star(u, v):
    # Fold the plane into half of one of five sectors; there the outline is one straight edge, tip to notch.
    radius, sector = np.sqrt(u * u + v * v), TAU / 5
    turn = np.arctan2(u, -v) / np.float32(sector)
    angle = np.abs(turn - np.round(turn)) * np.float32(sector)
    tip, notch = np.array([1.12, 0.0]), 0.5 * np.array([np.cos(sector / 2), np.sin(sector / 2)])
    edge = notch - tip
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    normal = normal * np.sign(normal @ tip)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return x * np.float32(normal[0]) + y * np.float32(normal[1]) - np.float32(normal @ tip)


def _ring(u, v):
    return np.abs(np.sqrt(u * u + v * v) - 0.68) - 0.27


def _cross(u, v):
    long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return np.maximum(long - 0.95, short - 0.32)


# name -> distance to the outline at (u, v), negative inside; the shape's radius is about 1
SHAPES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def stripes(rng, u, v, pixel):
    """Parallel soft-edged stripes at a random angle."""
    angle, frequency = rng.uniform(0, TAU / 2), rng.uniform(1.0, 1.7)
    wave = np.sin(
        TAU * frequency * (u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))) + rng.uniform(0, TAU)
    )
    return _edge(wave, frequency, pixel)


def checks(rng, u, v, pixel):
    """A chess board at a random angle."""
    angle, frequency = rng.uniform(0, TAU / 4), rng.uniform(0.75, 1.15)
    c, s = np.float32(TAU * frequency * np.cos(angle)), np.float32(TAU * frequency * np.sin(angle))
    a, b = rng.uniform(0, TAU, 2).astype(np.float32)
    return _edge(np.sin(u * c + v * s + a) * np.sin(v * c - u * s + b), frequency, pixel)


def spots(rng, u, v, pixel):
    """Round spots on a hexagonal-looking grid, made of three plane waves."""
    frequency, turn = rng.uniform(1.2, 1.8), rng.uniform(0, TAU / 6)
    total = np.float32(0)
    for angle in turn + np.arange(3) * TAU / 3:
        total = total + np.cos(TAU * frequency * (u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))))
    return _edge(total / 2 - np.float32(0.1), frequency, pixel)


def noise(rng, u, v, pixel, low=0.4, high=1.6, waves=5):
    """Smooth noise: plane waves of random direction, length and phase."""
    total = np.float32(0)
    for _ in range(waves):
        angle, frequency, phase = (
            rng.uniform(0, TAU),
            np.exp(rng.uniform(np.log(low), np.log(high))),
            rng.uniform(0, TAU),
        )
        c, s = np.float32(TAU * frequency * np.cos(angle)), np.float32(TAU * frequency * np.sin(angle))
        total = total + np.sin(u * c + v * s + np.float32(phase))
    return np.clip(0.5 + total * np.float32(0.6 / np.sqrt(waves)), 0, 1)


def halves(u, v, pixel):
    """0 where u is negative and 1 where it is positive, with an edge of a pixel; the same for every v."""
    return np.clip(0.5 + u / pixel, 0, 1)


TEXTURES = {"stripes": stripes, "checks": checks, "spots": spots, "noise": noise}


def _edge(wave, frequency, pixel):
    # The steepest transition that still spans about a pixel, so that no texture aliases. `pixel` is the size of one
    # in texture units: a number, or one for each element.
    sharpness = np.clip(1 / (TAU * frequency * pixel), 0.5, 4).astype(np.float32)
    return np.clip(0.5 + wave * sharpness, 0, 1)


def bounce(position, low, high):
    """Reflects a coordinate at the ends of an interval, as a ball between two walls."""
    if high <= low:
        return np.full_like(position, (low + high) / 2)
    span = high - low
    return high - np.abs(np.mod(position - low, 2 * span) - span)


def hsv(hue, saturation, value):
    """A colour, RGB in [0, 1]; the hue counts turns and wraps."""
    k = np.mod(np.array([5.0, 3.0, 1.0]) + 6 * hue, 6)
    return (value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)
