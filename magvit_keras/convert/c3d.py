"""The public weights of C3D on UCF-101, behind the Inception Score of videos."""

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.convert.assign import assign
from magvit_keras.convert.metric_weights import find, flat_names, note_source, read_weights
from magvit_keras.metrics.c3d import C3D

VARIABLE, MEAN_VARIABLE = "MAGVIT_KERAS_C3D", "MAGVIT_KERAS_C3D_MEAN"
SOURCE = """\
  gs://magvit/metrics/inception_score/c3d_ucf101.flax   the file of the MAGVIT authors, the mean clip within
  conv3d_deepnetA_ucf.npz and mean2.npz                 Chainer's, from github.com/pfnet-research/tgan and tgan2
  c3d_ucf101.pt of github.com/universome/stylegan-v     the same weights for PyTorch"""

_LEAVES = {"W": "kernel", "weight": "kernel", "kernel": "kernel", "b": "bias", "bias": "bias"}


def load_c3d(
    path: str | os.PathLike | None = None, mean: str | os.PathLike | None = None, sha256: str | None = None
) -> C3D:
    """C3D with the public UCF-101 weights, for `inception_score`.

    Args:
        path: `c3d_ucf101.flax`, Chainer's `conv3d_deepnetA_ucf.npz`, or a PyTorch file with layers of the same names;
            or an address, see `fetch`; None takes the environment variable MAGVIT_KERAS_C3D.
        mean: `mean2.npz`, the mean clip that Chainer's weights need beside them; None takes the environment variable
            MAGVIT_KERAS_C3D_MEAN. The authors' file holds it itself. From the web: `mean=fetch(url, sha256)`.
        sha256: of the first file; required with an address, verified with a path, too.

    Returns:
        A model (B, 16, H, W, 3) in [0, 1] -> (B, 101) logits. Its `weights_source` holds the checksums.

    Raises:
        FileNotFoundError: no such file; the message says where to get the weights.
        ValueError: other weights, another checksum, or no mean clip.

    Example:
        >>> logits = mk.convert.load_c3d("c3d_ucf101.flax").predict(clips)  # doctest: +SKIP
        >>> mk.metrics.inception_score(logits)  # doctest: +SKIP

    Reference:
        TGANv2 (arXiv 1811.09245); MAGVIT (arXiv 2212.05199), Table 1.
    """
    file = find(path, VARIABLE, "C3D", SOURCE, sha256)
    arrays = read_weights(file)
    mean = mean if mean is not None else os.environ.get(MEAN_VARIABLE)
    mean_file = None if mean is None else find(mean, MEAN_VARIABLE, "C3D's mean clip", SOURCE)
    model = C3D()
    load_c3d_arrays(model, arrays, None if mean_file is None else _mean_clip(read_weights(mean_file)))
    note_source(model, network=file, mean=mean_file)
    return model


def load_c3d_arrays(model: C3D, weights: Mapping[str, Any], mean: np.ndarray | None = None) -> None:
    """Copies weights under the authors', Chainer's or PyTorch's names, flat or nested, into a model.

    Args:
        model: a `C3D`.
        weights: name -> array; "conv1a/kernel", "conv1a/W" or "conv1a.weight".
        mean: the mean clip (3, frames, height, width), BGR, 0..255; cropped as Chainer's evaluation does, from 8. None
            if the weights hold an offset.

    Raises:
        ValueError: names are missing or left over, a shape differs, or there is no mean clip; nothing has been assigned
            then.
    """
    arrays: dict[str, np.ndarray] = {}
    offset = None
    for name, array in flat_names(weights).items():
        path = re.sub(r"^((params|state_dict|module|model)[./])+", "", name)
        layer, _, leaf = path.replace(".", "/").rpartition("/")
        if path == "x_offset":
            offset = array
        elif path.replace(".", "/") in ("mean/b", "mean/bias"):
            # Chainer's bias behind a kernel that takes pixels from [-1, 1] to [-128, 128].
            offset = _channels_last(array) - 128.0
        elif not path.startswith("pre"):  # Chainer's 1x1x1 that turns RGB into BGR: `C3D.preprocess` here
            if leaf in ("W", "weight"):
                array = array.transpose(2, 3, 4, 1, 0) if array.ndim == 5 else array.T
            arrays[f"{layer}/{_LEAVES.get(leaf, leaf)}"] = array
    if mean is not None:
        _, t, h, w = np.shape(mean)
        size = model.input_size
        if t != model.frames or min(h, w) < size:
            raise ValueError(
                f"The mean clip has the shape {np.shape(mean)}; expected (3, {model.frames}, {size}, {size})."
            )
        start = 8 if min(h, w) >= size + 8 else 0
        offset = -_channels_last(np.asarray(mean)[:, :, start : start + size, start : start + size])
    if offset is None:
        raise ValueError(
            "These weights of C3D hold no mean clip: give `mean`, the path of mean2.npz, or set the environment "
            f"variable {MEAN_VARIABLE}. Where to get it:\n{SOURCE}"
        )
    variables = {
        f"{name}/{leaf}": getattr(layer, leaf) for name, layer in model.parts.items() for leaf in ("kernel", "bias")
    }
    assign("C3D", {**variables, "offset": model.offset}, {**arrays, "offset": offset})


def _channels_last(clip: np.ndarray) -> np.ndarray:
    return np.asarray(clip).reshape(np.shape(clip)[-4:]).transpose(1, 2, 3, 0)


def _mean_clip(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(arrays) != 1:
        raise ValueError(f"The mean clip's file holds {sorted(arrays)}; expected one array, `mean`.")
    (clip,) = arrays.values()
    if clip.ndim not in (4, 5) or clip.shape[-4] != 3:
        raise ValueError(f"The mean clip has the shape {clip.shape}; expected (3, frames, height, width).")
    return clip.reshape(clip.shape[-4:])
