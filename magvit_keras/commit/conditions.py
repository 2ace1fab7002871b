"""Condition clips and their latent masks (Sec. 3.2, App. B.1).

Two masks go through the whole library, with one meaning each:

- `is_condition`, in pixels: True where the pixel is given.
- `ispad`, on the latent grid, the paper's word: True where the token of the condition clip shows only
  padding, so that it says nothing and `[MASK]` takes its place.

Both follow from static shapes, so they are made with NumPy, once, as index tables: a `ConditionPlan`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from magvit_keras.commit.tasks import Task, get_task


class ConditionPlan(NamedTuple):
    """Index tables that turn a clip into the condition clip of a task.

    Each pixel of the condition clip is a mix of two pixels of the clip, or zero, which covers every
    padding of App. B.1. Tables of several tasks stack along a leading axis, see `stack_plans`.

    Attributes:
        first_frame: (T,) int32, frame to read.
        second_frame: (T,) int32, frame to mix in (frame interpolation).
        second_weight: (T,) float32 in [0, 1], its share.
        rows: (H,) int32, row to read.
        columns: (W,) int32, column to read.
        shown: (T,H,W) float32, 1 where a pixel is read and 0 where the padding is zero.
        is_condition: (T,H,W) bool, True where the pixel is given.
        ispad: (t,h,w) bool, True where the latent cell holds padding only.
    """

    first_frame: Any
    second_frame: Any
    second_weight: Any
    rows: Any
    columns: Any
    shown: Any
    is_condition: Any
    ispad: Any


class Condition(NamedTuple):
    """The condition of a batch: `video` (B,T,H,W,3), and the masks `is_condition` (T,H,W) and `ispad` (t,h,w)."""

    video: Any
    is_condition: Any
    ispad: Any


def condition_plan(
    task: str | Task,
    video_shape: tuple[int, int, int],
    latent_shape: tuple[int, int, int],
    num_latent_frames: int | None = None,
) -> ConditionPlan:
    """The index tables of a task for clips and latents of the given shapes.

    Args:
        task: a task or its name.
        video_shape: (T, H, W) of the clips, in pixels.
        latent_shape: (t, h, w) of their tokens.
        num_latent_frames: latent frames at each end that count as given; by default those that the
            given frames touch, so five of 16 frames touch two of four latent frames.

    Returns:
        A `ConditionPlan` of NumPy arrays.

    Raises:
        ValueError: the clip is too short for the task, or too small for its region.

    Example:
        >>> from magvit_keras.commit.conditions import condition_plan
        >>> plan = condition_plan("frame_prediction", (16, 32, 32), (4, 4, 4))
        >>> float(plan.ispad.mean())
        0.75

    Reference: App. B.1 and Fig. 9 of the MAGVIT paper.
    """
    task = get_task(task)
    frames, height, width = video_shape
    given = task.num_condition_frames + task.num_final_frames
    if given >= frames:
        raise ValueError(
            f"The task {task.name!r} gives {given} frames and needs at least one more to make; "
            f"received clips of {frames} frames."
        )
    if task.region != "all" and min(height, width, *latent_shape[1:]) < 2:
        raise ValueError(
            f"The task {task.name!r} needs at least 2 rows and columns of pixels and of latents; "
            f"received {height}x{width} and latents {latent_shape[1]}x{latent_shape[2]}."
        )
    time = np.arange(frames)
    plan = ConditionPlan(
        first_frame=time.astype("int32"),
        second_frame=time.astype("int32"),
        second_weight=np.zeros(frames, "float32"),
        rows=np.arange(height, dtype="int32"),
        columns=np.arange(width, dtype="int32"),
        shown=np.ones(video_shape, "float32"),
        is_condition=np.zeros(video_shape, bool),
        ispad=np.ones(latent_shape, bool),
    )
    if task.is_unconditional:
        return plan._replace(shown=np.zeros(video_shape, "float32"))
    if task.num_condition_frames:
        return _given_frames(task, plan, num_latent_frames)
    return _given_region(task, plan)


def _given_frames(task: Task, plan: ConditionPlan, num_latent_frames: int | None) -> ConditionPlan:
    frames, latent_frames = len(plan.first_frame), plan.ispad.shape[0]
    time = np.arange(frames)
    last_given = task.num_condition_frames - 1
    next_given = frames - task.num_final_frames  # == frames if no final frame is given
    is_given = (time <= last_given) | (time >= next_given)
    first, second, weight = time.copy(), time.copy(), np.zeros(frames, "float32")
    first[~is_given] = last_given
    if task.padding == "interpolate":
        second[~is_given] = next_given
        weight[~is_given] = (time[~is_given] - last_given) / np.float32(next_given - last_given)
    # Latent frames that hold any given frame; none at an end that gives no frames.
    touched = [
        math.ceil(count * latent_frames / frames) if num_latent_frames is None else num_latent_frames * (count > 0)
        for count in (task.num_condition_frames, task.num_final_frames)
    ]
    latent_time = np.arange(latent_frames)
    is_given_latent = (latent_time < touched[0]) | (latent_time >= latent_frames - touched[1])
    return plan._replace(
        first_frame=first.astype("int32"),
        second_frame=second.astype("int32"),
        second_weight=weight,
        is_condition=np.broadcast_to(is_given[:, None, None], plan.is_condition.shape).copy(),
        ispad=np.broadcast_to(~is_given_latent[:, None, None], plan.ispad.shape).copy(),
    )


def _given_region(task: Task, plan: ConditionPlan) -> ConditionPlan:
    inside = region_mask(task.region, plan.is_condition.shape)
    inside_latent = region_mask(task.region, plan.ispad.shape)
    is_condition = inside if task.inside else ~inside
    ispad = ~inside_latent if task.inside else inside_latent
    if task.padding == "edge":
        # The nearest pixel of the region; a box is the product of its rows and columns.
        rows, columns = (np.flatnonzero(inside[0].any(axis=axis)) for axis in (1, 0))
        return plan._replace(
            rows=np.clip(plan.rows, rows[0], rows[-1]).astype("int32"),
            columns=np.clip(plan.columns, columns[0], columns[-1]).astype("int32"),
            is_condition=is_condition,
            ispad=ispad,
        )
    return plan._replace(shown=is_condition.astype("float32"), is_condition=is_condition, ispad=ispad)


def region_mask(region: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Where a region of App. B.1 lies, on a grid of any size (pixels or latents).

    Args:
        region: one of `tasks.REGIONS`.
        shape: (T, H, W) of the grid.

    Returns:
        (T,H,W) bool, True inside the region.
    """
    frames, height, width = shape
    whole_height = region in ("all", "vertical", "moving_vertical")
    whole_width = region in ("all", "horizontal")
    box_height = height if whole_height else height // 2
    box_width = width if whole_width else width // 2
    top = (height - box_height) // 2
    if region.startswith("moving"):
        # In float32, and half to even: the rounding of ties depends on both.
        left = np.round(np.linspace(0, width - box_width, frames, dtype="float32")).astype(int)
    else:
        left = np.full(frames, (width - box_width) // 2)
    row, column = np.arange(height), np.arange(width)
    in_rows = (row >= top) & (row < top + box_height)
    in_columns = (column >= left[:, None]) & (column < left[:, None] + box_width)
    return in_rows[None, :, None] & in_columns[:, None, :]


def drawn_region_plan(condition_mask: Any, latent_shape: tuple[int, int, int]) -> ConditionPlan:
    """The plan for a region that the user drew.

    A latent cell counts as given only if all its pixels are given; the pixels that are not given are zero.

    Args:
        condition_mask: (T,H,W) or (B,T,H,W), True or 1 where the pixel is given.
        latent_shape: (t, h, w) of the tokens; each must divide the clip's side.

    Returns:
        A `ConditionPlan` of NumPy arrays, with a batch axis if the mask has one.

    Raises:
        ValueError: the mask has another rank, another value than 0 and 1, or a side that the latents do not divide.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.commit.conditions import drawn_region_plan
        >>> mask = np.zeros((4, 8, 8), bool); mask[:, :5] = True
        >>> drawn_region_plan(mask, (2, 2, 2)).ispad[0, :, 0].tolist()
        [False, True]
    """
    mask = np.asarray(condition_mask)
    if mask.ndim not in (3, 4):
        raise ValueError(f"Expected a condition mask of shape (T,H,W) or (B,T,H,W), received {mask.shape}.")
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"Expected a condition mask of 0 and 1 (1 = given), received {mask.min()} to {mask.max()}.")
    batch, video_shape = mask.shape[:-3], mask.shape[-3:]
    if any(side % cells for side, cells in zip(video_shape, latent_shape, strict=True)):
        raise ValueError(f"A condition mask of {video_shape} does not divide into latents of {tuple(latent_shape)}.")
    mask = mask.astype(bool)
    (t, h, w), (pt, ph, pw) = latent_shape, [a // b for a, b in zip(video_shape, latent_shape, strict=True)]
    cells = mask.reshape(*batch, t, pt, h, ph, w, pw)
    indices = [np.broadcast_to(np.arange(n, dtype="int32"), (*batch, n)).copy() for n in video_shape]
    return ConditionPlan(
        first_frame=indices[0],
        second_frame=indices[0],
        second_weight=np.zeros((*batch, video_shape[0]), "float32"),
        rows=indices[1],
        columns=indices[2],
        shown=mask.astype("float32"),
        is_condition=mask,
        ispad=~cells.all(axis=(-5, -3, -1)),
    )


def stack_plans(plans: list[ConditionPlan]) -> ConditionPlan:
    """Stacks plans of one shape along a new first axis, (num_tasks, ...), for `take_plan`."""
    return ConditionPlan(*(np.stack(tables) for tables in zip(*plans, strict=True)))


def take_plan(stacked: ConditionPlan, task_index: Any) -> ConditionPlan:
    """One plan for each example: the task is data.

    Args:
        stacked: tables of `stack_plans`, (num_tasks, ...).
        task_index: (B,) int32, row of the table for each example.

    Returns:
        A `ConditionPlan` of tensors with a batch axis.
    """
    return ConditionPlan(*(ops.take(ops.convert_to_tensor(table), task_index, axis=0) for table in stacked))


def apply_plan(video: Any, plan: ConditionPlan) -> Any:
    """The condition clip V~: the given pixels and the padding around them.

    Args:
        video: (B,T,H,W,3) float, pixels in [0,1].
        plan: tables without a batch axis, shared by the batch, or with one, of the same B.

    Returns:
        (B,T,H,W,3), of the dtype of `video`.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.commit.conditions import apply_plan, condition_plan
        >>> clip = np.random.rand(1, 4, 8, 8, 3).astype("float32")
        >>> plan = condition_plan("frame_prediction", (4, 8, 8), (2, 4, 4))
        >>> condition = np.asarray(apply_plan(clip, plan))
        >>> bool((condition[:, 3] == clip[:, 0]).all())
        True
    """
    video = ops.convert_to_tensor(video)
    if len(plan.rows.shape) == 1:
        plan = ConditionPlan(*(ops.convert_to_tensor(table)[None] for table in plan))

        def gather(x, index, axis):
            return ops.take(x, index[0], axis=axis)
    else:
        plan = ConditionPlan(*(ops.convert_to_tensor(table) for table in plan))

        gather = _gather_by_clip

    weight = ops.cast(plan.second_weight, video.dtype)[:, :, None, None, None]  # (B or 1, T, 1, 1, 1)
    first = gather(video, plan.first_frame, 1)
    second = gather(video, plan.second_frame, 1)
    video = first + weight * (second - first)
    video = gather(gather(video, plan.rows, 2), plan.columns, 3)
    return video * ops.cast(plan.shown, video.dtype)[..., None]


def _gather_by_clip(x: Any, index: Any, axis: int) -> Any:
    """Slices of `x` (B, ...) along an axis by an index (B, L) of each clip: whole slices, as a TPU reads them.

    An index for each element, as `take_along_axis` has it, makes a TPU read every element by itself.
    """
    x = ops.swapaxes(x, 1, axis)
    shape = ops.shape(x)
    batch, length = shape[:2]
    flat = ops.reshape(index + ops.arange(batch, dtype="int32")[:, None] * length, (-1,))
    taken = ops.take(ops.reshape(x, (-1, *shape[2:])), flat, axis=0)
    return ops.swapaxes(ops.reshape(taken, (-1, length, *shape[2:])), 1, axis)


def condition(video: Any, task: str | Task, latent_shape: tuple[int, int, int]) -> Condition:
    """The condition clip and masks of a task, for a batch that shares the task.

    Args:
        video: (B,T,H,W,3) float, pixels in [0,1].
        task: a task or its name.
        latent_shape: (t, h, w) of the tokens.

    Returns:
        A `Condition`: video (B,T,H,W,3), is_condition (T,H,W) bool, ispad (t,h,w) bool.

    Raises:
        ValueError: unknown task, or a clip too short or too small for it.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.commit.conditions import condition
        >>> clip = np.random.rand(2, 4, 8, 8, 3).astype("float32")
        >>> condition(clip, "central_outpainting", (2, 4, 4)).ispad.shape
        (2, 4, 4)

    Reference: Sec. 3.2 and App. B.1 of the MAGVIT paper.
    """
    plan = condition_plan(task, tuple(video.shape[1:4]), latent_shape)
    return Condition(apply_plan(video, plan), plan.is_condition, plan.ispad)
