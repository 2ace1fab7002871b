import numpy as np
import pytest
from keras import ops

from magvit_keras.commit import conditions
from magvit_keras.commit.tasks import TASKS

# Our task and its number of given frames -> the reference's key.
REFERENCE_CASES = {
    "main": {
        "frame_prediction/frames1_latents1_edge": ("frame_prediction", 1, 1),
        "frame_prediction/frames5_latents2_edge": ("frame_prediction", 5, 2),
        "frame_interpolation/frames1_latents1": ("frame_interpolation", 1, 1),
        "frame_interpolation/frames2_latents1": ("frame_interpolation", 2, 1),
    },
    "odd": {
        "frame_prediction/frames1_latents1_edge": ("frame_prediction", 1, 1),
        "frame_prediction/frames5_latents2_edge": ("frame_prediction", 5, 2),
        "frame_interpolation/frames3_latents2": ("frame_interpolation", 3, 2),
    },
}
REGION_CASES = {
    "outpainting/rectangle_horizontal_edge": "horizontal_outpainting",
    "outpainting/rectangle_vertical_edge": "vertical_outpainting",
    "outpainting/rectangle_central_edge": "central_outpainting",
    "outpainting/dynamic_vertical_constant": "dynamic_outpainting",
    "inpainting/rectangle_central": "central_inpainting",
    "inpainting/dynamic_central": "dynamic_inpainting",
}
LATENT_SHAPES = {"main": (4, 16, 16), "odd": (5, 6, 4)}
CASES = [(size, key, *case) for size, cases in REFERENCE_CASES.items() for key, case in cases.items()] + [
    (size, key, name, None, None) for size in LATENT_SHAPES for key, name in REGION_CASES.items()
]


@pytest.mark.parametrize(("size", "key", "name", "frames", "latent_frames"), CASES)
def test_condition_equals_the_reference(reference, size, key, name, frames, latent_frames):
    ref = reference("cond")
    video = ref[f"{size}/video_in"]
    task = TASKS[name] if frames is None else TASKS[name].with_frames(frames)
    plan = conditions.condition_plan(task, video.shape[1:4], LATENT_SHAPES[size], latent_frames)
    ref.assert_close(conditions.apply_plan(video, plan), f"{size}/{key}/video")
    is_condition = np.broadcast_to(ref[f"{size}/{key}/video_mask"][..., 0], video.shape[:-1])
    np.testing.assert_array_equal(np.broadcast_to(plan.is_condition, is_condition.shape), is_condition)
    given = np.broadcast_to(ref[f"{size}/{key}/latent_mask"][0], plan.ispad.shape)
    np.testing.assert_array_equal(~plan.ispad, given)


@pytest.mark.parametrize(
    ("official", "name"),
    [
        ("frame_prediction", "frame_prediction"),
        ("frame_interpolation", "frame_interpolation"),
        ("outpainting_h", "horizontal_outpainting"),
        ("outpainting_v", "vertical_outpainting"),
        ("outpainting_c", "central_outpainting"),
        ("outpainting_dv", "dynamic_outpainting"),
        ("inpainting_c", "central_inpainting"),
        ("inpainting_dv", "dynamic_inpainting"),
    ],
)
def test_registered_tasks_equal_the_reference(reference, official, name):
    ref = reference("cond")
    made = conditions.condition(ref["main/video_in"], name, (4, 16, 16))
    ref.assert_close(made.video, f"main/registry/{official}/video")
    given = np.broadcast_to(ref[f"main/registry/{official}/latent_mask"][0], (4, 16, 16))
    np.testing.assert_array_equal(~made.ispad, given)


@pytest.mark.parametrize(("frames", "touched"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (15, 4)])
def test_given_frames_count_as_the_latent_frames_they_touch(frames, touched):
    plan = conditions.condition_plan(TASKS["frame_prediction"].with_frames(frames), (16, 4, 4), (4, 2, 2))
    assert (~plan.ispad).sum() == touched * 4


def test_generation_by_class_shows_no_pixel():
    plan = conditions.condition_plan("class_conditional_generation", (4, 8, 8), (2, 2, 2))
    video = np.asarray(conditions.apply_plan(np.ones((1, 4, 8, 8, 3), "float32"), plan))
    assert plan.ispad.all()
    assert not plan.is_condition.any()
    assert not video.any()


@pytest.mark.parametrize("name", TASKS)
def test_given_pixels_are_kept(name):
    video = np.random.default_rng(0).random((2, 8, 12, 10, 3), "float32")
    made = conditions.condition(video, name, (4, 6, 5))
    np.testing.assert_array_equal(np.asarray(made.video)[:, made.is_condition], video[:, made.is_condition])


def test_the_task_is_data():
    """One table of plans and a task index for each example give what each task gives alone."""
    video = np.random.default_rng(1).random((10, 8, 16, 24, 3), "float32")
    plans = [conditions.condition_plan(name, (8, 16, 24), (4, 8, 12)) for name in TASKS]
    order = np.random.default_rng(2).permutation(10).astype("int32")
    taken = conditions.take_plan(conditions.stack_plans(plans), ops.convert_to_tensor(order))
    mixed = np.asarray(conditions.apply_plan(video, taken))
    for example, task_number in enumerate(order):
        alone = conditions.apply_plan(video[example : example + 1], plans[task_number])
        np.testing.assert_allclose(mixed[example], np.asarray(alone)[0], atol=1e-6)
        np.testing.assert_array_equal(np.asarray(taken.ispad)[example], plans[task_number].ispad)


def test_too_short_clip_raises():
    with pytest.raises(ValueError, match="gives 5 frames"):
        conditions.condition_plan(TASKS["frame_prediction"].with_frames(5), (5, 8, 8), (2, 2, 2))


def test_too_small_clip_raises():
    with pytest.raises(ValueError, match="at least 2 rows"):
        conditions.condition_plan("central_outpainting", (4, 8, 8), (2, 1, 1))


def test_drawn_region_needs_whole_cells():
    mask = np.zeros((2, 4, 4), bool)
    mask[:, :3] = True
    plan = conditions.drawn_region_plan(mask, (1, 2, 2))
    assert plan.ispad.tolist() == [[[False, False], [True, True]]]
    video = np.asarray(conditions.apply_plan(np.ones((1, 2, 4, 4, 3), "float32"), plan))
    np.testing.assert_array_equal(video[0, ..., 0], mask)


def test_drawn_regions_can_differ_between_examples():
    masks = np.random.default_rng(0).random((3, 2, 4, 4)) < 0.7
    video = np.random.default_rng(1).random((3, 2, 4, 4, 3), "float32")
    plan = conditions.drawn_region_plan(masks, (1, 2, 2))
    assert plan.ispad.shape == (3, 1, 2, 2)
    np.testing.assert_array_equal(np.asarray(conditions.apply_plan(video, plan)), video * masks[..., None])


@pytest.mark.parametrize(
    ("mask", "message"),
    [(np.ones((4, 4)), "shape"), (np.full((2, 4, 4), 255), "0 and 1"), (np.ones((2, 5, 4)), "divide")],
)
def test_bad_drawn_region_raises(mask, message):
    with pytest.raises(ValueError, match=message):
        conditions.drawn_region_plan(mask, (1, 2, 2))
