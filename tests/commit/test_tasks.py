import dataclasses

import pytest

from magvit_keras.commit.conditions import condition_plan
from magvit_keras.commit.tasks import TASKS, Task, get_task


def test_the_ten_tasks_in_the_papers_order():
    assert list(TASKS) == [
        "frame_prediction",
        "frame_interpolation",
        "central_outpainting",
        "vertical_outpainting",
        "horizontal_outpainting",
        "dynamic_outpainting",
        "central_inpainting",
        "dynamic_inpainting",
        "class_conditional_generation",
        "class_conditional_frame_prediction",
    ]


def test_two_tasks_need_a_class():
    assert [name for name, task in TASKS.items() if task.needs_class] == [
        "class_conditional_generation",
        "class_conditional_frame_prediction",
    ]


@pytest.mark.parametrize("name", TASKS)
def test_mask_share_is_the_papers(name):
    plan = condition_plan(name, (16, 128, 128), (4, 16, 16))
    assert plan.ispad.mean() == TASKS[name].mask_share


def test_tasks_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS["frame_prediction"].padding = "zero"


def test_unknown_task_lists_the_known_ones():
    with pytest.raises(ValueError, match="central_inpainting"):
        get_task("colorization")


def test_unknown_region_or_padding_raises():
    with pytest.raises(ValueError, match="known regions: all"):
        Task("mine", region="circle")
    with pytest.raises(ValueError, match="known paddings: replicate"):
        Task("mine", padding="wrap")


def test_number_of_given_frames_can_change():
    assert TASKS["frame_interpolation"].with_frames(2).num_final_frames == 2
    assert TASKS["frame_prediction"].with_frames(5).num_final_frames == 0
    with pytest.raises(ValueError, match="no whole frames"):
        TASKS["central_inpainting"].with_frames(2)
