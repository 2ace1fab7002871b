"""The formats that the commands read, by name."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

from magvit_keras import data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magvit_keras.data.source import Source

FORMATS = {
    "folder": "VideoFolder",
    "ucf101": "UCF101",
    "ucf101_tfds": "PreparedUCF101",
    "bair": "BAIR",
    "kinetics600": "Kinetics600",
    "ssv2": "SomethingSomethingV2",
    "nuscenes": "NuScenes",
    "objectron": "Objectron",
    "moving_mnist": "MovingMNIST",
    "tfds": "PreparedVideos",
    "web": "WebVideos",
}


def open_source(name: str, root: str | os.PathLike, **options: Any) -> Source:
    """A reader of a format by its name.

    Args:
        name: one of `FORMATS`.
        root: the folder of the data.
        **options: arguments of the reader and, for all of them, of `ClipSource`.

    Raises:
        ValueError: the format or an option is unknown, an option is missing, or what the reader raises.
        FileNotFoundError: the data is not there.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes
        >>> folder = tempfile.mkdtemp()
        >>> paths = MovingShapes(3, num_frames=6, size=(32, 32)).write_videos(folder)
        >>> len(open_source("folder", folder, num_frames=4, size=16))
        3
    """
    if name not in FORMATS:
        raise ValueError(f"Unknown format {name!r}; expected one of {', '.join(FORMATS)}")
    reader = getattr(data, FORMATS[name])
    check_options(name, list(inspect.signature(reader).parameters.values())[1:], options)  # without the folder
    try:
        return reader(root, **options)
    except TypeError as error:  # a value of another kind than the reader can use
        raise ValueError(f"The format {name!r} cannot be read with {options}: {error}") from error


def make_shapes(**options: Any) -> Source:
    """`MovingShapes`, with options that are looked at as those of a format are.

    Raises:
        ValueError: an option is unknown, missing or out of range.
    """
    check_options("moving_shapes", list(inspect.signature(data.MovingShapes).parameters.values()), options)
    return data.MovingShapes(**options)


def merged_options(options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a reader, and others in their place; another look of Moving Shapes brings its own amounts.

    Example:
        >>> merged_options({"num_clips": 9, "texture": 0.15}, {"look": "plain"})
        {'num_clips': 9, 'look': 'plain'}
    """
    replaced = {"occlusion", "texture"} if "look" in given else set()
    return {name: value for name, value in options.items() if name not in replaced} | dict(given)


def check_options(name: str, parameters: Sequence[inspect.Parameter], options: Mapping[str, Any]) -> None:
    """Raises ValueError where an option is none of the parameters of a reader, or one of these is missing."""
    known = [parameter.name for parameter in parameters]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"The format {name} has no {', '.join(unknown)}; expected some of {', '.join(known)}")
    needed = [p.name for p in parameters if p.default is p.empty and p.name not in options]
    if needed:
        raise ValueError(f"The format {name} needs {', '.join(needed)}; received {', '.join(options) or 'nothing'}")
