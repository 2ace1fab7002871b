"""What the trainings by recipe read: clips, trained tokenizers, cached tokens."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from magvit_keras.data import Source, TokenShards, open_source
from magvit_keras.data.readers.formats import make_shapes, merged_options
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.devices import distribution
from magvit_keras.presets.hub import PREFIX
from magvit_keras.presets.recipes import Recipe
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.tokens import given_frames


def open_recipe_data(
    recipe: Recipe,
    data: str | os.PathLike | None,
    data_format: str | None = None,
    reader: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Source:
    """The training clips of a recipe.

    Args:
        recipe: says format, length, size, stride and flips.
        data: folder of the data set; None for Moving Shapes.
        data_format: another form of the data set than the recipe's.
        reader: arguments of the reader, in addition to the recipe's or in their place.
        seed: of windows, crops and flips.

    Raises:
        ValueError: the folder is missing or not wanted, or an argument does not fit the reader.
        FileNotFoundError: the data is not there.

    Example:
        >>> from magvit_keras.presets.recipes import get_recipe
        >>> len(open_recipe_data(get_recipe("moving-shapes-3dvq-tiny"), None, reader={"num_clips": 5}))
        5
    """
    name = data_format or recipe.data_format
    frames, *size = recipe.video_shape
    clips = {"num_frames": frames, "size": tuple(size), "seed": seed}
    # The recipe's arguments are for its own format.
    clips |= merged_options(recipe.reader if name == recipe.data_format else {}, reader or {})
    if name == "moving_shapes":
        if data is not None:
            raise ValueError(f"{recipe.name} makes its own clips; leave --data off. Received {data}.")
        return make_shapes(**clips)
    if data is None:
        raise ValueError(f"{recipe.name} needs --data, the folder of {recipe.data}.")
    return open_source(
        name, data, **{"frame_stride": recipe.frame_stride, "horizontal_flip": recipe.horizontal_flip, **clips}
    )


def load_tokenizer(path: str | os.PathLike, kind: type = VideoTokenizer) -> keras.Model:
    """A trained tokenizer.

    Args:
        path: the folder of a run or of a preset, the name of a preset that comes with weights, or `hf://user/repo`.
        kind: `VideoTokenizer` or `ImageTokenizer`.

    Raises:
        ValueError: there is none, one of another kind, or a preset without weights.
    """
    name, folder = str(path), pathlib.Path(path)
    known = kind._preset_table.get(name, {})
    if known.get("shipped") or name.startswith(PREFIX):
        return kind.from_preset(name)
    if known and not folder.exists():
        raise ValueError(f"The preset {name} is an architecture without weights; train it, and give the run's folder.")
    folder = folder if _is_preset(folder) else preset_folder(path, "tokenizer")
    if folder is None:
        raise ValueError(
            f"{path} is not the folder of a trained {kind.__name__}: neither config.json nor tokenizer/config.json is "
            "there. A run has it once its training has ended."
        )
    return kind.from_preset(folder)


def preset_folder(run: str | os.PathLike, name: str) -> pathlib.Path | None:
    """The preset of that name in the folder of a run; None where there is none."""
    folder = pathlib.Path(run, name)
    return folder if _is_preset(folder) else None


def _is_preset(folder: pathlib.Path) -> bool:
    return (folder / "config.json").is_file()


def cached_batches(
    recipe: Recipe, folder: str | os.PathLike, tokenizer: str, seed: int, steps_per_epoch: int
) -> tuple[list[str], TokenBatches]:
    """Class names and batches of a token cache.

    Args:
        recipe: of a transformer.
        folder: written by `magvit-keras tokenize`.
        tokenizer: fingerprint of the tokenizer that must have made them.
        seed: of the order.
        steps_per_epoch: batches in an epoch.

    Raises:
        ValueError: the tokens are of another tokenizer, of other clips or other tasks, or not all there.
    """
    shards = TokenShards(folder)
    found = shards.description()
    wanted = {
        "tokenizer": tokenizer,
        "video_shape": list(recipe.video_shape),
        "tasks": list(recipe.tasks),
        "given_frames": given_frames(recipe.trained_tasks),
    }
    told = {"given_frames": {}, **found}
    wrong = [name for name, value in wanted.items() if found and told.get(name) != value]
    if wrong:
        listed = "; ".join(f"{name} {told.get(name)!r}, expected {wanted[name]!r}" for name in wrong)
        raise ValueError(
            f"{folder} does not hold the tokens of {recipe.name}: {listed}. They are made by "
            f"`magvit-keras tokenize --recipe {recipe.name}`, with the same --tokenizer."
        )
    process = distribution.current().process
    batches = TokenBatches(shards.read(), recipe.batch_size, seed, steps_per_epoch, process)
    return found.get("class_names", []), batches
