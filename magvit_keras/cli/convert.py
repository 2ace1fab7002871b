"""`magvit-keras convert`: checkpoints of others into presets."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import errors_in_one_line, name_or_json


def convert(
    checkpoint: Annotated[pathlib.Path, typer.Argument(help="The file or folder, as checkpoint_120000.")],
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the preset to write.")],
    preset: Annotated[
        str | None, typer.Option(help="Sizes: a preset's name, or a JSON file of arguments. Read off where left out.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What it holds: video_tokenizer, transformer, ...; guessed.")] = None,
    part: Annotated[str | None, typer.Option(help="ema, params or discriminator; ema where there is one.")] = None,
    padding: Annotated[str, typer.Option(help="Of a tokenizer; the authors' weights need same (zeros).")] = "same",
    tokenizer: Annotated[
        str | None, typer.Option(help="Makes a whole model of a transformer: the preset of its tokenizer, also hf://.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="A task of the whole model; several times.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, for the model card.")] = None,
) -> None:
    """Turn a checkpoint of the authors' Flax trainer, MaskGIT's or a PyTorch VQGAN into a preset."""
    with errors_in_one_line():
        from magvit_keras.convert.checkpoint import convert_checkpoint

        if (out / "config.json").exists():
            raise ValueError(f"{out} holds a preset already; choose another folder.")
        sizes = name_or_json(preset) if preset else None
        made = convert_checkpoint(checkpoint, kind, sizes, part, padding, tokenizer, task)
        typer.echo(f"Found {made.found}.")
        card = {
            "description": f"Converted by `magvit-keras convert` from {checkpoint.name}: {made.found}.",
            "steps": made.step,
            "licence": licence,
        }
        made.model.save_to_preset(out, card=card)
        typer.echo(f"Made a {type(made.model).__name__} of {made.model.count_params():,} parameters ({made.kind}).")
        for note in made.notes:
            typer.echo(note)
        typer.echo(f"Wrote {out}.")
