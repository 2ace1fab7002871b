"""MaskGIT's published image tokenizer, the public 2D start for inflation that fits best (Table 7)."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.convert.files.flax_files import read_msgpack
from magvit_keras.convert.flax import flatten, load_flax_params
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer


def load_maskgit_tokenizer(source: str | os.PathLike | Mapping[str, Any]) -> ImageTokenizer:
    """The image tokenizer of a MaskGIT checkpoint, with its weights.

    The sizes are read off the arrays: 128 filters and (1, 1, 2, 2, 4) for the published ImageNet tokenizers. Where the
    width changes, the authors' 1x1 shortcut reads the output of the block's convolutions and not its input; weights
    trained so need `ImageTokenizer(shortcut="output")`, which this function chooses from their shapes. Inflate it into
    `VideoTokenizer(filters=128, shortcut="output", padding="same")`.

    Args:
        source: the path of the checkpoint (Flax MessagePack), or its parameters, nested or flat.

    Returns:
        The tokenizer, zero padded as it was trained.

    Raises:
        ValueError: the file or the parameters are not those of such a tokenizer.

    Example:
        >>> image_tokenizer = load_maskgit_tokenizer("tokenizer_imagenet256_checkpoint")  # doctest: +SKIP
        >>> inflate(image_tokenizer, VideoTokenizer(128, padding="same", shortcut="output"))  # doctest: +SKIP

    Reference:
        MaskGIT (arXiv 2202.04200) and its released checkpoints.
    """
    params = source if isinstance(source, Mapping) else read_msgpack(source)
    flat = flatten({"params": params["params"]} if "params" in params else params)
    tokenizer = ImageTokenizer(**image_tokenizer_sizes(flat), padding="same")
    load_flax_params(tokenizer, flat)
    return tokenizer


def image_tokenizer_sizes(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Constructor arguments of the `ImageTokenizer` that has parameters of these shapes.

    Args:
        flat: {"encoder/Conv_0/kernel": array, ...}.

    Raises:
        ValueError: parameters are missing that every image tokenizer has.
    """
    try:
        filters = flat["encoder/Conv_0/kernel"].shape[-1]
        levels = _count(flat, "decoder/Conv_") - 1  # one in, one out, one between two levels
        # In each level, and at the bottleneck.
        blocks = tuple(_count(flat, f"{coder}/ResBlock_") // (levels + 1) for coder in ("encoder", "decoder"))
        widths = [flat[f"encoder/ResBlock_{level * blocks[0]}/Conv_0/kernel"].shape[-1] for level in range(levels)]
        codebook_size, embedding_dim = flat["quantizer/codebook"].shape
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"These are not the parameters of MaskGIT's tokenizer: {error!r}. Expected encoder/Conv_0/kernel, "
            f"decoder/Conv_i, encoder/ResBlock_i and quantizer/codebook; received {sorted(flat)[:5]}..."
        ) from None
    shortcuts = {
        value.shape[-2:] for path, value in flat.items() if path.endswith("Conv_2/kernel") and "ResBlock" in path
    }
    return {
        "filters": filters,
        "channel_multipliers": tuple(width // filters for width in widths),
        "num_res_blocks": blocks[0] if blocks[0] == blocks[1] else blocks,
        "embedding_dim": embedding_dim,
        "codebook_size": codebook_size,
        "shortcut": "output" if shortcuts and all(a == b for a, b in shortcuts) else "input",
    }


def _count(flat: Mapping[str, Any], prefix: str) -> int:
    numbers = {int(path.removeprefix(prefix).split("/")[0]) for path in flat if path.startswith(prefix)}
    return len(numbers)
