"""The public weights of LPIPS: a classifier of torchvision, and the `lpips` package's heads."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.convert.assign import assign
from magvit_keras.convert.metric_weights import find, flat_names, note_source, read_weights
from magvit_keras.metrics.lpips import LPIPS

SOURCES = {
    "vgg16": "  download.pytorch.org/models/vgg16-397923af.pth  torchvision's; that of keras.applications does not fit",
    "alexnet": "  download.pytorch.org/models/alexnet-owt-7be5be79.pth  torchvision's",
}
HEADS_SOURCE = """\
  lpips/weights/v0.1/{name} inside the `lpips` package (pip download lpips; a wheel is a zip file), or in
  github.com/richzhang/PerceptualSimilarity"""
#: The `lpips` package's heads of version 0.1, as its version 0.1.4 has them, with their licence.
SHIPPED_HEADS = pathlib.Path(__file__).with_name("lpips_heads")
_HEAD_FILES = {"vgg16": "vgg.pth", "alexnet": "alex.pth"}


def load_lpips(
    path: str | os.PathLike | None = None,
    heads: str | os.PathLike | None = None,
    trunk: str = "vgg16",
    sha256: str | None = None,
) -> LPIPS:
    """LPIPS with the public weights.

    Args:
        path: torchvision's VGG16 or AlexNet, or an address, see `fetch`; None takes the environment variable
            MAGVIT_KERAS_LPIPS_VGG16 or MAGVIT_KERAS_LPIPS_ALEXNET. A name such as vgg16-397923af.pth holds the first
            digits of the file's SHA-256, which are compared.
        heads: a file like the `lpips` package's vgg.pth or alex.pth; None takes MAGVIT_KERAS_LPIPS_VGG16_HEADS or
            MAGVIT_KERAS_LPIPS_ALEXNET_HEADS, else the package's own of version 0.1, which come with this library.
        trunk: "vgg16", which the paper reports, or "alexnet".
        sha256: of the trunk's file; required with an address, verified with a path, too.

    Returns:
        A model of two batches of frames in [0, 1] -> one distance per frame. Its `weights_source` holds the checksums.

    Raises:
        FileNotFoundError: no such file; the message says where to get the weights.
        ValueError: other weights, another checksum, or an unknown trunk.

    Example:
        >>> lpips = mk.convert.load_lpips("vgg16-397923af.pth")  # doctest: +SKIP
        >>> lpips(real, generated)  # doctest: +SKIP

    Reference:
        LPIPS (arXiv 1801.03924).
    """
    model = LPIPS(trunk)
    variable = f"MAGVIT_KERAS_LPIPS_{trunk.upper()}"
    file = find(path, variable, f"LPIPS' trunk {trunk}", SOURCES[trunk], sha256)
    name = _HEAD_FILES[trunk]
    heads = heads or os.environ.get(f"{variable}_HEADS") or SHIPPED_HEADS / name
    head_file = find(heads, f"{variable}_HEADS", f"LPIPS' heads for {trunk}", HEADS_SOURCE.format(name=name))
    load_lpips_arrays(model, read_weights(file), read_weights(head_file))
    note_source(model, trunk=file, heads=head_file)
    return model


def load_lpips_arrays(model: LPIPS, trunk: Mapping[str, Any], heads: Mapping[str, Any]) -> None:
    """Copies a torchvision state dict and the heads' into a model.

    Args:
        model: an `LPIPS`.
        trunk: "features.0.weight" (O, I, H, W) and so on; the classifier's layers are left out.
        heads: "lin0.model.1.weight" (1, C, 1, 1) and so on.

    Raises:
        ValueError: names are missing or left over, or a shape differs; nothing has been assigned then.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, array in flat_names(trunk).items():
        if not name.startswith("classifier."):
            match = re.fullmatch(r"features\.(\d+)\.(weight|bias)", name)
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            arrays[f"{match[1]}.{match[2]}" if match else name] = array
    for name, array in flat_names(heads).items():
        match = re.fullmatch(r"lin(\d)\.model\.1\.weight", name)
        arrays[f"head{match[1]}" if match else name] = array.reshape(-1, 1)
    variables = {f"head{i}": head.kernel for i, head in enumerate(model.heads)}
    for index, layer in model.convolutions.items():
        variables |= {f"{index}.weight": layer.kernel, f"{index}.bias": layer.bias}
    assign("LPIPS", variables, arrays)
