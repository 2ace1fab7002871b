"""The public weights of the ResNet-50 that the paper's perceptual loss uses."""

import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.assign import assign
from magvit_keras.convert.files.weight_files import check_archive
from magvit_keras.convert.flax import flatten
from magvit_keras.convert.metric_weights import find, note_source
from magvit_keras.tokenizer.resnet import resnet50

VARIABLE = "MAGVIT_KERAS_RESNET50"
SOURCE = "  resnet_pretrained.npy of github.com/google-research/xmcgan_image_generation"

_LEAVES = {"kernel": "kernel", "bias": "bias", "scale": "gamma"}
_NORM_LEAVES = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}


def load_resnet50(path: str | os.PathLike | None = None, sha256: str | None = None) -> keras.Model:
    """ResNet-50 with the weights of a file, for `PerceptualLoss`.

    Args:
        path: `resnet_pretrained.npy` of the XMC-GAN release (github.com/google-research/xmcgan_image_generation), or
            an `.npz` with the same arrays under names such as "params/stage1/block1/conv1/kernel" and
            "batch_stats/init_bn/mean". The `.npy` holds a pickled dict, and a pickle can run code when it is read:
            here it is read by an unpickler that admits dicts and NumPy arrays only and refuses a file with anything
            else before running it. Or an address, see `fetch`; None takes the environment variable
            MAGVIT_KERAS_RESNET50.
        sha256: of the file; required with an address, verified with a path, too.

    Returns:
        A model (N, 224, 224, 3) in [0, 1] -> (N, 1000) logits.

    Raises:
        FileNotFoundError: no such file; the message says where to get the weights.
        ValueError: the file holds something else than dicts of arrays, its arrays do not fit, or its checksum differs.

    Example:
        >>> loss = PerceptualLoss(mk.convert.load_resnet50("resnet_pretrained.npy"))  # doctest: +SKIP

    Reference:
        MAGVIT (arXiv 2212.05199), appendix A.
    """
    file = find(path, VARIABLE, "ResNet-50", SOURCE, sha256)
    model = resnet50()
    load_resnet_arrays(model, read_arrays(file))
    note_source(model, network=file)
    return model


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of an `.npy` with a pickled nested dict, or of an `.npz`, as {"params/a/b": array}."""
    path = pathlib.Path(path)
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_npy(path)
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
    with np.load(path, allow_pickle=False) as arrays:
        return {key: np.asarray(arrays[key], "float32") for key in arrays}


def _read_npy(path: pathlib.Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{path} is not an .npy file; expected `params` and `batch_stats` of a ResNet-50.")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"{path} is an .npy file of version {version}; expected 1.0 or 2.0.")
        _, _, dtype = read_header[version](file)
        if not dtype.hasobject:
            raise ValueError(f"{path} holds an array of {dtype}; expected a dict with `params` and `batch_stats`.")
        content = _ArraysOnly(file).load()
    content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
    if not isinstance(content, dict) or not {"params", "batch_stats"} <= content.keys():
        raise ValueError(f"{path} does not hold a dict with `params` and `batch_stats`.")
    return {
        f"{part}/{key}": value for part in ("params", "batch_stats") for key, value in flatten(content[part]).items()
    }


def load_resnet_arrays(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Copies the arrays into a model that `resnet50` made.

    Raises:
        ValueError: names are missing or left over, or a shape differs; nothing has been assigned then.
    """
    assign("ResNet", _paths(model), arrays)


def _paths(model: keras.Model) -> dict[str, keras.Variable]:
    """Flax path -> variable: "stage1_block2_conv3" here is "stage1/block2/conv3" there."""
    paths = {}
    for layer in model.layers:
        parts = layer.name.split("_", 2) if layer.name.startswith("stage") else [layer.name]
        norm = isinstance(layer, keras.layers.BatchNormalization)
        for leaf, attribute in (_NORM_LEAVES if norm else _LEAVES).items():
            variable = getattr(layer, attribute, None)
            if variable is not None:
                group = "batch_stats" if leaf in ("mean", "var") else "params"
                paths["/".join([group, *parts, leaf])] = variable
    return paths


def _frozen_dict(content: dict | None = None) -> dict:
    """Stands for Flax's FrozenDict, which pickles as a call with its dict."""
    return dict(content or {})


def _admitted() -> dict[tuple[str, str], Callable]:
    reconstruct = np.zeros(1).__reduce__()[0]  # moved between modules from NumPy 1 to 2
    scalar = np.float32(0).__reduce__()[0]
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table[module, "_reconstruct"] = reconstruct
        table[module, "scalar"] = scalar
    table["flax.core.frozen_dict", "FrozenDict"] = _frozen_dict
    return table


class _ArraysOnly(pickle.Unpickler):
    """Builds dicts, lists, numbers, strings and NumPy arrays; every other class or function is refused by name."""

    _table = _admitted()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._table:
            raise ValueError(
                f"The file asks for {module}.{name}; only dicts of NumPy arrays are read, as other content of a "
                "pickle could run code. Convert a file you trust to .npz with NumPy alone."
            )
        return self._table[module, name]
