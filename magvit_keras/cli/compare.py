"""`magvit-keras compare`: reports of evaluations side by side."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def compare(
    reports: Annotated[list[pathlib.Path], typer.Argument(help="Two or more report.json, or their folders.")],
    vary: Annotated[
        list[str] | None, typer.Option(help="A choice that may differ, as decoding.num_steps; it becomes a column.")
    ] = None,
) -> None:
    """Rank models by their reports; refused, with what differs, where these were not made alike."""
    with errors_in_one_line():
        from magvit_keras.evaluation import compare, read_report

        read = [read_report(path) for path in reports]
        names = [str(path.parent if path.name == "report.json" else path) for path in reports]
        typer.echo(compare(read, names, vary or ()))
