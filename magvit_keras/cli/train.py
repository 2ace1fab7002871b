"""`magvit-keras train`: from videos to a model."""

import dataclasses
import pathlib
from typing import Annotated, Any

import typer

from magvit_keras.cli import options
from magvit_keras.cli.options import Changes, Distribution, Format, Precision, Reader, Recipe, Size, errors_in_one_line


def train(
    context: typer.Context,
    folder: Annotated[pathlib.Path | None, typer.Argument(help="The same as --data.", show_default=False)] = None,
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder of videos; a sub-folder is a class.")] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder of the run. Started again, the run goes on from there. runs/RECIPE or runs/FOLDER by default."
        ),
    ] = None,
    recipe: Recipe = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", help="A trained model to train further: a name, a folder, hf://user/repo; or none: fresh weights."
        ),
    ] = None,
    data_format: Format = "folder",
    reader: Reader = None,
    num_frames: Annotated[int, typer.Option("--frames", help="Frames of a clip.")] = 16,
    size: Size = "64x64",
    frame_stride: Annotated[int, typer.Option("--stride", help="Take every n-th frame of a video.")] = 1,
    fps: Annotated[
        float | None, typer.Option(help="Bring all videos to this frame rate before --stride counts.")
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task", help="A task to train; may be given several times. With --from, all of the model's by default."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="A preset of VideoTokenizer (a name, a folder, hf://user/repo), a run's folder, or a JSON file of "
            "arguments; with --recipe the trained tokenizer of a transformer."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Choose sizes and steps for this machine, so that it takes about so long.")
    ] = None,
    tokenizer_steps: Annotated[int, typer.Option(help="Optimizer steps of the first stage.")] = 2000,
    transformer_steps: Annotated[int, typer.Option(help="Optimizer steps of the second stage.")] = 2000,
    max_steps: Annotated[int | None, typer.Option(help="End each stage after this many steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Clips in a step; 4, or the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its peak, in place of the recipe's.")] = None,
    held_out: Annotated[float, typer.Option(help="Share, or number, of the videos that are not trained on.")] = 0.1,
    tokens: Annotated[
        pathlib.Path | None, typer.Option(help="With --recipe: tokens of the data, in place of --data.")
    ] = None,
    inflate_from: Annotated[
        str | None, typer.Option(help="With --recipe: run or preset of the 2D-VQ that a 3D-VQ starts from.")
    ] = None,
    changes: Changes = None,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    seed: Annotated[int, typer.Option(help="Other random weights, windows and orders with another number.")] = 0,
    distribution: Distribution = "none",
    precision: Precision = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: print parameters, memory and hours.")
    ] = False,
    epochs: Annotated[float | None, typer.Option(hidden=True)] = None,
    verbose: Annotated[int, typer.Option(help="1: progress bars, 2: a line an epoch, 0: nothing.")] = 1,
) -> None:
    """Train tokenizer and transformer on a folder of videos, or one model of the paper by its recipe."""
    with errors_in_one_line(context):
        from magvit_keras.training.recipe import plan

        if epochs is not None:
            raise ValueError("Lengths are steps: --tokenizer-steps and --transformer-steps, or --minutes.")
        if folder is not None and data is not None:
            raise ValueError(f"--data says {data}, and {folder} stands beside it: give one of them.")
        given = _settings(options.given_options(context), context.params)
        out = plan(folder or data, out, given).out  # mistakes are answered before Keras is loaded
        options.set_precision(precision)
        from magvit_keras.devices.distribution import start

        devices = start(distribution)  # before any model is made
        from magvit_keras.training.train import train

        try:
            train(folder or data, out, verbose if devices.is_main else 0, dry_run, **given)
        except KeyboardInterrupt as stopped:
            typer.echo(f"{stopped or 'Stopped.'} This goes on from there: magvit-keras train --out {out}".lstrip())
            raise typer.Exit(130) from None


def _settings(given: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """What was given, as arguments of `train`; of --set the names that are such arguments are taken for them."""
    from magvit_keras.training.recipe import Settings

    names = {field.name for field in dataclasses.fields(Settings)}
    found = {name: values[name] for name in given if name in names - {"changes", "reader", "size"}}
    found["workers"] = values["workers"]
    if "size" in given:
        found["size"] = options.parse_size(values["size"])
    if values["reader"]:
        found["reader"] = options.reader_options(values["reader"])
    changes = options.named_values("--set", values["changes"] or (), "filters=32")
    for name in names & changes.keys():
        if name in given:
            raise ValueError(f"{given[name]} and --set {name} say the same; give one of them.")
        found[name] = changes.pop(name)
    for name in ("tokenizer", "transformer"):
        if isinstance(found.get(name), str):
            found[name] = options.name_or_json(found[name])
    return found | ({"changes": changes} if changes else {})
