"""`magvit-keras generate`: clips from a trained model."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from magvit_keras.cli.options import Precision, errors_in_one_line, set_precision
from magvit_keras.early_checks import check_positive, unknown

_BATCH = 16  # clips that are made at once


def generate(
    context: typer.Context,
    run: Annotated[str, typer.Option(help="Folder of a finished run, or a whole model: folder, name, hf://user/repo.")],
    out: Annotated[
        pathlib.Path, typer.Option(help="File to write: .mp4, .gif, .webm, .avi, .mov, .mkv, or .png for a strip.")
    ],
    task: Annotated[str, typer.Option(help="What to make.")] = "frame_prediction",
    video: Annotated[pathlib.Path | None, typer.Option(help="The video that the task starts from.")] = None,
    label: Annotated[str | None, typer.Option(help="Name or number of the class, for the tasks with a class.")] = None,
    num_clips: Annotated[int, typer.Option(help="How many clips to make, side by side in the file.")] = 1,
    num_steps: Annotated[int | None, typer.Option(help="Decoding steps; the recipe's, or 12.")] = None,
    num_revisions: Annotated[
        int, typer.Option(help="Rounds after them that predict the tokens again: cleaner clips, two steps more each.")
    ] = 0,
    temperature: Annotated[
        float | None, typer.Option(help="Of the noise on the confidence; the recipe's, or 4.5.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Mask schedule: cosine, uniform, exp, ...; the recipe's, or cosine.")
    ] = None,
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance; 0 is off.")] = 0.0,
    condition_frames: Annotated[int | None, typer.Option(help="Given frames, for tasks that give frames.")] = None,
    start: Annotated[int, typer.Option(help="First frame that is read from the video.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames per second of the file.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other clips.")] = 0,
    keep: Annotated[
        bool, typer.Option(help="Put what the task is given back as it is, its details into what stands still.")
    ] = True,
    precision: Precision = None,
) -> None:
    """Make clips with the model of a run."""
    with errors_in_one_line(context):
        from magvit_keras.presets.resolver import run_settings

        writer = _writer(out)
        counts = {"num_clips": num_clips, "num_steps": num_steps, "condition_frames": condition_frames}
        check_positive(**{name: value for name, value in counts.items() if value is not None})
        for name, value in {"temperature": temperature, "guidance_scale": guidance_scale, "fps": fps}.items():
            if value is not None and not (0 <= value < float("inf") and (value or name != "fps")):
                raise ValueError(
                    f"`{name}` must be a number {'above' if name == 'fps' else 'from'} 0; received {value}."
                )
        names = _class_names(run)  # all of this before Keras is loaded
        _check_task(task, video, label)
        number = None if label is None else _label(label, *names)
        settings = run_settings(run)
        set_precision(precision)
        import keras
        import numpy as np

        from magvit_keras.data import read_clip
        from magvit_keras.model.generation import GenerationStep
        from magvit_keras.training.train import load_run

        magvit = load_run(run)
        asked = {"num_steps": num_steps, "temperature": temperature, "schedule": schedule}
        decoding = {**_decoding(settings), **{name: value for name, value in asked.items() if value is not None}}
        if num_revisions:
            decoding["num_revisions"] = num_revisions
        clip = None
        if video is not None:
            frames, height, width = magvit.video_shape
            clip = read_clip(
                video, frames, (height, width), settings.get("frame_stride", 1), start, settings.get("fps")
            )
            clip = np.repeat(clip[None], num_clips, axis=0)
        batches = -(-num_clips // _BATCH)
        progress = keras.utils.Progbar(None, unit_name="decoding step")

        def show(step: GenerationStep) -> None:
            progress.target = batches * step.count
            progress.add(1)

        made = magvit.generate(
            task,
            video=clip,
            label=number,
            num_clips=num_clips,
            **decoding,
            guidance_scale=guidance_scale,
            num_condition_frames=condition_frames,
            seed=seed,
            keep_condition="details" if keep else False,
            max_batch_size=_BATCH,
            on_step=None if magvit.transformer.causal else show,
        )
        writer(out, made, fps)
        typer.echo(f"Wrote {len(made)} clip(s) of {made.shape[1]} frames, {made.shape[2]}x{made.shape[3]}, to {out}.")
        typer.echo("Decoded with " + ", ".join(f"{name} {value}" for name, value in decoding.items()) + ".")


def _decoding(settings: dict[str, Any]) -> dict[str, Any]:
    """How the recipe of a run decodes; the defaults where there is none."""
    from magvit_keras.presets.recipes import RECIPES, Decoding

    recipe = RECIPES.get(settings.get("recipe") or "")
    return dataclasses.asdict(recipe.decoding if recipe else Decoding())


def _check_task(task: str, video: pathlib.Path | None, label: str | None) -> None:
    """Raises ValueError unless the task is known and has what it starts from."""
    from magvit_keras.commit.tasks import TASKS

    if task not in TASKS:
        raise ValueError(unknown("task", task, TASKS))
    if video is None and not TASKS[task].is_unconditional:
        raise ValueError(f"--task {task} starts from a video: add --video FILE.")
    if label is None and TASKS[task].needs_class:
        raise ValueError(f"--task {task} makes clips of a class: add --label NAME.")
    if video is not None and not video.is_file():
        raise FileNotFoundError(f"--video: there is no file {video}.")


def _class_names(run: str) -> tuple[list[str], int]:
    """The names of a trained model's classes, as far as it has some, and their number."""
    from magvit_keras.presets.resolver import TABLES, resolve

    preset = resolve(run, "Magvit").preset
    config = (
        TABLES["Magvit"][preset]["config"]
        if isinstance(preset, str)
        else json.loads((preset / "config.json").read_text(encoding="utf-8"))["config"]
    )
    return list(config.get("class_names") or ()), config["transformer"]["config"].get("num_classes", 0)


def _label(text: str, names: list[str], classes: int) -> int:
    if text in names:
        return names.index(text)
    if text.isdigit() and int(text) < (len(names) or classes):
        return int(text)
    if names:
        raise ValueError(f"--label must be a name, or its number from 0. {unknown('label', text, names)}")
    raise ValueError(f"The model names no classes: --label must be a number below {classes}; received {text!r}.")


def _writer(out: pathlib.Path) -> Callable[[pathlib.Path, Any, float], Any]:
    """How a file of that extension is written; an unknown one is refused before the work."""
    from magvit_keras import visualize
    from magvit_keras.data import write_video

    def other_video(path: pathlib.Path, clips: Any, fps: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, visualize.grid(clips), fps)

    kinds = {
        ".gif": lambda path, clips, fps: visualize.save_gif(path, clips, fps=fps),
        ".png": lambda path, clips, fps: visualize.save_png_strip(path, clips),
        ".mp4": lambda path, clips, fps: visualize.save_mp4(path, clips, fps=fps),
        **dict.fromkeys((".avi", ".webm", ".mov", ".mkv"), other_video),
    }
    if out.suffix.lower() not in kinds:
        raise ValueError(f"--out must end in one of {', '.join(kinds)}; received {out.name!r}.")
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if out.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"--out: {out} cannot be written.")
    return kinds[out.suffix.lower()]
