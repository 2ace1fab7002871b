"""`magvit-keras doctor`: what a folder of videos allows, before a training."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def doctor(
    context: typer.Context,
    folder: Annotated[pathlib.Path, typer.Argument(help="Folder of videos.")],
    out: Annotated[pathlib.Path, typer.Option(help="Picture to write, .png.")] = pathlib.Path("doctor.png"),
    minutes: Annotated[float, typer.Option(help="How long the training may take.")] = 120.0,
) -> None:
    """Look at a folder of videos: what can be read, how well it is reconstructed, how long a training takes."""
    with errors_in_one_line(context):
        from magvit_keras.data.readers.video_folder import find_videos

        if out.suffix.lower() != ".png":
            raise ValueError(f"--out must end in .png; received {out.name!r}.")
        if not 0 < minutes < float("inf"):
            raise ValueError(f"--minutes must be a number above 0; received {minutes}.")
        find_videos(folder)  # before Keras is loaded
        from magvit_keras.training.doctor import examine

        command = examine(folder, out, minutes, typer.echo)
        typer.echo(f"\nThe command:\n\n    {command}")
