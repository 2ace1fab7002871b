"""`from_preset` and `save_to_preset`: a preset is an architecture by name, or a folder with its weights."""

import dataclasses
import inspect
import json
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import h5py
import keras

from magvit_keras.files import atomic_path, sha256
from magvit_keras.presets.hub import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from magvit_keras.presets.model_card import ModelCard
from magvit_keras.presets.resolver import resolve
from magvit_keras.presets.shipped import shipped_weights
from magvit_keras.presets.untrusted import (
    check_checksum,
    check_shapes,
    plain_config,
    read_config,
    stored_shapes,
    weights_within,
)


class PresetMixin:
    """Adds presets to a model class that round-trips through `get_config`."""

    #: name -> one line of description
    presets: ClassVar[dict[str, str]] = {}
    _preset_table: ClassVar[dict[str, dict[str, Any]]] = {}
    #: Whether fresh weights are worth a warning; a discriminator always starts from them.
    _used_trained: ClassVar[bool] = True

    @classmethod
    def from_preset(cls, preset: str | os.PathLike, load_weights: bool = True, **overrides: Any) -> Any:
        """A model from a built-in name, from a folder that `save_to_preset` wrote, or from the Hugging Face hub.

        A preset may come from anyone: its config is plain data of this library's classes, its weights are numbers of
        the model's shapes, and anything else is refused before it is used. No code is fetched or run.
        The precision is that of `keras.config.dtype_policy()`, whatever the preset was saved with.

        Args:
            preset: a name in `presets`, the folder of a preset or of a run, or `hf://user/repo`,
                `hf://user/repo@revision`, `hf://user/repo/folder`. A few names come with trained weights, as their
                descriptions say; the others give an architecture with fresh weights.
            load_weights: False leaves the weights unread.
            **overrides: constructor arguments that replace those of the preset; `dtype` is that of its parts, too.

        Raises:
            ValueError: neither a known name nor a preset, a preset of another class, a config or a weight file that
                holds what it must not, or damaged weights.
            FileNotFoundError: the weights are missing, or the hub cannot be reached.
            ImportError: `hf://` without huggingface_hub.
        """
        if not isinstance(preset, str | os.PathLike):
            raise ValueError(f"from_preset takes a name, a folder or hf://user/repo; received {preset!r}.")
        place = resolve(preset, cls.__name__, weights=False, tables={cls.__name__: cls._preset_table}).preset
        if isinstance(place, str):
            entry = cls._preset_table[place]
            model = _made(cls, entry["config"], overrides)
            if load_weights and entry.get("shipped"):
                model.load_weights(shipped_weights(place))
            elif load_weights and cls._used_trained:
                warnings.warn(
                    f"{preset!r} comes without trained weights: this {cls.__name__} starts from random ones. Train it, "
                    "or say load_weights=False.",
                    stacklevel=2,
                )
            return model
        folder, saved = place, read_config(place / CONFIG_FILE)
        stored = _stored(folder, saved) if load_weights else None
        try:
            with weights_within(stored):
                model = _made(cls, saved["config"], overrides)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{folder / CONFIG_FILE} does not describe a {cls.__name__}: {error}") from None
        if load_weights:
            check_shapes(folder / WEIGHTS_FILE, stored, model)
            model.load_weights(folder / WEIGHTS_FILE)
        return model

    def save_to_preset(self, folder: str | os.PathLike, card: ModelCard | Mapping[str, Any] | None = None) -> None:
        """Writes architecture (JSON), weights (HDF5) and a model card to a folder; any backend can load it.

        It does not hold the optimizer's state. An existing preset in that folder is replaced: the config, which knows
        the checksum of its weights, goes last, so that no reader takes one half of each for a model.

        Args:
            folder: made if missing.
            card: what is known of the model, a `ModelCard` or a dict of its arguments; the rest is "not stated". Of
                a README.md that is there already, only the part that was generated is replaced.

        Raises:
            ValueError: the card has an entry of an unknown name.
        """
        folder, card = pathlib.Path(folder), ModelCard.of(card)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            self.save_weights(beside / WEIGHTS_FILE)
            _drop_optimizers(beside / WEIGHTS_FILE)
            saved = {
                "class": type(self).__name__,
                "keras": keras.__version__,
                "weights": {"sha256": sha256(beside / WEIGHTS_FILE)},
                "card": {k: v for k, v in dataclasses.asdict(card).items() if v is not None},
                "config": plain_config(self.get_config()),
            }
            (beside / CONFIG_FILE).write_text(json.dumps(saved, indent=2) + "\n")
            old = folder / CARD_FILE
            before = old.read_text(encoding="utf-8") if old.is_file() else None
            text = card.text(type(self).__name__, self.count_params(), folder.name, before)
            (beside / CARD_FILE).write_text(text, encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for name in (CARD_FILE, WEIGHTS_FILE, CONFIG_FILE):
                os.replace(beside / name, folder / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _made(cls: type, config: Mapping[str, Any], overrides: dict[str, Any]) -> Any:
    """A model of a config with some arguments replaced."""
    known = {name for kind in cls.__mro__ for name in inspect.signature(kind.__init__).parameters} | {"dtype", "name"}
    unknown = [name for name in overrides if name not in known]
    if unknown:
        raise ValueError(f"A {cls.__name__} has no argument {unknown[0]!r}; it has {', '.join(config)}.")
    return cls.from_config({**_in_precision(config, overrides.get("dtype")), **overrides})


def _in_precision(config: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """The config of a model without the precisions that it and its parts were saved with, or with another one."""
    parts = {name: value for name, value in config.items() if name != "dtype"}
    for name, part in parts.items():
        if isinstance(part, Mapping) and isinstance(part.get("config"), Mapping) and "class_name" in part:
            inner = _in_precision(part["config"], dtype)
            parts[name] = {**part, "config": inner if dtype is None else {**inner, "dtype": dtype}}
    return parts


def _stored(folder: pathlib.Path, saved: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes in the weight file, after all that can be checked before there is a model."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {WEIGHTS_FILE}; load_weights=False gives the architecture alone.")
    check_checksum(path, saved)
    return stored_shapes(path)


def _drop_optimizers(path: pathlib.Path) -> None:
    """Removes the state of optimizers, which Keras saves with a compiled model, from a file."""
    if not any("optimizer" in name.split("/") for name in stored_shapes(path)):
        return
    with atomic_path(path) as smaller, h5py.File(path, "r") as source, h5py.File(smaller, "w") as target:
        _copy_weights(source, target)


def _copy_weights(source: h5py.Group, target: h5py.Group) -> None:
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Dataset):
            source.copy(item, target, name)
        elif name != "optimizer":
            _copy_weights(item, target.create_group(name))
