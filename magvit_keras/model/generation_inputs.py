"""What `generate` is given, checked and as arrays; before anything is compiled."""

import warnings
from typing import Any

import numpy as np

from magvit_keras.checks import check_axes, check_positive, check_range, to_float, to_numpy
from magvit_keras.commit.conditions import ConditionPlan, condition_plan, drawn_region_plan
from magvit_keras.commit.tasks import Task, get_task
from magvit_keras.model.labels import class_numbers


def task_and_plan(
    magvit: Any, task: str | Task | None, condition_mask: Any, num_condition_frames: int | None
) -> tuple[Task, ConditionPlan]:
    """The task that is meant, and what it gives: of the task's kind, or the region that the user drew."""
    if condition_mask is not None:
        if num_condition_frames is not None:
            raise ValueError(
                f"num_condition_frames={num_condition_frames} and condition_mask both say what is given; give one."
            )
        mask = np.asarray(condition_mask)
        if mask.shape[-3:] != magvit.video_shape:
            raise ValueError(f"condition_mask must end in (T, H, W) {magvit.video_shape}; received {mask.shape}.")
        if task is None:
            # The prompt of a trained task of the same kind; one that was never trained would say nothing.
            kinds = ("central_inpainting", "dynamic_inpainting", *magvit.tasks)
            task = next(name for name in kinds if name in magvit.tasks)
        plan = drawn_region_plan(mask, magvit.latent_shape)
        given, known = plan.is_condition.any((-3, -2, -1)), ~plan.ispad.all((-3, -2, -1))
        if np.any(given & ~known):
            cell = "x".join(str(a // b) for a, b in zip(magvit.video_shape, magvit.latent_shape, strict=True))
            warnings.warn(
                f"condition_mask gives pixels, but no whole token ({cell} pixels) of a clip: the transformer sees "
                "nothing of them, and only keep_condition=True puts them into the result.",
                stacklevel=4,
            )
        return get_task(magvit.tasks.get(task, task)), plan
    if task is None:
        if len(magvit.tasks) > 1:
            raise ValueError(f"Say which task: one of {', '.join(magvit.tasks)}.")
        task = next(iter(magvit.tasks))
    task = get_task(magvit.tasks.get(task, task) if isinstance(task, str) else task)
    if num_condition_frames is not None:
        task = task.with_frames(num_condition_frames)
    return task, condition_plan(task, magvit.video_shape, magvit.latent_shape)


def number_of_clips(video: Any, label: Any, num_clips: int | None, condition_mask: Any) -> int:
    """How many clips are asked for, on which all that was given must agree."""
    sizes = {}
    if video is not None:
        sizes["video"] = len(video)
    if label is not None and np.ndim(label):
        sizes["label"] = len(label)
    if condition_mask is not None and np.ndim(condition_mask) == 4:
        sizes["condition_mask"] = len(condition_mask)
    if num_clips is not None:
        check_positive(num_clips=num_clips)
        sizes["num_clips"] = num_clips
    if len(set(sizes.values())) > 1:
        raise ValueError(f"The batch sizes differ: {sizes}.")
    if 0 in sizes.values():
        raise ValueError(f"There is nothing to generate: {', '.join(sizes)} of length 0.")
    return next(iter(sizes.values()), 1)


def as_clips(video: Any) -> Any:
    """Clips (B, T, H, W, 3): an array or a tensor, or a list of clips of one size."""
    if isinstance(video, list | tuple) and len({np.shape(clip) for clip in video}) == 1:
        video = np.stack([to_numpy(clip) for clip in video])
    check_axes(video)
    return video


def given_clips(magvit: Any, task: Task, video: Any, drawn: bool) -> np.ndarray:
    """The clips as floats of the model's shape.

    Frames that the task does not read may be missing at the end, but not where the user has drawn the region.
    """
    if video is None:
        raise ValueError(f"The task {task.name!r} continues a clip: give video=(B, T, H, W, 3).")
    shape = tuple(video.shape)
    check_range(video)
    frames, *space = magvit.video_shape
    prefix_only = task.num_condition_frames and not task.num_final_frames and not drawn
    reads = task.num_condition_frames if prefix_only else frames
    if list(shape[2:4]) != space or not reads <= shape[1] <= frames:
        needed = f"{frames}" if reads == frames else f"{reads} to {frames}"
        raise ValueError(
            f"The task {task.name!r} of this model needs {needed} frames of {space[0]}x{space[1]}; "
            f"received {shape[1]} frames of {shape[2]}x{shape[3]}."
        )
    clips = to_numpy(to_float(video))
    return np.concatenate([clips, np.repeat(clips[:, -1:], frames - shape[1], axis=1)], axis=1)


def class_rows(magvit: Any, task: Task, label: Any, size: int) -> np.ndarray:
    """(size,) int32 rows of the vocabulary: of the classes, or of "no class" for a task without."""
    vocabulary = magvit.vocabulary
    if not task.needs_class:
        return np.full(size, vocabulary.no_class_id, "int32")
    if label is None:
        raise ValueError(
            f"The task {task.name!r} needs label=, one of the {vocabulary.num_classes} classes for each clip."
        )
    numbers = class_numbers(label, vocabulary.num_classes, magvit.class_names, none=False)
    return to_numpy(vocabulary.class_ids(np.broadcast_to(numbers, (size,))))


def check_guidance(magvit: Any, task: Task, guidance_scale: float) -> None:
    """Refuses guidance where there is no class, and warns where it was not trained for."""
    if not guidance_scale:
        return
    if not task.needs_class:
        raise ValueError(f"guidance_scale={guidance_scale} needs a task with a class; {task.name!r} has none.")
    if not magvit.class_dropout:
        warnings.warn(
            "Guidance on a model trained with class_dropout=0: it has not learned to go without a class.", stacklevel=3
        )
