"""`magvit-keras tokenize`: from videos to tokens on disk."""

import pathlib
from typing import Annotated, Any

import typer

from magvit_keras.cli import options
from magvit_keras.cli.options import (
    Changes,
    Distribution,
    Format,
    Precision,
    Process,
    Reader,
    Recipe,
    Size,
    errors_in_one_line,
    open_data,
    parse_size,
)

_SAID_BY_RECIPE = {"frames", "size", "stride", "task", "flip"}


def tokenize(
    context: typer.Context,
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the tokens. Started again, it makes what is missing.")],
    tokenizer: Annotated[
        str, typer.Option(help="A trained tokenizer: the folder of a run or a preset, a name, hf://user/repo.")
    ],
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder of the data set.")] = None,
    recipe: Recipe = None,
    changes: Changes = None,
    data_format: Format = "folder",
    reader: Reader = None,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    size: Size = "64x64",
    stride: Annotated[int, typer.Option(help="Take every n-th frame of a video.")] = 1,
    task: Annotated[list[str] | None, typer.Option(help="A task; may be given several times. All by default.")] = None,
    passes: Annotated[int, typer.Option(help="How many random windows, crops and flips of each video.")] = 1,
    flip: Annotated[bool, typer.Option(help="Mirror clips at random; leave off where left and right matter.")] = False,
    batch_size: Annotated[int, typer.Option(help="Clips encoded at a time.")] = 8,
    shard_clips: Annotated[int, typer.Option(help="Clips in a file.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    process: Process = None,
    distribution: Distribution = "none",
    precision: Precision = None,
    seed: Annotated[int, typer.Option(help="Of windows, crops and flips.")] = 0,
    verbose: Annotated[int, typer.Option(help="1: a progress bar, 0: nothing.")] = 1,
) -> None:
    """Turn a data set into files of tokens, from which the transformer trains without the tokenizer."""
    with errors_in_one_line(context):
        from magvit_keras.commit.tasks import TASKS
        from magvit_keras.presets.resolver import load_trained, resolve

        options.set_precision(precision)
        resolve(tokenizer, "VideoTokenizer")  # before Keras is loaded
        from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
        from magvit_keras.training.tokens import write_tokens

        share = options.start_devices(distribution, process)
        tasks = task or list(TASKS)
        if recipe is not None:
            given = options.given_options(context)
            options.refuse(given, set(context.params) - _SAID_BY_RECIPE, f"the recipe {recipe} says it")
            source, tasks = _of_recipe(given, context.params)
        elif data is None:
            raise ValueError("--data must be given.")
        else:
            source = open_data(data_format, data, reader, frames, parse_size(size), stride, flip, seed)
        shards = write_tokens(
            source,
            load_trained(VideoTokenizer, tokenizer),
            tasks,
            out,
            passes=passes,
            batch_size=batch_size,
            shard_clips=shard_clips,
            workers=workers,
            process=share,
            verbose=verbose,
        )
        left = len(shards.missing())
        typer.echo(f"{left} files are left for the other processes." if left else f"The tokens are in {out}.")


def _of_recipe(given: dict[str, str], values: dict[str, Any]) -> tuple[Any, list]:
    """The clips and the tasks of a transformer's recipe."""
    from magvit_keras.presets.recipes import get_recipe
    from magvit_keras.training.data import open_clips
    from magvit_keras.training.recipe import changed_recipe

    changes = options.named_values("--set", values["changes"] or (), "video_shape=[8,64,64]")
    recipe = changed_recipe(get_recipe(values["recipe"]), changes).recipe
    if not recipe.tasks:
        raise ValueError(f"{recipe.name} trains a tokenizer; --recipe must be that of a transformer.")
    data_format = values["data_format"] if "data_format" in given else None
    reader = options.reader_options(values["reader"])
    return open_clips(recipe, values["data"], data_format, reader, values["seed"]), recipe.trained_tasks
