"""`magvit-keras generate`: clips from a trained model."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def generate(
    run: Annotated[pathlib.Path, typer.Option(help="Folder of a finished run.")],
    out: Annotated[pathlib.Path, typer.Option(help="File to write: .mp4, .gif, .webm, .avi, or .png for a strip.")],
    task: Annotated[str, typer.Option(help="What to make.")] = "frame_prediction",
    video: Annotated[pathlib.Path | None, typer.Option(help="The video that the task starts from.")] = None,
    label: Annotated[str | None, typer.Option(help="Name or number of the class, for the tasks with a class.")] = None,
    num_clips: Annotated[int, typer.Option(help="How many clips to make, side by side in the file.")] = 1,
    num_steps: Annotated[int, typer.Option(help="Decoding steps.")] = 12,
    temperature: Annotated[float, typer.Option(help="Of the noise on the confidence.")] = 4.5,
    schedule: Annotated[str, typer.Option(help="Mask schedule: cosine, uniform, exp, ...")] = "cosine",
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance; 0 is off.")] = 0.0,
    condition_frames: Annotated[int | None, typer.Option(help="Given frames, for tasks that give frames.")] = None,
    start: Annotated[int, typer.Option(help="First frame that is read from the video.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames per second of the file.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other clips.")] = 0,
) -> None:
    """Make clips with the model of a run."""
    with errors_in_one_line():
        import numpy as np

        from magvit_keras import visualize
        from magvit_keras.data import read_clip
        from magvit_keras.run import load_run, run_settings

        writer = _writer(visualize, out)
        magvit = load_run(run)
        clip = None
        if video is not None:
            frames, height, width = magvit.video_shape
            stride = run_settings(run)["frame_stride"]
            clip = read_clip(video, frames, (height, width), stride, start)
            clip = np.repeat(clip[None], num_clips, axis=0)
        made = magvit.generate(
            task,
            video=clip,
            label=None if label is None else _label(label, magvit.class_names),
            num_clips=num_clips,
            num_steps=num_steps,
            temperature=temperature,
            schedule=schedule,
            guidance_scale=guidance_scale,
            num_condition_frames=condition_frames,
            seed=seed,
        )
        writer(out, made, fps)
        typer.echo(f"Wrote {len(made)} clip(s) of {made.shape[1]} frames, {made.shape[2]}x{made.shape[3]}, to {out}.")


def _label(text: str, class_names: list[str]) -> int:
    if text in class_names:
        return class_names.index(text)
    if text.isdigit() and int(text) < len(class_names):
        return int(text)
    raise ValueError(f"--label must be one of {', '.join(class_names)}, or its number from 0; received {text!r}.")


def _writer(visualize: object, out: pathlib.Path) -> object:
    """How a file of that extension is written; an unknown one is refused before the work."""
    kinds = {
        ".gif": lambda path, clips, fps: visualize.save_gif(path, clips, fps=fps),
        ".png": lambda path, clips, fps: visualize.save_png_strip(path, clips),
        **dict.fromkeys(
            (".mp4", ".avi", ".webm", ".mov"), lambda path, clips, fps: visualize.save_mp4(path, clips, fps=fps)
        ),
    }
    if out.suffix.lower() not in kinds:
        raise ValueError(f"--out must end in one of {', '.join(kinds)}; received {out.name!r}.")
    return kinds[out.suffix.lower()]
