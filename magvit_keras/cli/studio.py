"""`magvit-keras studio`: paint a hole into a clip, in a browser, and watch a model fill it."""

import os
import pathlib
import sys
from typing import Annotated

import typer

from magvit_keras.cli.options import Precision, errors_in_one_line


def studio(
    run: Annotated[
        str, typer.Option(help="Folder of a finished run, or a whole model: folder, name, hf://user/repo.")
    ] = "magvit_tiny_moving_shapes",
    port: Annotated[
        int, typer.Option(help="Of the address on this computer; 0 takes a free one.", min=0, max=65535)
    ] = 8765,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser, too.")] = False,
    precision: Precision = None,
) -> None:
    """Open a page on this computer to play with a model: paint a hole, choose a task, watch the steps arrive."""
    with errors_in_one_line():
        from magvit_keras.studio.server import StudioServer
        from magvit_keras.studio.work import Studio
        from magvit_keras.training.train import load_run, run_settings

        with StudioServer(port) as server:  # a port that is taken is found before the model is loaded
            typer.echo(f"Loading {run} ...")
            magvit = load_run(run)
            server.studio = Studio(magvit, pathlib.Path(run).name, run_settings(run).get("frame_stride", 1))
            typer.echo(f"The studio is at {server.address} for a browser on this computer; Ctrl-C ends it.")
            if show and (sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
                typer.launch(server.address)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo("\nThe studio is closed.")
