"""`magvit-keras recipes`: the models of the paper, what each needs, and the commands that train and measure it."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from magvit_keras.cli.options import errors_in_one_line

#: FVD is the paper's, on BAIR with the debiased one in brackets; a discriminator is among the parameters.
COLUMNS = ("recipe", "FVD", "million parameters", "steps", "GB of state", "GB a clip", "A100 days")


def recipes(
    name: Annotated[str | None, typer.Argument(help="One of them, to see all of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For a page.")] = False,
) -> None:
    """List the models of the paper: score, parameters, memory and time; or one of them with its commands."""
    with errors_in_one_line():
        from magvit_keras.presets.recipes import RECIPES, get_recipe

        chosen = list(RECIPES.values()) if name is None else [get_recipe(name)]
        if as_json and as_markdown:
            raise ValueError("--json and --markdown exclude each other.")
        if as_json:
            found = [everything(recipe) for recipe in chosen]
            typer.echo(json.dumps(found if name is None else found[0], indent=1))
        elif as_markdown:
            typer.echo(markdown_table(chosen))
        elif name is None:
            _print_table(chosen)
        else:
            _print_one(chosen[0])


def row(recipe: Any) -> tuple[str, ...]:
    """The cells of a recipe, in the order of `COLUMNS`."""
    from magvit_keras.presets.estimates import estimate

    cost = estimate(recipe)
    return (
        recipe.name,
        _score(recipe) or "-",
        f"{(cost.parameters + cost.discriminator_parameters) / 1e6:.1f}",
        str(recipe.total_steps),
        f"{cost.state_bytes / 1e9:.2f}",
        f"{cost.clip_bytes / 1e9:.2f}",
        _days(cost.seconds),
    )


def markdown_table(chosen: Iterable[Any]) -> str:
    """The table of the documentation."""
    lines = [COLUMNS, ("---", *("---:" for _ in COLUMNS[1:]))]
    lines += [(f"`{cells[0]}`", *cells[1:]) for cells in map(row, chosen)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def commands(recipe: Any) -> list[str]:
    """The command lines that train a recipe, those of what it needs first."""
    from magvit_keras.presets.recipes import get_recipe

    data = "" if recipe.data_format == "moving_shapes" else " --data DATA"
    train = f"magvit-keras train --recipe {recipe.name}{data}"
    if recipe.kind == "transformer":
        return [*commands(get_recipe(recipe.tokenizer)), f"{train} --tokenizer runs/{recipe.tokenizer}"]
    if recipe.tokenizer is not None:
        return [*commands(get_recipe(recipe.tokenizer)), f"{train} --inflate-from runs/{recipe.tokenizer}"]
    return [train]


def evaluation_commands(recipe: Any) -> list[str]:
    """The command lines that measure what a recipe has trained."""
    data = "" if recipe.data_format == "moving_shapes" else " --data DATA"
    # The list of the videos held out is the user's own.
    table = " --reader table=TABLE" if recipe.data_format == "web" else ""
    name = recipe.name
    of = f"magvit-keras evaluate --recipe {name} --run runs/{name}{data}{table} --out reports/{name}"
    debiased = [f"{of}-debiased --protocol {recipe.evaluation}_debiased"] if "fvd_debiased" in recipe.score else []
    return [of, *debiased]


def everything(recipe: Any) -> dict[str, Any]:
    """A recipe, its estimates and its commands, as plain data."""
    from magvit_keras.presets.estimates import ASSUMPTIONS, estimate

    return {
        **dataclasses.asdict(recipe),
        "steps_per_epoch": recipe.steps_per_epoch,
        "total_steps": recipe.total_steps,
        "warmup_steps": recipe.warmup,
        "estimate": dataclasses.asdict(estimate(recipe)),
        "assumptions": ASSUMPTIONS,
        "commands": commands(recipe),
        "evaluation_commands": evaluation_commands(recipe),
    }


def _score(recipe: Any) -> str:
    values = [f"{value:g}" for value in recipe.score.values()]
    return values[0] + "".join(f" ({value})" for value in values[1:]) if values else ""


def _days(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:.1f}" if days >= 0.1 else "< 0.1"


def _print_table(chosen: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from magvit_keras.presets.estimates import ASSUMPTIONS

    rows = [row(recipe) for recipe in chosen]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, title in enumerate(COLUMNS):
        width = max(len(text) for text in (*title.split(), *(cells[position] for cells in rows)))
        table.add_column(title, justify="left" if position == 0 else "right", width=width)
    for cells in rows:
        table.add_row(*cells)
    console = Console()
    console.print(table, *ASSUMPTIONS, "`magvit-keras recipes NAME` shows the rest of one.", sep="\n", highlight=False)


def _print_one(recipe: Any) -> None:
    for title, value in dict(zip(COLUMNS, row(recipe), strict=True)).items():
        typer.echo(f"{title:24}{value}")
    found = everything(recipe)
    shown_otherwise = {"name", "score", "estimate", "assumptions", "commands", "evaluation_commands"}
    for name, value in found.items():
        if name not in shown_otherwise:
            typer.echo(f"{name:24}{_text(value)}")
    for sentence in found["assumptions"]:
        typer.echo(f"\n{sentence}")
    typer.echo("\nThe commands, in their order:")
    for command in (*found["commands"], *found["evaluation_commands"]):
        typer.echo(f"  {command}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items()) or "-"
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value)) or "-"
    return "-" if value is None else str(value)
