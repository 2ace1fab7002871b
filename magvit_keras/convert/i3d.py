"""The public weights of I3D, on which FVD is defined."""

import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.assign import assign
from magvit_keras.convert.metric_weights import find, flat_names, note_source, read_weights
from magvit_keras.metrics.i3d import BRANCHES, I3D

VARIABLE = "MAGVIT_KERAS_I3D"
SOURCE = """\
  gs://magvit/metrics/frechet_distance/i3d_k400.flax  the file of the MAGVIT authors
  tfhub.dev deepmind/i3d-kinetics-400/1               unpack the module and give the folder
  i3d_pretrained_400.pt of github.com/songweige/TATS  the same weights for PyTorch
  i3d_torchscript.pt of github.com/universome/stylegan-v  the same for TorchScript
All hold the same numbers. Others, such as piergiaj's rgb_imagenet.pt, give scores that do not compare."""

# piergiaj's names of the branches.
_BRANCHES = dict(zip(("b0", "b1a", "b1b", "b2a", "b2b", "b3b"), BRANCHES, strict=True))
_TORCH_LEAVES = {
    "conv3d.weight": "kernel",
    "bn.weight": "gamma",
    "bn.bias": "beta",
    "bn.running_mean": "moving_mean",
    "bn.running_var": "moving_variance",
}
# The names of the I3D for PyTorch that StyleGAN-V's file is made of, kinetics_i3d_pytorch; piergiaj's for each.
_SCRIPTED = {
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
}
_LEAVES = {"conv_3d/kernel": "kernel", "conv_3d/w": "kernel"}
_LEAVES |= {f"batch_norm/{leaf}": leaf for leaf in ("beta", "moving_mean", "moving_variance")}
_LOGITS = {"kernel": "kernel", "w": "kernel", "bias": "bias", "b": "bias"}


def load_i3d(
    path: str | os.PathLike | None = None, resize_rule: str = "tf1", crop: bool = False, sha256: str | None = None
) -> I3D:
    """I3D with the public Kinetics-400 weights, the features of FVD.

    Args:
        path: `i3d_k400.flax`, the folder of the TF-Hub module, TATS' `i3d_pretrained_400.pt`, StyleGAN-V's
            `i3d_torchscript.pt`, or an `.npz` of arrays under any of these names; or an address, see `fetch`; None
            takes the environment variable MAGVIT_KERAS_I3D.
        resize_rule: "tf1" for scores like the paper's, "half_pixel" for those of TATS, VideoGPT and StyleGAN-V.
        crop: for frames that are not square: False squeezes them, as the paper, TATS and StyleGAN-V do; True takes the
            middle, as VideoGPT does.
        sha256: of the file; required with an address, verified with a path, too.

    Returns:
        A model (B, T, H, W, 3) in [0, 1] -> (B, 400). Its `weights_source` holds the checksum of the file.

    Raises:
        FileNotFoundError: no such file; the message says where to get the weights.
        ValueError: other weights, or another checksum.

    Example:
        >>> network = mk.convert.load_i3d("i3d_k400.flax")  # doctest: +SKIP
        >>> mk.metrics.fvd(real, generated, network)  # doctest: +SKIP

    Reference:
        FVD (arXiv 1812.01717).
    """
    file = find(path, VARIABLE, "I3D", SOURCE, sha256)
    arrays = read_weights(file)
    model = I3D(resize_rule=resize_rule, crop=crop)
    load_i3d_arrays(model, arrays)
    note_source(model, network=file)
    return model


def load_i3d_arrays(model: I3D, weights: Mapping[str, Any]) -> None:
    """Copies weights under the authors', TF-Hub's, piergiaj's or StyleGAN-V's names, flat or nested, into a model.

    Raises:
        ValueError: names are missing or left over, a shape differs, or the normalizations have scales, which the
            weights of FVD do not; nothing has been assigned then.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, array in flat_names(weights).items():
        ours = _our_name(name)
        if ours is None:
            continue
        if ours.endswith("kernel") and ("conv3d.weight" in name):
            array = array.transpose(2, 3, 4, 1, 0)  # (O, I, T, H, W) there
        if ours.startswith("Logits/kernel"):
            array = array.reshape(array.shape[-2:])
        if ours.endswith("gamma"):
            if not np.allclose(array, 1):
                raise ValueError(
                    f"{name} is not 1 everywhere: these are not the weights of FVD, and scores would not compare. "
                    f"The right ones:\n{SOURCE}"
                )
            continue
        arrays[ours] = array if ours.endswith("kernel") else array.reshape(-1)
    assign("I3D", _variables(model), arrays)


def _variables(model: I3D) -> dict[str, keras.Variable]:
    """Names such as "Mixed_3b/Branch_1.Conv3d_0b_3x3/kernel" -> variable."""
    found = {"Logits/kernel": model.logits.kernel, "Logits/bias": model.logits.bias}
    for name, unit in model.units.items():
        found[f"{name}/kernel"] = unit.convolution.kernel
        for leaf in ("beta", "moving_mean", "moving_variance"):
            found[f"{name}/{leaf}"] = getattr(unit.norm, leaf)
    return found


def _our_name(name: str) -> str | None:
    """The name among `_variables`; None for counters and optimizer states; an unknown name as it is."""
    if name.endswith("num_batches_tracked") or re.search(r"(^|/)(global_step|save_counter)|\.OPTIMIZER_SLOT", name):
        return None
    if name.endswith((".weight", ".bias", ".running_mean", ".running_var")):
        return _from_torch(re.sub(r"^((state_dict|model_state_dict|module|model|i3d)[./])+", "", name))
    # TF-Hub: module/RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w
    path = re.sub(r"^(.*inception_i3d/|params/)", "", name).removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    path = re.sub(r"(Branch_\d|Logits)/", r"\1.", path)
    # DeepMind's code calls this unit of Mixed_5b by another name than in every other block.
    path = path.replace("Branch_2.Conv3d_0a_3x3", "Branch_2.Conv3d_0b_3x3")
    if match := re.fullmatch(r"Logits\.Conv3d_0c_1x1/conv_3d/(\w+)", path):
        return f"Logits/{_LOGITS.get(match[1], match[1])}"
    unit, _, leaf = path.rpartition("/conv_3d/") if "/conv_3d/" in path else path.rpartition("/batch_norm/")
    kind = "conv_3d" if "/conv_3d/" in path else "batch_norm"
    return f"{unit}/{_LEAVES[f'{kind}/{leaf}']}" if f"{kind}/{leaf}" in _LEAVES else name


def _from_torch(name: str) -> str:
    """piergiaj's "Mixed_3b.b1b.conv3d.weight", or StyleGAN-V's "mixed_3b.branch_1.1.conv3d.weight"."""
    if name.startswith(("conv3d_", "mixed_")):
        name = name.replace("conv3d_0c_1x1.", "logits.").replace(".batch3d.", ".bn.")
        block, _, rest = name.partition(".")
        for theirs, ours in _SCRIPTED.items():
            rest = re.sub(rf"^{re.escape(theirs)}\.", f"{ours}.", rest)
        name = f"{block.replace('conv3d_', 'Conv3d_').replace('mixed_', 'Mixed_')}.{rest}"
    if match := re.fullmatch(r"logits\.conv3d\.(weight|bias)", name):
        return "Logits/kernel" if match[1] == "weight" else "Logits/bias"
    unit, _, leaf = name.partition(".conv3d.") if ".conv3d." in name else name.partition(".bn.")
    leaf = f"conv3d.{leaf}" if ".conv3d." in name else f"bn.{leaf}"
    block, _, branch = unit.partition(".")
    if leaf not in _TORCH_LEAVES or (branch and branch not in _BRANCHES):
        return name
    return f"{block}/{_BRANCHES[branch]}/{_TORCH_LEAVES[leaf]}" if branch else f"{block}/{_TORCH_LEAVES[leaf]}"
