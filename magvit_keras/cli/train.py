"""`magvit-keras train`: from videos to a model."""

import pathlib
from typing import Annotated, Any

import typer

from magvit_keras.cli import options
from magvit_keras.cli.options import (
    Changes,
    Distribution,
    Format,
    Precision,
    Reader,
    Recipe,
    Size,
    errors_in_one_line,
    open_data,
    parse_size,
)

_ONLY_RECIPE = {"max_steps", "changes", "tokens", "inflate_from"}
_WITH_RECIPE = {
    *("recipe", "data", "out", "data_format", "reader", "tokenizer", "steps_per_epoch", "batch_size", "seed"),
    *("perceptual_weights", "workers", "remat", "accumulate", "distribution", "precision", "verbose", *_ONLY_RECIPE),
}


def train(
    context: typer.Context,
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder of videos; a sub-folder is a class.")] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder of the run. Started again, the run goes on from there. runs/RECIPE by default."),
    ] = None,
    recipe: Recipe = None,
    data_format: Format = "folder",
    reader: Reader = None,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    size: Size = "64x64",
    stride: Annotated[int, typer.Option(help="Take every so many-th frame of a video.")] = 1,
    task: Annotated[
        list[str] | None,
        typer.Option(help="A task to train; may be given several times. With --from, all of the model's by default."),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(
            help="A preset of VideoTokenizer (a name, a folder, hf://user/repo), a run's folder, or a JSON file of "
            "arguments."
        ),
    ] = "3dvq_tiny",
    transformer: Annotated[str, typer.Option(help="tiny, base, large or huge, or a JSON file of arguments.")] = "tiny",
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A trained model to train further (a name, a folder, hf://user/repo), in place of --tokenizer and "
            "--transformer.",
        ),
    ] = None,
    tokenizer_steps: Annotated[
        int, typer.Option(help="Optimizer steps of the first stage; a run that goes on keeps its own.")
    ] = 2000,
    transformer_steps: Annotated[
        int, typer.Option(help="Optimizer steps of the second stage; a run that goes on keeps its own.")
    ] = 2000,
    steps_per_epoch: Annotated[int, typer.Option(help="Steps between two checkpoints.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Clips in a step of the tokenizer.")] = 4,
    transformer_batch_size: Annotated[int, typer.Option(help="Clips in a step of the transformer.")] = 16,
    token_passes: Annotated[int, typer.Option(help="Random windows of each video tokenized for the second stage.")] = 4,
    adversarial: Annotated[
        bool, typer.Option(help="Train the tokenizer against a discriminator (VQGAN): sharper, and slower by far.")
    ] = False,
    perceptual_weights: Annotated[
        pathlib.Path | None, typer.Option(help="ResNet-50 weights for the perceptual loss of --adversarial.")
    ] = None,
    flip: Annotated[bool, typer.Option(help="Mirror clips at random; leave off where left and right matter.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    remat: Annotated[
        str,
        typer.Option(help="Activations that are kept: none (all), blocks, full (the fewest): less memory, more time."),
    ] = "none",
    accumulate: Annotated[
        int, typer.Option(help="Parts that a batch is split into, one after the other: less memory.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    distribution: Distribution = "none",
    precision: Precision = None,
    verbose: Annotated[int, typer.Option(help="1: progress bars, 2: a line an epoch, 0: nothing.")] = 1,
    max_steps: Annotated[int | None, typer.Option(help="With --recipe: end after so many steps.")] = None,
    changes: Changes = None,
    tokens: Annotated[
        pathlib.Path | None, typer.Option(help="With --recipe: tokens of the data, in place of --data.")
    ] = None,
    inflate_from: Annotated[
        str | None, typer.Option(help="With --recipe: run or preset of the 2D-VQ that a 3D-VQ starts from.")
    ] = None,
) -> None:
    """Train tokenizer and transformer on a folder of videos, or one model of the paper by its recipe."""
    with errors_in_one_line():
        given = options.given_options(context)
        if recipe is not None:
            options.refuse(given, _WITH_RECIPE, f"the recipe {recipe} says it; to change it, see --set")
            _train_recipe(given, context.params)
            return
        options.refuse(given, set(context.params) - _ONLY_RECIPE, "for a training by --recipe")
        missing = [option for option, value in (("--data", data), ("--out", out)) if value is None]
        if missing:
            raise ValueError(f"{' and '.join(missing)} must be given.")
        if start_from is not None and given.keys() & {"tokenizer", "transformer"}:
            raise ValueError("--from brings tokenizer and transformer; leave out --tokenizer and --transformer.")
        from magvit_keras.devices.distribution import start
        from magvit_keras.training.steps import noted_settings
        from magvit_keras.training.train import Settings, train_run

        devices = start(distribution)

        height, width = parse_size(size)
        lengths = {"tokenizer_steps": tokenizer_steps, "transformer_steps": transformer_steps}
        noted = noted_settings(out) or {}  # a run that goes on keeps a length that is not given anew
        lengths |= {name: noted[name] for name in lengths.keys() & noted.keys() - given.keys()}
        settings = Settings(
            num_frames=frames,
            height=height,
            width=width,
            frame_stride=stride,
            tasks=tuple(task or (() if start_from else Settings.tasks)),
            tokenizer=options.name_or_json(tokenizer),
            transformer=options.name_or_json(transformer),
            start_from=start_from,
            batch_size=batch_size,
            transformer_batch_size=transformer_batch_size,
            **lengths,
            steps_per_epoch=steps_per_epoch,
            token_passes=token_passes,
            adversarial=adversarial,
            perceptual_weights=None if perceptual_weights is None else str(perceptual_weights),
            horizontal_flip=flip,
            workers=workers,
            remat=remat,
            accumulate=accumulate,
            seed=seed,
        )
        if data_format != "folder" or reader:
            data = open_data(data_format, data, reader, frames, (height, width), stride, flip, seed)
        train_run(data, out, settings, verbose=verbose if devices.is_main else 0)


def _train_recipe(given: dict[str, str], values: dict[str, Any]) -> None:
    from magvit_keras.devices.distribution import start
    from magvit_keras.training.recipe_run import RecipeOptions, train_recipe

    devices = start(values["distribution"])
    changes = options.named_values("--set", values["changes"] or (), "filters=32")
    if "batch_size" in given:
        if "batch_size" in changes:
            raise ValueError("--batch-size and --set batch_size say the same; give one of them.")
        changes["batch_size"] = values["batch_size"]
    name = values["recipe"]
    train_recipe(
        name,
        values["data"],
        values["out"] or pathlib.Path("runs", name),
        RecipeOptions(
            data_format=values["data_format"] if "data_format" in given else None,
            reader=options.reader_options(values["reader"]),
            tokenizer=values["tokenizer"] if "tokenizer" in given else None,
            tokens=values["tokens"],
            inflate_from=values["inflate_from"],
            perceptual_weights=values["perceptual_weights"],
            changes=changes,
            max_steps=values["max_steps"],
            checkpoint_steps=values["steps_per_epoch"] if "steps_per_epoch" in given else None,
            workers=values["workers"],
            remat=values["remat"],
            accumulate=values["accumulate"],
            seed=values["seed"],
        ),
        verbose=values["verbose"] if devices.is_main else 0,
    )
