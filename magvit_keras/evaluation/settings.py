"""A protocol with the user's changes, and the list of them: what makes a score another one than the paper's."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from magvit_keras.commit.tasks import get_task
from magvit_keras.data.readers.formats import merged_options
from magvit_keras.data.token_shards import flat_entries
from magvit_keras.decoding.schedules import get_schedule
from magvit_keras.early_checks import check_positive
from magvit_keras.evaluation.clips import has_split
from magvit_keras.evaluation.scores import METRICS
from magvit_keras.model.generation import DECODERS
from magvit_keras.presets.protocols import PROTOCOLS, WINDOWS, Protocol, get_protocol

_DECODING = ("num_steps", "schedule", "temperature")
_CLIPS = ("split", "windows", "crops")
_PLAIN = (
    *("samples", "folds", "tries", "guidance_scale", "decoder", "num_condition_frames", "tasks", "metrics"),
    *("video_shape", "measured_size", "frame_stride", "data_format", "reader"),
)
#: What of a protocol may be changed for one evaluation.
CHANGES = (*_PLAIN, *_DECODING, *_CLIPS)
# Arguments of readers that the protocol gives, and what decides about each.
_GIVEN = {
    "num_frames": "say video_shape (--frames) instead",
    "size": "say video_shape (--size) instead",
    "frame_stride": "say frame_stride (--stride) instead",
    "training": "say windows='random' (--windows random) for those of training",
    "horizontal_flip": "real clips are not mirrored",
    "seed": "say seed (--seed) instead",
}


def settle(protocol: str | Protocol, **changes: Any) -> Protocol:
    """A protocol with changes; None keeps what the protocol says.

    Args:
        protocol: a name in `PROTOCOLS`, or a `Protocol`.
        **changes: some of `CHANGES`. `reader` is merged with the protocol's, and a `split` in it is that of the clips;
            `tries` without `samples` scales these.

    Raises:
        ValueError: an unknown name, a value that is out of range or does not belong to this kind of protocol, or an
            argument of the reader about which the protocol decides.

    Example:
        >>> settle("bair_fp", tries=2, num_steps=4).samples
        512
    """
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    changes = {name: value for name, value in changes.items() if value is not None}
    unknown = [name for name in changes if name not in CHANGES]
    if unknown:
        raise ValueError(f"A protocol has no {', '.join(unknown)}; expected some of {', '.join(CHANGES)}.")
    decoding = {name: changes[name] for name in _DECODING if name in changes}
    generating = [
        name for name in ("guidance_scale", "decoder", "num_condition_frames", "tasks", *decoding) if name in changes
    ]
    if generating and protocol.kind == "reconstruction":
        raise ValueError(f"The protocol {protocol.name!r} reconstructs: it has no {', '.join(generating)}.")
    if "tries" in changes and "samples" not in changes and protocol.samples is not None:
        changes["samples"] = protocol.samples // protocol.tries * changes["tries"]
    plain = {name: changes[name] for name in _PLAIN if name in changes}
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    if plain.get("data_format", protocol.data_format) != protocol.data_format:
        plain.setdefault("reader", {})  # another reader does not know the arguments of this one
    elif "reader" in plain:
        plain["reader"] = merged_options(protocol.reader, plain["reader"])
    if decoding:
        plain["decoding"] = dataclasses.replace(protocol.decoding, **decoding)
    data_format, reader = (plain.get(name, getattr(protocol, name)) for name in ("data_format", "reader"))
    _check_reader(reader, data_format)
    cut = [name for name in ("windows", "crops", "frame_stride") if name in changes]
    if cut and data_format == "moving_shapes":
        raise ValueError(f"Clips of Moving Shapes are made to size: they have no {', '.join(cut)}.")
    if "split" in reader and has_split(data_format):
        split = reader["split"]
        if changes.setdefault("split", split) != split:
            raise ValueError(f"Two splits are given, {changes['split']!r} and for the reader {split!r}; leave one out.")
        plain["reader"] = {name: value for name, value in reader.items() if name != "split"}
    clips = {name: changes[name] for name in _CLIPS if name in changes}
    if clips:
        plain["clips"] = dataclasses.replace(protocol.clips, **clips)
    settled = dataclasses.replace(protocol, **plain)
    _check(settled)
    return settled


def deviations(settled: Protocol) -> list[str]:
    """How a settled protocol departs from the published one of its name, in words.

    Example:
        >>> deviations(settle("ucf101_cg", samples=64, folds=1))
        ['samples 64 instead of 10000', 'folds 1 instead of 4']
    """
    if settled.name not in PROTOCOLS:
        return [f"the protocol {settled.name!r} is not one of the paper's"]
    old, new = (flat_entries(plain(protocol)) for protocol in (PROTOCOLS[settled.name], settled))
    # Other measures do not change those that are there; where the paper's count of videos is known, it is data.
    names = [name for name in new if old.get(name, _NONE) != new[name] and name not in ("metrics", "extractor")]
    # What the protocol leaves to the user, such as the name of a list of files, is not a deviation.
    names = [name for name in names if not (name.startswith("reader.") and name not in old)]
    return [f"{_word(name)} {_text(new[name])} instead of {_instead(name, old[name])}" for name in names]


_NONE = object()


def plain(protocol: Protocol) -> dict[str, Any]:
    """A protocol as JSON has it: lists instead of tuples."""
    return json.loads(json.dumps(dataclasses.asdict(protocol)))


def tasks_of_clips(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """Which tasks take which real clips: {"clips": ..., "class_clips": ...}; "reconstruction" is a task here."""
    if protocol.kind == "reconstruction":
        return {"clips": ("reconstruction",)}
    if protocol.class_clips is None:
        return {"clips": protocol.tasks}
    apart = tuple(task for task in protocol.tasks if get_task(task).needs_class and get_task(task).is_unconditional)
    groups = {"clips": tuple(task for task in protocol.tasks if task not in apart), "class_clips": apart}
    return {name: tasks for name, tasks in groups.items() if tasks}


def _check_reader(reader: Mapping[str, Any], data_format: str) -> None:
    for name, instead in _GIVEN.items():
        # The seed of Moving Shapes is not that of windows, but says which clips there are.
        if name in reader and (data_format, name) != ("moving_shapes", "seed"):
            raise ValueError(f"The protocol decides about {name}, and not the reader: {instead}.")


def _check(protocol: Protocol) -> None:
    counts = {name: getattr(protocol, name) for name in ("folds", "tries", "frame_stride")}
    if protocol.samples is not None:
        counts["samples"] = protocol.samples
    if protocol.decoding is not None:
        counts["num_steps"] = protocol.decoding.num_steps
        get_schedule(protocol.decoding.schedule)
    if not isinstance(protocol.clips.windows, str):
        counts["windows"] = protocol.clips.windows
    elif protocol.clips.windows not in WINDOWS:
        named = ", ".join(WINDOWS)
        raise ValueError(f"Unknown windows {protocol.clips.windows!r}; expected {named}, or how many a video has.")
    check_positive(**counts, crops=protocol.clips.crops)
    if protocol.decoder is not None and protocol.decoder not in DECODERS:
        raise ValueError(f"Unknown decoder {protocol.decoder!r}; expected one of {', '.join(DECODERS)}.")
    for task in protocol.tasks:
        get_task(task)
    unknown = [name for name in protocol.metrics if name not in METRICS]
    if unknown or not protocol.metrics:
        raise ValueError(f"Unknown metric {', '.join(unknown) or 'none'}; expected some of {', '.join(METRICS)}.")


def _word(name: str) -> str:
    return {"decoding.schedule": "mask schedule", "frame_stride": "frame stride"}.get(name, name.split(".")[-1])


def _instead(name: str, value: Any) -> str:
    return "one for each real clip" if name == "samples" and value is None else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) if value and isinstance(value[0], str) else "x".join(map(str, value))
    return "none" if value is None else str(value)
