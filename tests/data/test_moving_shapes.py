import time

import numpy as np
import pytest

from magvit_keras.data import MovingShapes
from magvit_keras.data.shapes import drawing as draw

pytestmark = pytest.mark.once


@pytest.mark.parametrize("frames, size", [(1, (8, 8)), (3, (24, 40)), (5, (33, 17)), (16, (64, 64))])
def test_clips_have_the_shape_that_was_asked_for(frames, size):
    clip = MovingShapes(2, frames, size)[1]["video"]
    assert clip.shape == (frames, *size, 3) and clip.dtype == np.uint8


def test_a_clip_depends_on_seed_split_and_index_alone():
    few, many = MovingShapes(4, 6, 32, seed=3), MovingShapes(400, 6, 32, seed=3)
    np.testing.assert_array_equal(few[3]["video"], many[3]["video"])


@pytest.mark.parametrize("other", [{"seed": 1}, {"split": "validation"}, {"split": "test"}])
def test_another_seed_or_split_gives_other_clips(other):
    a, b = MovingShapes(1, 4, 32)[0]["video"], MovingShapes(1, 4, 32, **other)[0]["video"]
    assert np.abs(a.astype(int) - b).mean() > 5


def test_a_short_clip_is_the_start_of_a_long_one():
    for index in range(8):
        short, long = MovingShapes(8, 5, 32)[index]["video"], MovingShapes(8, 20, 32)[index]["video"]
        np.testing.assert_array_equal(short, long[:5])


def test_there_are_36_classes_of_shape_and_motion():
    names = MovingShapes(1).class_names
    assert len(set(names)) == 36 and "star_orbit" in names


def test_classes_are_equally_frequent():
    labels = MovingShapes(72, 1, 8).arrays()["label"]
    assert np.bincount(labels).tolist() == [2] * 36


def test_a_choice_of_shapes_and_motions_makes_fewer_classes():
    clips = MovingShapes(4, 1, 16, shapes=["star", "ring"], motions=["spin"])
    assert clips.class_names == ["star_spin", "ring_spin"]


def _centre(clip_index, motion, **options):
    """The path of the shape's centre: where clips with and without it differ, found by rendering a plain disc."""
    clips = MovingShapes(clip_index + 1, 16, 48, shapes=["circle"], motions=[motion], occlusion=0, **options)
    rng = np.random.default_rng([clips.seed, 0, clip_index])
    from magvit_keras.data.shapes.scene import path_of

    return path_of(rng.spawn(4)[2], motion, np.arange(16, dtype=np.float32), 1.0, 1.0)


@pytest.mark.parametrize(
    "motion, moves_x, moves_y",
    [("left_right", 1, 0), ("up_down", 0, 1), ("diagonal", 1, 1), ("orbit", 1, 1), ("spin", 0, 0), ("pulse", 0, 0)],
)
def test_motions_move_along_their_axes(motion, moves_x, moves_y):
    for index in range(10):
        path = _centre(index, motion)
        assert (np.ptp(path.x) > 0.2) == bool(moves_x) and (np.ptp(path.y) > 0.2) == bool(moves_y)


def test_only_pulse_changes_size_much():
    for motion in ("left_right", "orbit", "spin"):
        radius = _centre(0, motion).radius
        assert radius.max() / radius.min() < 1.2
    radius = _centre(0, "pulse").radius
    assert radius.max() / radius.min() > 1.8


def test_only_spin_turns_much():
    assert np.ptp(_centre(0, "spin").angle) > 2.5
    assert np.ptp(_centre(0, "diagonal").angle) < 0.8


def test_bounces_stay_inside_the_frame():
    for index in range(10):
        path = _centre(index, "diagonal")
        assert min(path.x.min(), path.y.min()) > 0.1 and max(path.x.max(), path.y.max()) < 0.9


def test_bounce_reflects_at_both_ends():
    positions = draw.bounce(np.array([0.2, 0.9, 1.1, 2.3, -0.4]), 0.0, 1.0)
    np.testing.assert_allclose(positions, [0.2, 0.9, 0.9, 0.3, 0.4])


@pytest.mark.parametrize("shape", draw.SHAPES)
def test_signed_distances_never_grow_faster_than_the_way(shape):
    # A slope above 1 would make the outline harder than a pixel, that is, aliased.
    grid = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    distance = draw.SHAPES[shape](*np.meshgrid(grid, grid))
    steepest = max(np.abs(np.diff(distance, axis=axis)).max() for axis in (0, 1))
    assert steepest / (grid[1] - grid[0]) < 1.01


@pytest.mark.parametrize("shape", draw.SHAPES)
def test_shapes_have_an_inside_and_end_within_the_drawn_disc(shape):
    grid = np.linspace(-2, 2, 201, dtype=np.float32)
    u, v = np.meshgrid(grid, grid)
    inside = draw.SHAPES[shape](u, v) < 0
    assert inside.any() and np.hypot(u, v)[inside].max() < 1.5


def test_outlines_are_anti_aliased():
    # Half covered pixels: a hard edge would leave none.
    u = np.linspace(-1.5, 1.5, 64, dtype=np.float32)
    cover = np.clip(0.5 - draw.SHAPES["circle"](*np.meshgrid(u, u)) / (u[1] - u[0]), 0, 1)
    assert ((cover > 0.1) & (cover < 0.9)).sum() > 50


def test_the_background_moves_too():
    clip = MovingShapes(1, 8, 32, motions=["spin"], occlusion=0)[0]["video"].astype(int)
    corner = clip[:, :6, :6]
    assert np.abs(corner[-1] - corner[0]).mean() > 1


def test_occlusion_covers_some_of_the_clips():
    plain, covered = MovingShapes(6, 8, 32, occlusion=0), MovingShapes(6, 8, 32, occlusion=1)
    assert all((a["video"] != b["video"]).any() for a, b in zip(plain, covered, strict=True))


def test_arrays_hold_every_clip():
    clips = MovingShapes(3, 4, 16)
    arrays = clips.arrays()
    np.testing.assert_array_equal(arrays["video"][2], clips[2]["video"])
    assert arrays["video"].shape == (3, 4, 16, 16, 3) and arrays["label"].dtype == np.int32


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_clips": 0}, "num_clips=0"),
        ({"num_clips": 1, "num_frames": 2.5}, "num_frames=2.5"),
        ({"num_clips": 1, "size": (4, 64)}, "at least 8 x 8"),
        ({"num_clips": 1, "size": (64,)}, r"expected \(height, width\)"),
        ({"num_clips": 1, "seed": -1}, "seed=-1"),
        ({"num_clips": 1, "split": "dev"}, "one of train, validation, test"),
        ({"num_clips": 1, "shapes": ["blob"]}, "out of circle, square"),
        ({"num_clips": 1, "motions": []}, "out of left_right"),
        ({"num_clips": 1, "occlusion": 2}, "from 0 to 1"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        MovingShapes(**arguments)


def test_an_index_beyond_the_end_raises():
    with pytest.raises(IndexError, match="clip 3 of 3"):
        MovingShapes(3, 1, 8)[3]


def test_rendering_is_fast_enough_for_training():
    clips = MovingShapes(20, 16, 32)
    times = []
    for index in range(20):
        start = time.perf_counter()
        clips[index]
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02  # about 4 ms on one free core


def test_the_plain_look_has_one_flat_colour_behind_the_shape():
    for index in range(6):
        clip = MovingShapes(6, 4, 64, look="plain")[index]["video"]
        colours, counts = np.unique(clip.reshape(-1, 3), axis=0, return_counts=True)
        assert counts.max() > 0.5 * counts.sum()
        assert len(colours) < 3000


@pytest.mark.parametrize("look, count", [("plain", 16), ("grid", 4)])
def test_the_simple_looks_have_few_backgrounds(look, count):
    clips = MovingShapes(144, 1, 16, look=look)
    grounds = {tuple(np.median(clips[i]["video"].reshape(-1, 3), axis=0)) for i in range(144)}
    assert len(grounds) == count


@pytest.mark.parametrize("look", ["plain", "grid"])
def test_the_simple_looks_show_that_a_circle_turns(look):
    clip = MovingShapes(1, 8, 64, shapes=["circle"], motions=["spin"], look=look)[0]["video"].astype(int)
    assert np.abs(clip[5] - clip[0]).max() > 60


@pytest.mark.parametrize("look", ["plain", "grid"])
def test_the_simple_looks_are_recognised_by_the_classifier_that_has_not_seen_them(look):
    from magvit_keras.metrics.shapes_scores import shapes_accuracy

    clips = MovingShapes(72, look=look, split="test").arrays()
    assert float(shapes_accuracy(clips["video"].astype("float32") / 255, clips["label"])) > 0.97


def test_nothing_passes_over_a_plain_shape_unless_asked_for():
    clips = [MovingShapes(8, 16, 32, look="plain", **more).arrays()["video"] for more in ({}, {"occlusion": 1.0})]
    assert MovingShapes(1, look="plain").occlusion == 0 and MovingShapes(1).occlusion == 0.7
    assert all((a != b).any() for a, b in zip(*clips, strict=True))


def test_a_plain_look_with_textures_is_refused():
    with pytest.raises(ValueError, match=r"texture=0\.5: the plain look has none"):
        MovingShapes(1, look="plain", texture=0.5)


def test_an_unknown_look_is_refused():
    with pytest.raises(ValueError, match="look='shiny': expected one of textured, plain, grid"):
        MovingShapes(1, look="shiny")
