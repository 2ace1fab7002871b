"""The scenes of the "grid" look of Moving Shapes: few places, phases and colours, so that tokens repeat.

A token of the 3D-VQ stands for 4 frames of 8x8 pixels (at 64x64). Where shapes start on a grid of such cells, and every
4 frames bring them to where another clip starts, the same pieces come again and again: a small codebook holds them all,
and a small transformer sees each of them often.
"""

import functools
import itertools
import zlib
from typing import NamedTuple

import numpy as np

from magvit_keras.data.shapes import drawing as draw
from magvit_keras.data.shapes.scene import Path, draw_shape

CELL = 1 / 8  # of the frame: where shapes start
RADIUS = 0.21
SPEED = CELL / 2  # a frame: two cells in four frames
REACH = 0.25  # of an orbit
TURN, SPIN, PULSE = draw.TAU / 20, draw.TAU / 24, draw.TAU / 12  # a frame
#: Behind the shape, its left and right half, its outline.
COLOURS = (
    ((0.10, 0.15, 0.35), (0.95, 0.75, 0.15), (0.85, 0.25, 0.10), (0.92, 0.61, 0.50)),
    ((0.75, 0.88, 0.78), (0.80, 0.15, 0.45), (0.35, 0.10, 0.45), (0.24, 0.08, 0.30)),
    ((0.30, 0.12, 0.15), (0.25, 0.80, 0.85), (0.15, 0.40, 0.75), (0.52, 0.69, 0.88)),
    ((0.93, 0.85, 0.70), (0.10, 0.60, 0.35), (0.10, 0.30, 0.30), (0.08, 0.21, 0.20)),
)
#: Which two of them a shape has: no two shapes have the same two.
COLOURS_OF = {"circle": (0, 1), "square": (0, 3), "triangle": (2, 0), "star": (1, 3), "ring": (2, 1), "cross": (3, 2)}
_PHASES = {"orbit": 5, "spin": 6, "pulse": 3}


class Scene(NamedTuple):
    """What distinguishes a clip from others of its class: whole numbers."""

    column: int
    row: int
    phase: int
    across: int  # 1 or -1: to the right, or clockwise
    down: int
    colours: int


@functools.cache
def scenes(split: str, shape: str, motion: str) -> tuple[Scene, ...]:
    """All scenes of a class that belong to a split, in an order that looks random."""
    # Along its way a shape starts at every second cell, so that it meets the walls where a block of 4 frames begins.
    along, beside, middle = (2, 4, 6), (2, 3, 4, 5, 6), (3, 4, 5)
    columns, rows = {
        "left_right": (along, beside),
        "up_down": (beside, along),
        "diagonal": (along, along),
        "orbit": ((4,), (4,)),
    }.get(motion, (middle, middle))
    phases = range(_PHASES.get(motion, 1))
    across = (1,) if motion == "up_down" else (-1, 1)
    down = (-1, 1) if motion in ("up_down", "diagonal") else (1,)
    found = [Scene(*numbers) for numbers in itertools.product(columns, rows, phases, across, down, range(2))]
    found = [scene for scene in found if not _into_a_wall(scene, motion)]
    order = np.random.default_rng(zlib.crc32(f"{shape}_{motion}".encode())).permutation(len(found))
    parts = np.split(order, [len(found) * 8 // 10])
    train, held_out = (tuple(found[index] for index in part if _is_kept(found[index], motion)) for part in parts)
    half = len(held_out) // 2
    return {"train": train, "validation": held_out[:half], "test": held_out[half:]}[split]


def _is_kept(scene: Scene, motion: str) -> bool:
    """Whether a scene is one of the look: a spin stands in the middle, as an orbit does.

    What turns shows another piece in each phase, and a small transformer learns that for few places. Scenes are shared
    out to the splits before, so that weights made when a spin stood in nine places know none that is held out.
    """
    return motion != "spin" or (scene.column, scene.row) == (4, 4)


def _into_a_wall(scene: Scene, motion: str) -> bool:
    """Whether a scene would look like another one: at a wall there is one way to go."""
    moves_x, moves_y = motion in ("left_right", "diagonal"), motion in ("up_down", "diagonal")
    wrong = {2: -1, 6: 1}
    return (moves_x and wrong.get(scene.column) == scene.across) or (moves_y and wrong.get(scene.row) == scene.down)


def path_of(scene: Scene, motion: str, time: np.ndarray, width: float, height: float) -> Path:
    """The motion of a class, upright and of one size where the class says nothing else. Lengths in short sides."""
    x, y = (np.full_like(time, side * CELL * at) for side, at in ((width, scene.column), (height, scene.row)))
    angle, radius = np.zeros_like(time), np.full_like(time, RADIUS)
    turned = scene.across * time
    if motion in ("left_right", "diagonal"):
        x = draw.bounce(x + SPEED * scene.across * time, 2 * CELL, width - 2 * CELL)
    if motion in ("up_down", "diagonal"):
        y = draw.bounce(y + SPEED * scene.down * time, 2 * CELL, height - 2 * CELL)
    if motion == "orbit":
        way = draw.TAU * scene.phase / 5 + TURN * turned
        x, y = x + REACH * np.cos(way), y + REACH * np.sin(way)
        radius = 0.9 * radius
    if motion == "spin":
        angle = draw.TAU * scene.phase / 6 + SPIN * turned
    if motion == "pulse":
        radius = radius * (0.9 + 0.45 * np.sin(draw.TAU * scene.phase / 3 + PULSE * turned))
    return Path(*(np.asarray(a, np.float32) for a in (x, y, angle, radius)))


def render_on_grid(scene: Scene, shape: str, motion: str, num_frames: int, size: tuple[int, int]) -> np.ndarray:
    """One flat colour, and on it the shape in two halves with an outline; uint8 (T, H, W, 3)."""
    unit = min(size)
    height, width = size[0] / unit, size[1] / unit
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / unit for n in size)
    ground, *colours = (np.array(colour, np.float32) for colour in COLOURS[COLOURS_OF[shape][scene.colours]])
    canvas = np.broadcast_to(ground, (num_frames, *size, 3)).copy()
    path = path_of(scene, motion, np.arange(num_frames, dtype=np.float32), width, height)
    draw_shape(canvas, shape, path, x, y, colours, 1 / unit, draw.halves)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
