"""The command line: `magvit-keras COMMAND`, the same as `python -m magvit_keras`; a file here is a command."""

import typer

from magvit_keras.cli import compare, convert, demo, evaluate, generate, recipes, tokenize, train

app = typer.Typer(
    help="Masked video generation: train on a folder of videos, generate from what was learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train.train)
app.command()(tokenize.tokenize)
app.command()(generate.generate)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(convert.convert)
app.command()(demo.demo)
app.command()(recipes.recipes)
