"""Motion from random numbers: where a camera looks at a time, and how a layer in front of it moves and changes shape.

Times are in frames and may lie between two of them. Nothing depends on the length of a clip, so that a longer one
begins with the frames of the shorter one. Speeds are in frame sides and were set beside real videos of 10 to 30 fps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOVES = ("still", "pan", "zoom", "turn", "shake")
_STILL = 0.3  # of the scenes
_OUTLINE = 48  # corners


class View(NamedTuple):
    """What each of N frames shows of a picture.

    Attributes:
        centre: (N, 2), the (x, y) of the picture in the middle of the frame, in pixels of the picture.
        step: (N,), pixels of the picture between two neighbours of the frame.
        angle: (N,), how far the camera is turned, in radians.
    """

    centre: np.ndarray
    step: np.ndarray
    angle: np.ndarray


def camera(rng, times: np.ndarray, picture: tuple[int, int], frame: tuple[int, int], moves: tuple[str, ...]) -> View:
    """The path of a camera; it never sees past the border of the picture.

    Args:
        rng: a NumPy generator.
        times: (N,).
        picture: (width, height).
        frame: (width, height).
        moves: some of `MOVES`. Some scenes stand still where that is among them; each other move is in half of the
            rest.
    """
    going = rng.random(len(MOVES)) < (_STILL, 0.5, 0.5, 0.5, 0.5)
    on = {move: bool(going[i]) and move in moves for i, move in enumerate(MOVES)}
    moving = 0.0 if on["still"] else 1.0
    side, largest = min(frame), min(p / f for p, f in zip(picture, frame, strict=True))
    angle = rng.normal(0, 0.05) + on["turn"] * moving * rng.normal(0, 0.015) * times
    zoom = on["zoom"] * moving * rng.normal(0, 0.015)
    step = largest * np.exp(rng.uniform(np.log(0.25), 0) + zoom * times)
    pan = on["pan"] * moving * side * _drift(rng, times)
    shake = on["shake"] * moving * side * np.stack([_tremble(rng, times), _tremble(rng, times)], -1)
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    wide, high = frame[0] * cos + frame[1] * sin, frame[0] * sin + frame[1] * cos
    step = np.minimum(step, np.minimum((picture[0] - 1) / wide, (picture[1] - 1) / high))
    margin = np.stack([wide, high], -1) / 2 * step[:, None]
    room = np.maximum(np.asarray(picture) - 2 * margin[0], 0)
    centre = margin[0] + rng.random(2) * room + (pan + shake) * step[:, None]
    return View(np.clip(centre, margin, np.asarray(picture) - margin), step, angle)


class Layer(NamedTuple):
    """Something that passes in front: N outlines in the frame, and what fills them.

    Attributes:
        outlines: (N, corners, 2), in pixels of the frame.
        view: what the frame would show of the picture that fills the outlines; it moves and turns as they do.
        blur: how far the layer is out of focus, in pixels of the frame.
    """

    outlines: np.ndarray
    view: View
    blur: float


def layer(rng, times: np.ndarray, picture: tuple[int, int], frame: tuple[int, int]) -> Layer:
    """A body of random outline that crosses the frame, turns, swells and bends, each more or less."""
    side = min(frame)
    radius = side * np.exp(rng.uniform(np.log(0.05), np.log(0.4)))
    place = np.asarray(frame) * rng.uniform(0.1, 0.9, 2) + side * _drift(rng, times)
    place = place + side * rng.choice([0, 1]) * np.stack([_tremble(rng, times), _tremble(rng, times)], -1)
    angle = rng.uniform(-0.5, 0.5) + rng.choice([0, 1]) * rng.normal(0, 0.03) * times
    grows = np.exp(rng.choice([0, 1]) * rng.normal(0, 0.01) * times)
    around = np.linspace(0, 2 * np.pi, _OUTLINE, endpoint=False)
    outline = np.ones((len(times), _OUTLINE))
    bends = rng.choice([0, 1]) * 0.3
    for wave in (2, 3, 4, 5):
        size, phase, turn = rng.uniform(0, 0.5 / wave), rng.uniform(0, 2 * np.pi), bends * rng.normal()
        outline += size * np.cos(wave * around + phase + turn * times[:, None])
    slim = np.exp(rng.uniform(0, 1.2))
    flat = np.stack([np.cos(around) / slim, np.sin(around) * np.sqrt(slim)], -1) * outline[..., None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned = np.stack([flat[..., 0] * cos - flat[..., 1] * sin, flat[..., 0] * sin + flat[..., 1] * cos], -1)
    outlines = place[:, None] + radius * grows[:, None, None] * turned
    # The point of the picture in the middle of the outline stays there: the view is the outline's motion undone.
    reach = 2.2 * radius
    step = min(np.exp(rng.uniform(np.log(1), np.log(8))), (min(picture) - 1) / 2 / reach)
    middle = reach * step + rng.random(2) * np.maximum(np.asarray(picture) - 2 * reach * step, 0)
    away = (np.asarray(frame) / 2 - place) / grows[:, None] * step
    back = np.stack(
        [away[:, 0] * cos[:, 0] + away[:, 1] * sin[:, 0], away[:, 1] * cos[:, 0] - away[:, 0] * sin[:, 0]], -1
    )
    return Layer(outlines, View(middle + back, step / grows, -angle), side * float(rng.choice([0, 0.01, 0.04])))


def _drift(rng, times: np.ndarray) -> np.ndarray:
    """(N, 2): the way gone since time 0 at a speed that is at times small and at times large, and changes slowly."""
    speed, direction = np.exp(rng.uniform(np.log(0.002), np.log(0.1))), rng.uniform(0, 2 * np.pi)
    towards = np.asarray([np.cos(direction), np.sin(direction)])
    velocity, change = speed * towards, speed * rng.normal(0, 0.03, 2)
    return velocity * times[:, None] + change * times[:, None] ** 2 / 2


def _tremble(rng, times: np.ndarray) -> np.ndarray:
    """(N,): the unrest of a hand, three waves."""
    size = np.exp(rng.uniform(np.log(0.001), np.log(0.03)))
    pace, phase = rng.uniform(0.02, 0.3, 3), rng.uniform(0, 2 * np.pi, 3)
    return size * np.sin(2 * np.pi * pace * times[:, None] + phase).sum(-1)
