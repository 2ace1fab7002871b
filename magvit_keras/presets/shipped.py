"""Weights that come with the package: small presets, trained by the scripts of the repository.

Each folder in `presets/shipped/` holds the weights in float16, their SHA-256 in `checksum.txt`, and `training.json`:
data, command, steps and scores on held-out clips.
"""

import pathlib
from typing import Any

import h5py
import numpy as np

from magvit_keras.files import atomic_path, sha256, write_text
from magvit_keras.presets.hub import WEIGHTS_FILE

SHIPPED = pathlib.Path(__file__).with_name("shipped")
CHECKSUM_FILE = "checksum.txt"


def write_shipped(model: Any, name: str) -> pathlib.Path:
    """Writes a model's weights, rounded to float16, into the package; returns their folder."""
    folder = SHIPPED / name
    folder.mkdir(parents=True, exist_ok=True)
    full = folder / "full.weights.h5"
    try:
        model.save_weights(full, overwrite=True)
        with atomic_path(folder / WEIGHTS_FILE) as half, h5py.File(full) as source, h5py.File(half, "w") as target:
            _copy_in_float16(source, target)
    finally:
        full.unlink(missing_ok=True)
    write_text(folder / CHECKSUM_FILE, sha256(folder / WEIGHTS_FILE) + "\n")
    return folder


def shipped_weights(name: str) -> pathlib.Path:
    """The weight file of a shipped preset, its checksum verified.

    Raises:
        ValueError: the file is missing, or not the one that was shipped.
    """
    path = SHIPPED / name / WEIGHTS_FILE
    if not path.is_file() or not path.with_name(CHECKSUM_FILE).is_file():
        raise ValueError(f"{path} or its checksum is missing: this installation has no weights of {name!r}.")
    expected, found = (SHIPPED / name / CHECKSUM_FILE).read_text().strip(), sha256(path)
    if found != expected:
        raise ValueError(f"{path} is damaged: its SHA-256 is {found}, expected {expected}. Reinstall the package.")
    return path


def _copy_in_float16(source: h5py.Group, target: h5py.Group) -> None:
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_in_float16(item, target.create_group(name))
        else:
            value = item[()]
            target.create_dataset(name, data=value.astype("float16") if value.dtype == np.float32 else value)
