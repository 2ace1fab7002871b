"""The command line: `magvit-keras COMMAND`, the same as `python -m magvit_keras`; a file here is a command."""

import os
import platform

import typer

from magvit_keras import __version__
from magvit_keras.cli import (
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    generate,
    presets,
    recipes,
    reproduce,
    studio,
    tokenize,
    train,
)
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import version

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_versions(wanted: bool) -> None:
    """Prints what a report of a bug needs, without loading a backend."""
    if not wanted:
        return
    typer.echo(f"magvit_keras {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("keras", "jax", "tensorflow", "torch"):
        typer.echo(f"{package} {version(package) or 'not installed'}")
    typer.echo(f"backend {os.environ.get('KERAS_BACKEND')}")
    raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_versions, is_eager=True, help="Show versions and the backend, and end."
    ),
) -> None:
    """Masked video generation: train on a folder of videos, generate from what was learned."""
    if os.environ.get("KERAS_BACKEND") == "torch":
        keep_memory()


app.command()(train.train)
app.command()(tokenize.tokenize)
app.command()(generate.generate)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(convert.convert)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(presets.presets)
app.command()(studio.studio)
app.command()(recipes.recipes)
app.command()(reproduce.reproduce)
