"""What a training reads: the clips to train on, those held out, and cached tokens."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.data import Source, Subset, TokenShards, UnreadableVideo, open_source
from magvit_keras.data.readers.formats import make_shapes, merged_options
from magvit_keras.presets.recipes import Recipe
from magvit_keras.training.tokens import given_frames


def open_clips(
    recipe: Recipe,
    data: str | os.PathLike | Source | None,
    data_format: str | None = None,
    reader: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Source:
    """The clips of a recipe.

    Args:
        recipe: says format, length, size, stride and flips.
        data: folder of the data set, or any `Source`; None for Moving Shapes.
        data_format: another form of the data set than the recipe's.
        reader: arguments of the reader, in addition to the recipe's or in their place.
        seed: of windows, crops and flips.

    Raises:
        ValueError: the folder is missing or not wanted, or an argument does not fit the reader.
        FileNotFoundError: the data is not there.

    Example:
        >>> from magvit_keras.presets.recipes import get_recipe
        >>> len(open_clips(get_recipe("moving-shapes-3dvq-tiny"), None, reader={"num_clips": 5}))
        5
    """
    if isinstance(data, Source):
        return data
    name = data_format or recipe.data_format
    frames, *size = recipe.video_shape
    clips = {"num_frames": frames, "size": tuple(size), "seed": seed}
    # The recipe's arguments are for its own format.
    clips |= merged_options(recipe.reader if name == recipe.data_format else {}, reader or {})
    if name == "moving_shapes":
        return make_shapes(**clips)
    if data is None:
        raise ValueError(f"{recipe.name} needs `data`, the folder of {recipe.data}.")
    return open_source(
        name, data, **{"frame_stride": recipe.frame_stride, "horizontal_flip": recipe.horizontal_flip, **clips}
    )


def hold_out(source: Source, fraction: float, seed: int, noted: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """The clips to train on, those held out, and what a run notes of them.

    That is "left_out", the names of those that are in neither part, and "clips", the number and names of the others.

    A new run leaves out what cannot be read; a reader of files looks at all of them first. One that goes on leaves out
    what it left out when it began, so that its parts stay as they were, whatever has been mended since.

    Args:
        source: all clips.
        fraction: share of the clips held out, or from 1 on their number.
        seed: chooses which.
        noted: what the run noted when it began; None for a new one.

    Raises:
        ValueError: none of the videos can be read, or none of those held out; or the clips are not those that the run
            began with.
    """
    if noted is None and hasattr(source, "scan"):
        report = source.scan()
        if report.unreadable or report.short or report.other:
            print(report)
        if not report.readable:
            raise ValueError(f"None of the {len(source)} videos can be read; the list above says why.")
    left_out = list(source.unreadable) if noted is None else noted["left_out"]
    if left_out:
        names = set(left_out)
        source = Subset(source, [index for index in range(len(source)) if source.name(index) not in names])
    if fraction >= 1:
        if fraction != int(fraction) or fraction >= max(2, len(source)):
            raise ValueError(
                f"held_out={fraction!r}: expected a share below 1, or fewer than the {len(source)} videos."
            )
        fraction /= len(source)
    parts = source.split(fraction, seed=seed) if len(source) > 1 else (source, source.for_evaluation())
    clips = {"count": len(source), "names": source.description()["names"]}
    before = clips if noted is None else noted["clips"]
    if before != clips:
        names = " of other names" if before["count"] == clips["count"] else ""
        raise ValueError(
            f"The run began with {before['count']} videos, and now {clips['count']} are there{names}. Others would be "
            "held out, some of which it was trained on. Put back what was there, or train further on all of them in a "
            "new run that starts from this run's folder, see `start_from`."
        )
    return *parts, {"left_out": left_out, "clips": clips}


def check_clips(source: Source, recipe: Recipe, held_out: bool) -> None:
    """Raises ValueError unless the clips have the size that is trained on, and one of those held out can be read."""
    try:
        found, wanted = source[0]["video"].shape[:3], tuple(recipe.video_shape)
    except UnreadableVideo as error:
        if not held_out:
            return  # the loader takes the next one
        # They are needed at the end of the first stage.
        raise ValueError(
            f"The held-out clips cannot be read, for example {error.path}: {error.reason}. "
            "Replace that file with a readable video."
        ) from error
    if tuple(found) != wanted:
        has, wants = ("{} frames of {} x {} pixels".format(*shape) for shape in (found, wanted))
        raise ValueError(
            f"The clips of the data have {has}, and the training wants {wants}. Give both the same: `num_frames` and "
            "`size`, or video_shape in `changes`, and the reader's own in `reader`."
        )


def some_clips(source: Source, count: int) -> np.ndarray:
    """Sample clips, uint8 (count, T, H, W, 3): from all videos in turn, with new windows in each turn."""
    drawn = (source.sample(index % len(source), index // len(source))[0]["video"] for index in range(count))
    return np.stack(list(drawn))


def cached_tokens(recipe: Recipe, folder: str | os.PathLike, tokenizer: str) -> tuple[list[str], dict[str, Any]]:
    """Class names and arrays of a token cache.

    Args:
        recipe: of a transformer.
        folder: written by `magvit-keras tokenize`.
        tokenizer: fingerprint of the tokenizer that must have made them.

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
    return found.get("class_names", []), shards.read()
