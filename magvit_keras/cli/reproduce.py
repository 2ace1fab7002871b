"""`magvit-keras reproduce`: the comparisons of the paper at a small scale."""

import importlib
import pathlib
import shlex
import sys
from types import ModuleType
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line


def _commands() -> ModuleType:
    """`research/commands.py` of the clone that this package lies in: an installed wheel has no `research/`."""
    clone = pathlib.Path(__file__).resolve().parents[2]
    if not (clone / "research" / "commands.py").is_file():
        raise ValueError(
            "The paper's tables in miniature are in the folder research/ of a clone of the repository, which this "
            "installation does not have; run the command from a clone (pip install --editable .)."
        )
    if str(clone) not in sys.path:
        sys.path.insert(0, str(clone))
    return importlib.import_module("research.commands")


def reproduce(
    tables: Annotated[
        list[str] | None, typer.Argument(help="table4, table5, table6, table7, figure5, or all; with --check, all.")
    ] = None,
    out: Annotated[
        pathlib.Path, typer.Option(help="Folder of the results. Started again, it goes on from there.")
    ] = pathlib.Path("reproduce"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of every row; by default 3, and 1 with --check.")
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="full: two hours of one core for all tables; long: ten times the steps of transformers; check: minutes"
        ),
    ] = "full",
    check: Annotated[
        bool, typer.Option("--check", help="Compare orderings of a short rerun with committed results.")
    ] = False,
    against: Annotated[
        pathlib.Path, typer.Option(help="With --check: folder of the committed results.")
    ] = pathlib.Path("docs/reproduce"),
    page: Annotated[
        pathlib.Path | None, typer.Option(help="A Markdown page with marks between which the tables are put.")
    ] = None,
) -> None:
    """Train the rows of a table of the paper on Moving Shapes, and set the result beside the paper's numbers."""
    with errors_in_one_line():
        commands = _commands()

        if not tables and not check:
            raise ValueError("Say which table: table4, table5, table6, table7, figure5, or all.")
        chosen = commands.get_tables(tables or ())
        # Results of another effort do not mix with those of the full one.
        folder = out if budget == "full" and not check else out / ("check" if check else budget)
        if check:
            wrong = commands.check(chosen, seeds or 1, folder, against, say=typer.echo)
            if wrong:
                typer.echo(f"{len(wrong)} orderings contradict the committed tables:", err=True)
                for line in wrong:
                    typer.echo(f"  {line}", err=True)
                raise typer.Exit(1)
            typer.echo("No ordering contradicts the committed tables.")
            return
        command = shlex.join(["magvit-keras", *sys.argv[1:]])
        commands.reproduce(chosen, commands.get_budget(budget), seeds or 3, folder, page, command, say=typer.echo)
        typer.echo(f"The tables are in {folder}, as JSON, Markdown and PNG.")
