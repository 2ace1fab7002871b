"""`magvit-keras demo`: the whole path in small."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for videos, the run and the report.")] = pathlib.Path(
        "demo"
    ),
    fast: Annotated[bool, typer.Option(help="A few steps only, to see that everything runs.")] = False,
    verbose: Annotated[int, typer.Option(help="1: progress bars, 2: a line an epoch, 0: nothing.")] = 1,
) -> None:
    """Write small videos, train on them, generate, and show it all on one page."""
    with errors_in_one_line():
        from magvit_keras.demo import run_demo

        page = run_demo(out, fast=fast, verbose=verbose)
        typer.echo(f"Open {page} in a browser.")
