"""Finds the weight files of the metrics' networks, reads them whatever their format, and names their checksum."""

import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras import files
from magvit_keras.convert.fetching import check_file, check_sha256, fetch, is_address
from magvit_keras.convert.files.flax_files import read_msgpack
from magvit_keras.convert.files.tf_checkpoint import read_tf_checkpoint
from magvit_keras.convert.files.weight_files import check_archive, read_state_dict


def find(
    path: str | os.PathLike | None, variable: str, what: str, source: str, sha256: str | None = None
) -> pathlib.Path:
    """The path given, or that of an environment variable, or what is fetched from the address given.

    Args:
        path: a file or folder, an address for `fetch`, or None.
        variable: name of the environment variable that counts if `path` is None.
        what: what is looked for, for the message.
        source: where it can be had, for the message.
        sha256: the checksum that the file must have; asked for if it is fetched.

    Raises:
        FileNotFoundError: neither is given, or nothing is there.
        ValueError: another checksum than `sha256`, or than the file's own name says, as torchvision's do.
        OSError: the address does not answer.
    """
    if is_address(path):
        return fetch(path, sha256)
    given = path if path is not None else os.environ.get(variable)
    hint = (
        f"Give the path, or set the environment variable {variable}, or give an address and its sha256. Where to get "
        f"it:\n{source}"
    )
    if not given:
        raise FileNotFoundError(f"No weights of {what}. {hint}")
    found = pathlib.Path(given).expanduser()
    if not found.exists():
        raise FileNotFoundError(f"No weights of {what} at {found}. {hint}")
    check_file(found, None if sha256 is None else check_sha256(sha256, found))
    return found


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of a file by name, whatever wrote it; nothing in the file is run.

    Args:
        path: NumPy's `.npz`, PyTorch's (old, new, TorchScript), `.safetensors`, Flax's MessagePack, or a checkpoint or
            module of TensorFlow (a folder or an `.index` file).

    Returns:
        {name: array}; levels are joined by "/" for Flax and by "." for PyTorch.

    Raises:
        ValueError: none of these formats.
    """
    path = pathlib.Path(path)
    if path.is_dir() or path.suffix == ".index":
        return read_tf_checkpoint(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            is_numpy = all(name.endswith(".npy") for name in archive.namelist())
            if is_numpy:
                check_archive(archive, path)
        if is_numpy:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays}
    with path.open("rb") as file:
        first = file.read(1)
    if first and ((first[0] & 0xF0 == 0x80 and first[0] != 0x80) or first[0] in (0xDE, 0xDF)):
        return flat_names(read_msgpack(path))
    return flat_names(read_state_dict(path), ".")


def flat_names(tree: Mapping[str, Any], join: str = "/") -> dict[str, np.ndarray]:
    """Nested or flat weights as {name: array}."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}{join}{inner}": array for inner, array in flat_names(value, join).items()})
        elif hasattr(value, "shape"):
            flat[str(key)] = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    return flat


def note_source(model: keras.Model, **paths: pathlib.Path | None) -> None:
    """Writes the names and checksums of the files onto the model, from where scores take them."""
    model.weights_source = {
        part: {"file": path.name, "sha256": files.sha256(path)} for part, path in paths.items() if path is not None
    }
