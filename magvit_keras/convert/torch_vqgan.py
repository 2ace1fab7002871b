"""Image tokenizers of the VQGAN family in PyTorch, taming-transformers' and LlamaGen's, as far as the shapes allow."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.convert.files.weight_files import read_state_dict
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import tokenizer_parts


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What happened to each parameter of a state dict.

    Attributes:
        copied: parameters of ours that are those of the source.
        changed: parameters of ours made from those of the source, and how.
        left_out: parameters of the source that found no place, and why.
        not_filled: parameters of ours that keep their initial values, and why.
    """

    copied: tuple[str, ...]
    changed: Mapping[str, str]
    left_out: Mapping[str, str]
    not_filled: Mapping[str, str]

    def __str__(self) -> str:
        """One line of counts, then the reasons with how many parameters each concerns."""
        lines = [
            f"{len(self.copied)} copied, {len(self.changed)} changed, {len(self.left_out)} left out, "
            f"{len(self.not_filled)} not filled"
        ]
        for title in ("changed", "left_out", "not_filled"):
            reasons = list(getattr(self, title).values())
            lines += [
                f"  {title.replace('_', ' ')} ({reasons.count(reason)}): {reason}" for reason in dict.fromkeys(reasons)
            ]
        return "\n".join(lines)


def load_torch_vqgan(source: str | os.PathLike | Mapping[str, Any]) -> tuple[ImageTokenizer, ConversionReport]:
    """An image tokenizer that starts from a VQGAN in PyTorch.

    The decoder comes over but for attention, the third block of each level and the biases inside blocks; the encoder
    loses its strided convolutions as well, and its last one, which is 3x3 there and 1x1 here. So this is a start for
    training or for inflation, not a tokenizer to use at once. Pixels in [-1, 1] there become [0, 1] here.

    Args:
        source: the path of a .ckpt, .pt or .safetensors file, or a state dict of arrays or tensors; with the levels
            "state_dict", "model" or "ema" around it or without. Nothing in the file is executed.

    Returns:
        The tokenizer, and a report of what was copied, changed, left out and not filled.

    Raises:
        ValueError: the parameters are those of neither layout.

    Example:
        >>> tokenizer, report = load_torch_vqgan("vq_ds8_c2i.pt")  # doctest: +SKIP
        >>> print(report)  # doctest: +SKIP

    Reference:
        Taming Transformers (arXiv 2012.09841); LlamaGen (arXiv 2406.06525).
    """
    state = _arrays(source if isinstance(source, Mapping) else read_state_dict(source))
    blocks = [name.split(".") for name in state if name.startswith("encoder.conv_blocks.")]
    names = {name: name for name in state}  # taming's name -> that of the source
    if blocks:
        names = {_llamagen_to_taming(name, 1 + max(int(parts[2]) for parts in blocks)): name for name in state}
        state = {name: state[source] for name, source in names.items()}
    tokenizer = ImageTokenizer(**_sizes(state), padding="same")
    made, made_of, changed = _translate(state, normalized=bool(blocks))
    left_out = {names[name]: _reason(name) for name in state if name not in set().union(*made_of.values())}
    not_filled, copied = {}, []
    for name, variable in tokenizer_parts(tokenizer).items():
        name = name.replace(":", "/")
        if name in made and made[name].shape == tuple(variable.shape):
            variable.assign(made.pop(name).astype("float32"))
            copied += [] if name in changed else [name]
        elif name.startswith("encoder/conv_out"):
            not_filled[name] = "the source has a 3x3 and a 1x1 convolution here"
        else:
            not_filled[name] = "the source has no parameter of this shape"
    for name in made:  # no place, or another shape
        changed.pop(name, None)
        left_out |= {names[source]: f"its shape is not that of {name}" for source in made_of[name]}
    return tokenizer, ConversionReport(tuple(copied), changed, left_out, not_filled)


def _arrays(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
    for level in ("state_dict", "model", "ema"):
        if isinstance(tree.get(level), Mapping):
            tree = tree[level]
    arrays = {}
    for name, value in tree.items():
        value = value.detach().float().cpu().numpy() if hasattr(value, "detach") else value
        if isinstance(value, np.ndarray):
            arrays[name.removeprefix("module.")] = value
    return arrays


def _llamagen_to_taming(name: str, levels: int) -> str:
    for index, part in enumerate(("block_1", "attn_1", "block_2")):
        name = re.sub(rf"^(encoder|decoder)\.mid\.{index}\.", rf"\1.mid.{part}.", name)
    name = re.sub(r"^encoder\.conv_blocks\.", "encoder.down.", name)
    # The decoder's list there begins with the deepest level.
    name = re.sub(r"^decoder\.conv_blocks\.(\d+)", lambda m: f"decoder.up.{levels - 1 - int(m[1])}", name)
    return re.sub(r"^(encoder\.down|decoder\.up)\.(\d+)\.res\.", r"\1.\2.block.", name)


def _sizes(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    try:
        filters = state["encoder.conv_in.weight"].shape[0]
        places = [re.match(r"encoder\.down\.(\d+)\.block\.(\d+)\.conv1\.weight$", name) for name in state]
        places = [(int(m[1]), int(m[2])) for m in places if m]
        levels, blocks = 1 + max(p[0] for p in places), 1 + max(p[1] for p in places)
        widths = [state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels)]
        codebook_size, embedding_dim = state["quantize.embedding.weight"].shape
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"This is neither the layout of taming-transformers nor that of LlamaGen: {error!r}. "
            f"Received {sorted(state)[:5]}..."
        ) from None
    return {
        "filters": filters,
        "channel_multipliers": tuple(width // filters for width in widths),
        "num_res_blocks": blocks,
        "embedding_dim": embedding_dim,
        "codebook_size": codebook_size,
    }


def _ours(name: str) -> str:
    """Our name of a parameter of taming's layout, or "" where we have no such layer."""
    leaf = {"weight": "kernel", "bias": "bias"}.get(name.rsplit(".", 1)[-1], "")
    rules = (
        (r"(encoder|decoder)\.(conv_in|conv_out)\.\w+$", r"\1/\2"),
        (r"(encoder|decoder)\.mid\.block_([12])\.(\w+)\.\w+$", lambda m: f"{m[1]}/bottleneck_{int(m[2]) - 1}/{m[3]}"),
        (r"(encoder|decoder)\.(?:down|up)\.(\d+)\.block\.(\d+)\.(\w+)\.\w+$", r"\1/level_\2_block_\3/\4"),
        (r"decoder\.up\.(\d+)\.upsample\.conv\.\w+$", r"decoder/conv_up_\1"),
        (r"(encoder|decoder)\.norm_out\.\w+$", r"\1/norm_out"),
    )
    for pattern, ours in rules:
        match = re.match(pattern, name)
        if match and leaf:
            part = ours(match) if callable(ours) else match.expand(ours)
            part = part.replace("nin_shortcut", "shortcut")
            part = re.sub(r"(conv|norm)([12])$", r"\1_\2", part)
            return f"{part}/{'scale' if 'norm' in part and leaf == 'kernel' else leaf}"
    return ""


def _translate(
    state: Mapping[str, np.ndarray], normalized: bool
) -> tuple[dict[str, np.ndarray], dict[str, set[str]], dict[str, str]]:
    """By our names: the values, the parameters of the source that they are made of, and how, where not copied."""
    made, made_of, changed = {}, {}, {}
    for name, value in state.items():
        ours = _ours(name)
        if ours and not _surplus(name, ours, _encoder_blocks(state)):
            made[ours] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value  # (out, in, k, k) -> (k, k, in, out)
            made_of[ours] = {name}
    made["quantizer/codebook"] = state["quantize.embedding.weight"]
    made_of["quantizer/codebook"] = {"quantize.embedding.weight"}
    if normalized:
        norm = np.linalg.norm(made["quantizer/codebook"], axis=-1, keepdims=True)
        made["quantizer/codebook"] = made["quantizer/codebook"] / np.maximum(norm, 1e-12)
        changed["quantizer/codebook"] = "codes scaled to length 1, as the source does before use"
    # x in [0, 1] enters as 2 x - 1; the constant would go into a bias that ours does not have.
    made["encoder/conv_in/kernel"] = made["encoder/conv_in/kernel"] * 2
    changed["encoder/conv_in/kernel"] = "doubled, for pixels in [0, 1]"
    made["decoder/conv_out/kernel"] = made["decoder/conv_out/kernel"] / 2
    made["decoder/conv_out/bias"] = (made["decoder/conv_out/bias"] + 1) / 2
    changed |= dict.fromkeys(("decoder/conv_out/kernel", "decoder/conv_out/bias"), "halved, for pixels in [0, 1]")
    if "post_quant_conv.weight" in state:
        inner = state["post_quant_conv.weight"][:, :, 0, 0]  # (z, D)
        kernel = made["decoder/conv_in/kernel"]  # (k, k, z, width)
        made["decoder/conv_in/kernel"] = np.einsum("zd,klzo->kldo", inner, kernel)
        bias = np.einsum("z,klzo->o", state["post_quant_conv.bias"], kernel)
        made["decoder/conv_in/bias"] = made["decoder/conv_in/bias"] + bias
        how = "the 1x1 convolution before it folded in (its bias exactly but for the outermost cells)"
        for part in ("kernel", "bias"):
            changed[f"decoder/conv_in/{part}"] = how
            made_of[f"decoder/conv_in/{part}"] |= {"post_quant_conv.weight", "post_quant_conv.bias"}
    return made, made_of, changed


def _surplus(name: str, ours: str, blocks: int) -> bool:
    """Whether the source has a parameter where ours has none, by design."""
    if re.search(r"/(conv_[12]|shortcut)/bias$", ours) or ours == "encoder/conv_in/bias":
        return True  # convolutions without bias
    if ours.startswith("encoder/conv_out"):
        return True  # 3x3 there, 1x1 here
    block = re.match(r"decoder\.up\.\d+\.block\.(\d+)\.", name)
    return block is not None and int(block[1]) >= blocks


def _encoder_blocks(state: Mapping[str, np.ndarray]) -> int:
    return sum(1 for name in state if re.match(r"encoder\.down\.0\.block\.\d+\.conv1\.weight$", name))


def _reason(name: str) -> str:
    """Why a parameter of the source has no place here."""
    if not name.startswith(("encoder.", "decoder.", "quant_conv.")):
        return "no part of encoder, quantizer or decoder"
    if ".attn" in name:
        return "attention: ours has none"
    if ".downsample." in name:
        return "strided convolution: ours halves by averaging"
    if name.startswith(("encoder.conv_out", "quant_conv")):
        return "3x3 and 1x1 convolutions in turn: ours is a single 1x1"
    if re.match(r"decoder\.up\.\d+\.block\.", name) and not name.endswith("bias"):
        return "the decoder has one block more in each level"
    if name.endswith("bias"):
        return "a bias where ours has none"
    return "ours has no such layer"
