"""`magvit-keras demo`: the shipped model at work."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for clips, page and model.")] = pathlib.Path("demo"),
    fast: Annotated[bool, typer.Option(help="A few steps only, to see that everything runs.")] = False,
    verbose: Annotated[int, typer.Option(help="1: what is done, and how long it takes; 0: nothing.")] = 1,
) -> None:
    """Make clips for all ten tasks with the shipped model, fine-tune it briefly, and show both on one page."""
    with errors_in_one_line():
        from magvit_keras.demo import run_demo

        page = run_demo(out, fast=fast, verbose=verbose)
        typer.echo(f"Open {page} in a browser.")
        typer.echo("Then paint a hole into a clip yourself: `make studio` in a clone, or `magvit-keras studio --open`.")
