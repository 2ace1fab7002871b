"""Where a model is: a built-in name, the folder of a preset or of a run, or `hf://user/repo`. Asked here alone.

No model is made here and no Keras is loaded, so that the commands can ask before they do.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from magvit_keras.early_checks import unknown
from magvit_keras.presets.discriminators import IMAGE_DISCRIMINATORS, VIDEO_DISCRIMINATORS
from magvit_keras.presets.hub import CONFIG_FILE, local_folder
from magvit_keras.presets.image_tokenizers import IMAGE_TOKENIZERS
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.presets.transformers import MAGVITS, MASKED_TRANSFORMERS

#: Class -> its built-in presets.
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "Magvit": MAGVITS,
    "VideoTokenizer": VIDEO_TOKENIZERS,
    "ImageTokenizer": IMAGE_TOKENIZERS,
    "MaskedTransformer": MASKED_TRANSFORMERS,
    "VideoDiscriminator": VIDEO_DISCRIMINATORS,
    "ImageDiscriminator": IMAGE_DISCRIMINATORS,
}
#: Class -> the folder within a run that holds its preset.
RUN_PARTS = {
    "Magvit": "magvit",
    "VideoTokenizer": "tokenizer",
    "ImageTokenizer": "tokenizer",
    "VideoDiscriminator": "discriminator",
    "ImageDiscriminator": "discriminator",
}
SETTINGS_FILE = "settings.json"
STAGES = ("tokenizer", "transformer")


class Place(NamedTuple):
    """Where a model was found: the name of its class, and a built-in name or the folder of a preset."""

    kind: str
    preset: str | pathlib.Path


def resolve(
    where: str | os.PathLike, *kinds: str, weights: bool = True, tables: Mapping[str, Mapping[str, Any]] = TABLES
) -> Place:
    """The model that a name, a folder of a preset or of a run, or `hf://user/repo` stands for.

    Args:
        where: what a user typed.
        kinds: names of the classes that would do, in the order of preference: of a run, its part of the first one.
        weights: whether a built-in name must come with weights.
        tables: class -> its built-in presets.

    Raises:
        ValueError: there is none; the message says what is there instead.

    Example:
        >>> resolve("3dvq_moving_shapes", "Magvit", "VideoTokenizer")
        Place(kind='VideoTokenizer', preset='3dvq_moving_shapes')
    """
    name = str(where)
    entries = {kind: tables.get(kind, {}).get(name) for kind in kinds}
    for kind, entry in entries.items():
        if entry and (entry.get("shipped") or not weights):
            return Place(kind, name)
    folder = local_folder(where)
    if any(entries.values()) and not folder.exists():
        raise ValueError(f"The preset {name} is an architecture without weights; train it, and give the run's folder.")
    if (folder / CONFIG_FILE).is_file():
        found = _class_in(folder) or kinds[0]  # whoever reads a damaged config says what is wrong with it
        if found not in kinds:
            raise ValueError(f"{where} holds a {found}; expected a {' or '.join(kinds)}.")
        return Place(found, folder)
    for kind in kinds:
        part = folder / RUN_PARTS.get(kind, "")
        if kind in RUN_PARTS and (part / CONFIG_FILE).is_file() and _class_in(part) in (None, kind):
            return Place(kind, part)
    if (folder / SETTINGS_FILE).is_file():
        raise ValueError(_not_ended(folder, kinds[0]))
    known = [n for kind in kinds for n, e in tables.get(kind, {}).items() if e.get("shipped") or not weights]
    raise ValueError(
        f"{where} is not the folder of a run or of a trained {kinds[0]}, and no preset{' with weights' * weights}. "
        + unknown("preset", name, known)
    )


def load_trained(model: type, where: str | os.PathLike) -> Any:
    """The trained model of that class, see `resolve`."""
    return model.from_preset(resolve(where, model.__name__).preset)


def in_run(where: str | os.PathLike, kind: str) -> pathlib.Path | None:
    """The preset of that class in the folder of a run; None where there is none."""
    folder = pathlib.Path(where, RUN_PARTS[kind])
    return folder if (folder / CONFIG_FILE).is_file() else None


def _class_in(folder: pathlib.Path) -> str | None:
    """The name of the class whose preset a folder holds; None where its config is damaged."""
    path = folder / CONFIG_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("class") if path.stat().st_size < 2**20 else None
    except (ValueError, AttributeError, RecursionError):
        return None


def run_settings(run: str | os.PathLike) -> dict[str, Any]:
    """What a training noted when it started, settings and class names; nothing where the folder is no run's.

    Raises:
        ValueError: the file is damaged.
    """
    path = pathlib.Path(run) / SETTINGS_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise ValueError(
            f"{path} is cut off or damaged: it is no JSON. Delete it; the run then goes on with the settings that you "
            "give it."
        ) from None


def _not_ended(run: pathlib.Path, kind: str) -> str:
    if kind == "Magvit" and run_settings(run).get("stages") == ["tokenizer"]:
        return f"{run} trained a tokenizer, which makes no clips by itself; it is in {run / 'tokenizer'}."
    done = {}
    for stage in STAGES:
        path = run / "checkpoints" / stage / "state.json"
        try:
            done[stage] = json.loads(path.read_text())["epoch"] if path.is_file() else 0
        except (ValueError, KeyError):
            done[stage] = "unknown"
    return f"The training in {run} has not ended (epochs done: {done}); start the same command again."
