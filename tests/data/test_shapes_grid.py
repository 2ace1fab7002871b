"""The grid look of Moving Shapes: few scenes, that repeat where tokens repeat, and are shared out to the splits."""

import itertools

import numpy as np
import pytest

from magvit_keras.data import MovingShapes
from magvit_keras.data.shapes import grid
from magvit_keras.data.shapes.drawing import SHAPES
from magvit_keras.data.shapes.moving_shapes import MOTIONS, SPLITS

pytestmark = pytest.mark.once

TIME = np.arange(16, dtype=np.float32)


def some(motion, count=60, shape="star"):
    return grid.scenes("train", shape, motion)[:count]


@pytest.mark.parametrize("motion", MOTIONS)
def test_no_two_scenes_look_alike_so_that_splits_have_no_clip_in_common(motion):
    scenes = [scene for split in SPLITS for scene in grid.scenes(split, "star", motion)]
    clips = {grid.render_on_grid(scene, "star", motion, 16, (32, 32)).tobytes() for scene in scenes}
    assert len(clips) == len(scenes)


def test_every_split_has_scenes_of_every_class():
    for shape, motion in itertools.product(SHAPES, MOTIONS):
        train, validation, test = (len(grid.scenes(split, shape, motion)) for split in SPLITS)
        assert min(validation, test) >= 2 and train > 3 * max(validation, test)


@pytest.mark.parametrize("motion", ["left_right", "up_down", "diagonal"])
def test_shapes_move_two_cells_in_four_frames(motion):
    for scene in some(motion, shape="ring"):
        path = grid.path_of(scene, motion, TIME, 1.0, 1.0)
        for places in (path.x, path.y):
            np.testing.assert_allclose(places[::4] / grid.CELL, np.round(places[::4] / grid.CELL), atol=1e-4)


def test_shapes_stay_in_the_frame():
    for motion in MOTIONS:
        for scene in some(motion):
            path = grid.path_of(scene, motion, TIME, 1.0, 1.0)
            assert min((path.x - path.radius).min(), (path.y - path.radius).min()) > -0.01
            assert max((path.x + path.radius).max(), (path.y + path.radius).max()) < 1.01


@pytest.mark.parametrize("split", SPLITS)
def test_what_spins_or_orbits_does_so_in_the_middle(split):
    for shape, motion in itertools.product(SHAPES, ("spin", "orbit")):
        assert {(scene.column, scene.row) for scene in grid.scenes(split, shape, motion)} == {(4, 4)}


@pytest.mark.parametrize("motion, period", [("spin", 24), ("orbit", 20), ("pulse", 12)])
def test_what_turns_comes_back_and_starts_where_another_block_starts(motion, period):
    starts = set()
    for scene in some(motion, 400):
        path = grid.path_of(scene, motion, np.arange(period + 1, dtype=np.float32), 1.0, 1.0)
        moved = {"spin": np.cos(path.angle), "orbit": path.x, "pulse": path.radius}[motion]
        assert moved[0] == pytest.approx(moved[-1], abs=1e-4)
        starts.add(scene.phase)
    assert len(starts) == period // 4


def test_wide_frames_and_long_clips_are_drawn():
    short, long = (MovingShapes(3, frames, (24, 40), look="grid")[2]["video"] for frames in (5, 20))
    np.testing.assert_array_equal(short, long[:5])


@pytest.mark.parametrize(
    "option, said", [({"texture": 0.5}, "the grid look has none"), ({"occlusion": 0.5}, "nothing passes")]
)
def test_what_the_look_has_not_is_refused(option, said):
    with pytest.raises(ValueError, match=said):
        MovingShapes(1, look="grid", **option)
