"""`magvit-keras generate`: clips from a trained model."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from magvit_keras.cli.options import Precision, errors_in_one_line


def generate(
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
    precision: Precision = None,
) -> None:
    """Make clips with the model of a run."""
    with errors_in_one_line():
        import numpy as np

        from magvit_keras.data import read_clip
        from magvit_keras.training.train import load_run, run_settings

        writer = _writer(out)
        magvit, settings = load_run(run), run_settings(run)
        asked = {"num_steps": num_steps, "temperature": temperature, "schedule": schedule}
        decoding = {**_decoding(settings), **{name: value for name, value in asked.items() if value is not None}}
        if num_revisions:
            decoding["num_revisions"] = num_revisions
        clip = None
        if video is not None:
            frames, height, width = magvit.video_shape
            clip = read_clip(video, frames, (height, width), settings.get("frame_stride", 1), start)
            clip = np.repeat(clip[None], num_clips, axis=0)
        made = magvit.generate(
            task,
            video=clip,
            label=None if label is None else _label(label, magvit),
            num_clips=num_clips,
            **decoding,
            guidance_scale=guidance_scale,
            num_condition_frames=condition_frames,
            seed=seed,
        )
        writer(out, made, fps)
        typer.echo(f"Wrote {len(made)} clip(s) of {made.shape[1]} frames, {made.shape[2]}x{made.shape[3]}, to {out}.")
        typer.echo("Decoded with " + ", ".join(f"{name} {value}" for name, value in decoding.items()) + ".")


def _decoding(settings: dict[str, Any]) -> dict[str, Any]:
    """How the recipe of a run decodes; the defaults where there is none."""
    from magvit_keras.presets.recipes import RECIPES, Decoding

    recipe = RECIPES.get(settings.get("recipe", ""))
    return dataclasses.asdict(recipe.decoding if recipe else Decoding())


def _label(text: str, magvit: Any) -> int:
    names, classes = magvit.class_names, magvit.transformer.num_classes
    if names and text in names:
        return names.index(text)
    if text.isdigit() and int(text) < (len(names) if names else classes):
        return int(text)
    if names:
        raise ValueError(f"--label must be one of {', '.join(names)}, or its number from 0; received {text!r}.")
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
    return kinds[out.suffix.lower()]
