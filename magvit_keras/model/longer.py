"""Clips longer or wider than the model's own: a task done again and again on what was made before (App. C)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras.checks import check_positive, check_range, to_float
from magvit_keras.commit.conditions import region_mask
from magvit_keras.commit.tasks import get_task


def continue_video(
    magvit: Any,
    video: Any,
    num_frames: int,
    *,
    task: str | None = None,
    num_condition_frames: int | None = None,
    seed: int = 0,
    verbose: int = 0,
    **options: Any,
) -> np.ndarray:
    """Continues clips to any length by sliding frame prediction: the last frames are the condition of the next ones.

    Args:
        magvit: a `Magvit` trained for the task.
        video: (B, F, H, W, 3), uint8 or floats in [0, 1], F at least the number of frames that the task gives.
        num_frames: length of the result.
        task: a task that gives the first frames only; by default the first such task of the model.
        num_condition_frames: how many of the last frames each round is given; by default as the task says.
        seed: an int; each round draws differently.
        verbose: 1 shows a progress bar.
        **options: of `generation.generate`: label, num_steps, temperature, ...; but no `condition_mask` and no
            `return_details`.

    Returns:
        (B, num_frames, H, W, 3) float32 in [0, 1]; the given frames come first, unchanged.

    Raises:
        ValueError: no fitting task, too few frames, or what `generate` refuses.

    Reference:
        MAGVIT (arXiv 2212.05199), appendix, on long videos.
    """
    check_positive(num_frames=num_frames)
    _check_options(options)
    task = _prediction_task(magvit, task)
    if num_condition_frames is not None:
        task = task.with_frames(num_condition_frames)
    given, length = task.num_condition_frames, magvit.video_shape[0]
    clip = _pixels(video)
    if given >= length:
        raise ValueError(
            f"The task {task.name!r} is given {given} frames and the model makes clips of {length}: none would be new."
        )
    if not given <= clip.shape[1]:
        raise ValueError(f"The task {task.name!r} is given {given} frames; received clips of {clip.shape[1]}.")
    rounds = max(0, -(-(num_frames - clip.shape[1]) // (length - given)))
    progress = keras.utils.Progbar(rounds, verbose=verbose, unit_name="round")
    for number in range(rounds):
        made = magvit.generate(task, video=clip[:, -given:], seed=_seed_of(seed, number), **options)
        clip = np.concatenate([clip, made[:, given:]], axis=1)
        progress.update(number + 1)
    return clip[:, :num_frames]


def outpaint(
    magvit: Any,
    video: Any,
    width: int,
    *,
    seed: int = 0,
    verbose: int = 0,
    **options: Any,
) -> np.ndarray:
    """Widens clips to both sides by vertical outpainting, repeated: each edge is the centre of the next round.

    A round adds a quarter of the model's width on each side.

    Args:
        magvit: a `Magvit` trained for "vertical_outpainting".
        video: (B, T, H, w, 3) with T and H of the model and w at least half of its width; uint8 or floats in [0, 1].
        width: of the result, at least w.
        seed: an int; each round draws differently.
        verbose: 1 shows a progress bar.
        **options: of `generation.generate`: num_steps, temperature, ...; but no `condition_mask` and no
            `return_details`.

    Returns:
        (B, T, H, width, 3) float32 in [0, 1]; the given columns stand in the middle, unchanged.

    Raises:
        ValueError: a size that does not fit, or what `generate` refuses.

    Reference:
        MAGVIT (arXiv 2212.05199), appendix, on outpainting to wide frames.
    """
    _check_options(options)
    canvas = _pixels(video)
    frames, height, model_width = magvit.video_shape
    columns = np.flatnonzero(region_mask("vertical", magvit.video_shape)[0, 0])
    first, last, strip = columns[0], columns[-1] + 1, len(columns)
    if canvas.shape[1:3] != (frames, height) or canvas.shape[3] < strip or width < canvas.shape[3]:
        raise ValueError(
            f"This model widens clips of {frames} frames, {height} rows and at least {strip} columns to a width of no "
            f"less; received {canvas.shape[1]} frames of {canvas.shape[2]}x{canvas.shape[3]} and width={width}."
        )
    size, start, added = len(canvas), canvas.shape[3], 0
    step = min(first, model_width - last)  # columns that a round adds on each side
    rounds = -(-(width - start) // (2 * step))
    progress = keras.utils.Progbar(rounds, verbose=verbose, unit_name="round")
    for number in range(rounds):
        # Both edges in one batch: the left ones, then the right ones.
        clips = np.zeros((2 * size, frames, height, model_width, 3), "float32")
        clips[:size, :, :, first:last] = canvas[:, :, :, :strip]
        clips[size:, :, :, first:last] = canvas[:, :, :, -strip:]
        made = magvit.generate("vertical_outpainting", video=clips, seed=_seed_of(seed, number), **options)
        left, right = made[:size, :, :, first - step : first], made[size:, :, :, last : last + step]
        canvas, added = np.concatenate([left, canvas, right], axis=3), added + step
        progress.update(number + 1)
    cut = added - (width - start) // 2
    return canvas[:, :, :, cut : cut + width]


def _prediction_task(magvit: Any, name: str | None) -> Any:
    candidates = magvit.tasks.values() if name is None else [magvit.tasks.get(name) or get_task(name)]
    for task in candidates:
        if task.num_condition_frames and not task.num_final_frames:
            return task
    raise ValueError(
        f"Continuing a clip needs a task that gives its first frames; received {name!r}, and this model was "
        f"trained for {', '.join(magvit.tasks)}."
    )


def _check_options(options: dict) -> None:
    refused = [
        name
        for name in ("condition_mask", "return_details")
        if options.get(name) is not None and options[name] is not False
    ]
    if refused:
        raise ValueError(f"{' and '.join(refused)} cannot be given here, where a clip is made in several rounds.")


def _pixels(video: Any) -> np.ndarray:
    shape = tuple(np.shape(video))
    if len(shape) != 5 or shape[-1] != 3:
        raise ValueError(f"video must be (batch, time, height, width, 3); received the shape {shape}.")
    check_range(video)
    return ops.convert_to_numpy(to_float(video))


def _seed_of(seed: int, number: int) -> int:
    """Seeds of the rounds, far apart, so that neighbouring seeds share no round."""
    return seed + number * 1_000_003
