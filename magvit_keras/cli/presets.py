"""`magvit-keras presets`: the presets that come with the library."""

import json
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def presets(
    weights: Annotated[bool, typer.Option("--weights", help="Only those that come with trained weights.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the presets: class, size of clips, parameters, whether they come with weights, their score."""
    with errors_in_one_line():
        from magvit_keras.presets.listing import COLUMNS, list_presets

        rows = list_presets(weights)
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
            return
        cells = [COLUMNS, *([_text(row[column]) for column in COLUMNS] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        for line in cells:
            typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
