"""Clips longer or wider than the model's own: a task done again and again on what was made before (App. C)."""

from typing import Any

import keras
import numpy as np

from magvit_keras.checks import check_positive, check_range, to_float, to_numpy
from magvit_keras.commit.conditions import region_mask
from magvit_keras.commit.tasks import get_task
from magvit_keras.model.generation_inputs import as_clips


class Lengthens:
    """The part of `Magvit` that makes clips longer or wider than its own."""

    def continue_video(
        self,
        video: Any,
        num_frames: int,
        *,
        task: str | None = None,
        num_condition_frames: int | None = None,
        seed: int = 0,
        verbose: int = 0,
        label: Any = None,
        decoder: str | None = None,
        num_steps: int = 12,
        num_revisions: int = 0,
        temperature: float = 4.5,
        schedule: str = "cosine",
        guidance_scale: float = 0.0,
        token_temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        keep_condition: bool | str = False,
        max_batch_size: int = 16,
    ) -> np.ndarray:
        """Continues clips to any length: the last frames are the condition of the next ones.

        Args:
            video: (B, F, H, W, 3), uint8 or floats in [0, 1], F at least the number of frames that the task gives.
            num_frames: length of the result.
            task: a task that gives the first frames only; by default the first such task of the model.
            num_condition_frames: how many of the last frames each round is given; by default as the task says.
            seed: an int; each round draws differently.
            verbose: 1 shows a progress bar.
            label: of `generate`, as all that follow.
            decoder: see there.
            num_steps: see there.
            num_revisions: see there.
            temperature: see there.
            schedule: see there.
            guidance_scale: see there.
            token_temperature: see there.
            top_k: see there.
            top_p: see there.
            keep_condition: see there.
            max_batch_size: see there.

        Returns:
            (B, num_frames, H, W, 3) float32 in [0, 1]; the given frames come first, unchanged.

        Raises:
            ValueError: no fitting task, too few frames, or what `generate` refuses.

        Reference:
            MAGVIT (arXiv 2212.05199), appendix, on long videos.
        """
        check_positive(num_frames=num_frames)
        options = {
            "label": label,
            "decoder": decoder,
            "num_steps": num_steps,
            "num_revisions": num_revisions,
            "temperature": temperature,
            "schedule": schedule,
            "guidance_scale": guidance_scale,
            "token_temperature": token_temperature,
            "top_k": top_k,
            "top_p": top_p,
            "keep_condition": keep_condition,
            "max_batch_size": max_batch_size,
        }
        task = _prediction_task(self, task)
        if num_condition_frames is not None:
            task = task.with_frames(num_condition_frames)
        given, length = task.num_condition_frames, self.video_shape[0]
        clip = _pixels(video)
        if given >= length:
            raise ValueError(
                f"The task {task.name!r} is given {given} frames and the model makes clips of {length}: none is new."
            )
        if not given <= clip.shape[1]:
            raise ValueError(f"The task {task.name!r} is given {given} frames; received clips of {clip.shape[1]}.")
        rounds = max(0, -(-(num_frames - clip.shape[1]) // (length - given)))
        progress = keras.utils.Progbar(rounds, verbose=verbose, unit_name="round")
        for number in range(rounds):
            made = self.generate(task, video=clip[:, -given:], seed=_seed_of(seed, number), **options)
            clip = np.concatenate([clip, made[:, given:]], axis=1)
            progress.update(number + 1)
        return clip[:, :num_frames]

    def outpaint(
        self,
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
            video: (B, T, H, w, 3), T and H of the model, w at least half of its width; uint8 or floats in [0, 1].
            width: of the result, at least w.
            seed: an int; each round draws differently.
            verbose: 1 shows a progress bar.
            **options: of `generate`: num_steps, temperature, ...

        Returns:
            (B, T, H, width, 3) float32 in [0, 1]; the given columns stand in the middle, unchanged.

        Raises:
            ValueError: a size that does not fit, or what `generate` refuses.

        Reference:
            MAGVIT (arXiv 2212.05199), appendix, on outpainting to wide frames.
        """
        refused = [name for name in ("condition_mask", "return_details") if options.get(name, False) is not False]
        if refused:
            raise ValueError(f"{' and '.join(refused)} cannot be given here, where a clip is made in several rounds.")
        canvas = _pixels(video)
        frames, height, model_width = self.video_shape
        columns = np.flatnonzero(region_mask("vertical", self.video_shape)[0, 0])
        first, last, strip = columns[0], columns[-1] + 1, len(columns)
        if canvas.shape[1:3] != (frames, height) or canvas.shape[3] < strip or width < canvas.shape[3]:
            raise ValueError(
                f"This model widens clips of {frames} frames, {height} rows and at least {strip} columns to a width of "
                f"no less; received {canvas.shape[1]} frames of {canvas.shape[2]}x{canvas.shape[3]} and width={width}."
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
            made = self.generate("vertical_outpainting", video=clips, seed=_seed_of(seed, number), **options)
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


def _pixels(video: Any) -> np.ndarray:
    video = as_clips(video)
    check_range(video)
    return to_numpy(to_float(video))


def _seed_of(seed: int, number: int) -> int:
    """Seeds of the rounds, far apart, so that neighbouring seeds share no round."""
    return seed + number * 1_000_003
