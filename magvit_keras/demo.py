"""The shipped model at work: ten tasks, then a short fine-tuning on video files, and one HTML page of both."""

import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np

from magvit_keras.checks import to_float, to_numpy
from magvit_keras.commit.conditions import condition_plan
from magvit_keras.commit.tasks import Task
from magvit_keras.data import MovingShapes, VideoFolder, write_video
from magvit_keras.model.generation import Generation
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.losses import psnr
from magvit_keras.visualize import (
    Figure,
    Section,
    decoding_steps,
    hatched,
    save_gif,
    side_by_side,
    token_map,
    write_report,
)

#: The model of the demo, 16x64x64.
PRESET = "magvit_tiny_moving_shapes"
#: What it has learned from: Moving Shapes that start on a grid, over flat backgrounds.
LOOK = {"look": "grid"}
#: What the smaller tokenizer `3dvq_moving_shapes`, 8x32x32, has learned from: three of the six shapes, faint textures.
DEMO_SHAPES = {"shapes": ("circle", "square", "star"), "occlusion": 0.0, "texture": 0.15}

_FPS = 8


class Made(NamedTuple):
    """What a task made: the clip that it was given a part of, its class, and the result."""

    task: Task
    clip: np.ndarray  # (T, H, W, 3), floats
    name: str
    given: np.ndarray  # (T, H, W) bool
    result: Generation

    @property
    def score(self) -> float:
        """PSNR against the true clip, in dB; -inf where there is none."""
        return -np.inf if self.task.is_unconditional else float(psnr(self.result.video, self.clip[None]))


class FineTuned(NamedTuple):
    """Before and after a fine-tuning: losses on held-out clips, and clips of one condition and seed."""

    clips: int
    held_out: int
    steps: int
    seconds: float
    losses: tuple[float, float]
    truth: np.ndarray
    before: np.ndarray
    after: np.ndarray


def run_demo(
    out: pathlib.Path, fast: bool = False, verbose: int = 1, preset: str | os.PathLike = PRESET
) -> pathlib.Path:
    """Makes a clip for each task, fine-tunes on video files by `fit`, and writes GIFs and `out/index.html`.

    Args:
        out: the folder. The model after the fine-tuning is the preset `out/model`.
        fast: few decoding and training steps, to see that everything runs.
        verbose: 1 or 2 prints what is done, and how long it takes; 0 prints nothing.
        preset: a `Magvit` of all 36 classes of Moving Shapes: a name, or a folder.

    Returns:
        The path of the page.
    """
    began, out = time.monotonic(), pathlib.Path(out)
    say = print if verbose else (lambda *_, **__: None)
    magvit = Magvit.from_preset(preset)
    made = []
    for one in ten_tasks(magvit, num_steps=2 if fast else 12):
        made.append(one)
        path = save_gif(out / f"{one.task.name}.gif", side_by_side(_views(one)), _FPS)
        say(f"{time.monotonic() - began:4.0f} s: {path}", flush=True)
    say("Now a short fine-tuning on video files.", flush=True)
    tuned = fine_tune(magvit, out, fast, say)
    save_gif(
        out / "fine_tuning.gif", side_by_side({"before": tuned.before, "after": tuned.after, "true": tuned.truth}), _FPS
    )
    page = write_report(out / "index.html", [*_sections(magvit, made), _tuning(tuned)], "MAGVIT: ten tasks, one model")
    say(f"{time.monotonic() - began:4.0f} s: done.")
    return page


def ten_tasks(magvit: Magvit, num_steps: int) -> Iterator[Made]:
    """A clip for each task of the model, from held-out clips taken in turn; the first one compiles."""
    frames, height, width = magvit.video_shape
    source = MovingShapes(len(magvit.tasks), frames, (height, width), split="test", **LOOK)
    for sample, task in zip(source, magvit.tasks.values(), strict=True):
        clip = to_numpy(to_float(sample["video"]))
        # The whole clip is handed over; only what the task gives of it is looked at.
        given = {"label": sample["label"]} if task.needs_class else {}
        given |= {"num_clips": 3} if task.is_unconditional else {"video": clip[None]}
        result = magvit.generate(task.name, **given, num_steps=num_steps, num_revisions=1, seed=0, return_details=True)
        shown = condition_plan(task, magvit.video_shape, magvit.latent_shape).is_condition
        yield Made(task, clip, source.class_names[sample["label"]], shown, result)


def fine_tune(magvit: Magvit, out: pathlib.Path, fast: bool, say: Callable) -> FineTuned:
    """Trains the transformer on video files of a new rule by `fit`; keeps the model as the preset `out/model`.

    In the files every shape stops half-way. The tokenizer knows such frames; what is new is what comes next.
    """
    frames, height, width = magvit.video_shape
    count, epochs = (6, 1) if fast else (30, 10)
    for index, sample in enumerate(MovingShapes(count, frames, (height, width), seed=1, **LOOK)):
        moving = sample["video"]
        (out / "videos").mkdir(parents=True, exist_ok=True)
        write_video(out / "videos" / f"{index:02}.mp4", moving[np.minimum(np.arange(frames), frames // 2 - 1)], _FPS)
    # One task learns fastest from few clips; the weights are those of the model.
    magvit = Magvit(
        magvit.tokenizer, magvit.transformer, [magvit.tasks["frame_prediction"]], class_names=magvit.class_names
    )
    videos = VideoFolder(out / "videos", frames, (height, width))
    training, held_out = videos.split(0.2, seed=0)
    began, truth = time.monotonic(), to_numpy(to_float(held_out.arrays(limit=2)["video"]))
    # The tokenizer is frozen: what it makes of the clips, and of what the task gives of them, is made once.
    tokens, unseen = (magvit.tokenize(source.arrays(), batch_size=4) for source in (training, held_out))
    unseen = {name: np.repeat(value, 1 if fast else 4, axis=0) for name, value in unseen.items()}
    state = magvit.seed_generator.state
    masks = to_numpy(state)

    def measure() -> tuple[float, np.ndarray]:
        state.assign(masks)  # other masks than in training, the same before and after
        loss = magvit.evaluate(unseen, batch_size=4, verbose=0, return_dict=True)["loss"]
        return loss, magvit.generate(video=truth, num_steps=2 if fast else 12, num_revisions=1, seed=0)

    magvit.compile(optimizer=keras.optimizers.Adam(5e-4, beta_2=0.98))
    first, before = measure()
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: say(f"  epoch {epoch + 1} of {epochs}: loss {logs['loss']:.3f}", flush=True)
    )
    magvit.fit(tokens, batch_size=4, epochs=epochs, verbose=0, callbacks=[told])
    last, after = measure()
    magvit.save_to_preset(out / "model", card={"data": f"Fine-tuned on {len(training)} clips of Moving Shapes"})
    seconds, steps = time.monotonic() - began, epochs * -(-len(training) // 4)
    return FineTuned(len(training), len(held_out), steps, seconds, (first, last), truth, before, after)


def _views(one: Made) -> dict[str, np.ndarray]:
    """What of a task is looked at, by name; clips made from a class alone have no counterpart."""
    if one.task.is_unconditional:
        return {f"made, {i + 1}": video for i, video in enumerate(one.result.video)}
    return {"given": hatched(one.clip, one.given), "made": one.result.video[0], "true": one.clip}


def _title(one: Made) -> str:
    of = f" of {one.name.replace('_', ' ')}" if one.task.needs_class else ""
    return f"{one.task.name.replace('_', ' ')}{of}: {one.task.in_words(len(one.clip))}"


def _sections(magvit: Magvit, made: list[Made]) -> list[Section]:
    clips, codes = np.stack([one.clip for one in made[:4]]), magvit.tokenizer.codebook_size
    tokens = to_numpy(magvit.tokenizer.encode(clips))
    grid = "x".join(map(str, tokens.shape[1:]))
    again = np.clip(to_numpy(magvit.tokenizer.decode(tokens)), 0, 1)
    tasks = [
        Figure(
            list(_views(one).values()),
            _title(one),
            fps=_FPS,
            columns=3,
            labels=list(_views(one)),
        )
        for one in sorted(made, key=lambda one: -one.score)
    ]
    return [
        Section(
            "Ten tasks (Sec. 3.2)",
            "One model made all of these, from weights that come with the package, in 12 steps and one revision. Its "
            "clips are from a data set that is drawn from a seed; none of these was trained on. What is not given is "
            "hatched; true is what the clip really shows, one of many possible answers. The tasks that come nearest to "
            "it stand first.",
            tasks,
        ),
        Section(
            "Tokens and back (Sec. 3.1)",
            f"The transformer never sees a pixel. The tokenizer turns a clip into {grid} tokens out of {codes}, and "
            f"tokens back into a clip: {float(psnr(clips, again)):.1f} dB on these. Nothing made is sharper.",
            [
                Figure([*clips, *again], "Above: clips. Below: the same, encoded and decoded.", fps=_FPS, columns=4),
                Figure(
                    [np.repeat(_large(token_map(t, codes), 16), 2, axis=0) for t in tokens],
                    "Their tokens, a colour for each code; a frame here is a frame of tokens.",
                    fps=2,
                    columns=4,
                ),
            ],
        ),
        Section(
            "Decoding, step by step (Algorithm 1, Fig. 3)",
            "All tokens are predicted at once, and the most certain ones are kept; grey tokens are predicted again.",
            [
                Figure(
                    _steps_as_picture(made[0].result, codes),
                    f"{made[0].task.name.replace('_', ' ')}, step by step in reading order; in each step the frames of "
                    "tokens in a row.",
                )
            ],
        ),
    ]


def _tuning(tuned: FineTuned) -> Section:
    first, last = (float(psnr(made, tuned.truth)) for made in (tuned.before, tuned.after))
    rows = {
        "Video files trained on": tuned.clips,
        "Steps of 4 clips": tuned.steps,
        "Seconds, with all that is measured here": round(tuned.seconds),
        f"Loss on {tuned.held_out} other files, before": tuned.losses[0],
        "The same after": tuned.losses[1],
    }
    return Section(
        "A short fine-tuning",
        "The model was trained on shapes that never rest. Here model.fit goes on with a folder of video files in which "
        "each comes to rest half-way, and with the task of going on from the first frames. The tokenizer knows such "
        "frames and stays as it is; what the transformer learns in a minute is what comes next.",
        [
            Figure(rows, "On held-out files, with the same masks before and after."),
            Figure(
                [clip for three in zip(tuned.before, tuned.after, tuned.truth, strict=True) for clip in three],
                f"Frame prediction on held-out files: {first:.1f} dB from the true clips before, {last:.1f} dB after.",
                fps=_FPS,
                columns=3,
                labels=["before", "after", "true"] * len(tuned.truth),
            ),
        ],
    )


def _large(clips: np.ndarray, factor: int) -> np.ndarray:
    return np.repeat(np.repeat(clips, factor, axis=-3), factor, axis=-2)


def _steps_as_picture(result: Generation, codebook_size: int) -> np.ndarray:
    """The steps of a clip in two columns, each a row of the frames of tokens."""
    pictures = decoding_steps(result.steps.predicted[:, 0], result.steps.unknown[:, 0], codebook_size)
    rows = [np.concatenate(list(step), axis=1) for step in np.asarray(pictures)]  # K times (h, t * w, 3)
    rows = [np.pad(_large(row, 5), ((4, 4), (4, 4), (0, 0)), constant_values=255) for row in rows]
    rows += [np.full_like(rows[0], 255)] * (len(rows) % 2)
    return np.concatenate([np.concatenate(rows[i : i + 2], axis=1) for i in range(0, len(rows), 2)])
