"""`from_preset` and `save_to_preset`: a preset is an architecture by name, or a folder with its weights."""

import json
import os
import pathlib
import shutil
import tempfile
from typing import Any, ClassVar

import keras

from magvit_keras.presets.shipped import WEIGHTS_FILE, shipped_weights

CONFIG_FILE = "config.json"


class PresetMixin:
    """Adds presets to a model class that round-trips through `get_config`."""

    #: name -> one line of description
    presets: ClassVar[dict[str, str]] = {}
    _preset_table: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def from_preset(cls, preset: str | os.PathLike, load_weights: bool = True, **overrides: Any) -> Any:
        """A model from the name of a built-in preset, or from a folder that `save_to_preset` wrote.

        Args:
            preset: a name in `presets`, or the path of a folder. A few names come with trained weights, as their
                descriptions say; the others give an architecture with fresh weights.
            load_weights: False leaves the weights unread.
            **overrides: constructor arguments that replace those of a built-in preset.

        Raises:
            ValueError: neither a known name nor a preset folder, a preset of another class, or damaged weights.
        """
        if isinstance(preset, str) and preset in cls._preset_table:
            entry = cls._preset_table[preset]
            model = cls.from_config({**entry["config"], **overrides})
            if load_weights and entry.get("shipped"):
                model.load_weights(shipped_weights(preset))
            return model
        folder = pathlib.Path(preset)
        if not (folder / CONFIG_FILE).is_file():
            raise ValueError(
                f"{str(preset)!r} is neither a preset of {cls.__name__} nor a folder with a {CONFIG_FILE}. "
                f"Known presets: {', '.join(sorted(cls.presets)) or 'none'}."
            )
        saved = json.loads((folder / CONFIG_FILE).read_text())
        if saved.get("class") != cls.__name__:
            raise ValueError(f"{folder} holds a {saved.get('class')}, not a {cls.__name__}.")
        model = cls.from_config({**saved["config"], **overrides})
        if load_weights:
            model.load_weights(folder / WEIGHTS_FILE)
        return model

    def save_to_preset(self, folder: str | os.PathLike) -> None:
        """Writes architecture (JSON) and weights (HDF5) to a folder; any backend can load it.

        An existing preset in that folder is replaced in one step, so that no reader sees half of it.
        """
        folder = pathlib.Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            saved = {"class": type(self).__name__, "keras": keras.__version__, "config": self.get_config()}
            (beside / CONFIG_FILE).write_text(json.dumps(saved, indent=2) + "\n")
            self.save_weights(beside / WEIGHTS_FILE)
            folder.mkdir(exist_ok=True)
            # Weights first: a config without its weights would look complete.
            for name in (WEIGHTS_FILE, CONFIG_FILE):
                os.replace(beside / name, folder / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
