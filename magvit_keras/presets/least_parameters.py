"""How many parameters a config asks for at least, counted before a model of it takes memory."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras


def least_parameters(cls: type, config: Mapping[str, Any]) -> int:
    """A lower bound that grows with every size in the config.

    Args:
        cls: a model class of this library.
        config: its constructor arguments, plain data; those left out have their defaults.

    Raises:
        ValueError: a size is no number.

    Example:
        >>> import magvit_keras as mk
        >>> config = {"filters": 32, "channel_multipliers": [1, 2], "temporal_downsample": [True]}
        >>> least_parameters(mk.VideoTokenizer, config) <= mk.VideoTokenizer(**config).count_params()
        True
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.default is not parameter.empty
    }
    try:
        return _COUNTS[cls.__name__](cls, {**defaults, **config}) if cls.__name__ in _COUNTS else 0
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"The sizes of this {cls.__name__} are no numbers: {error}") from None


def _tokenizer(cls: type, config: Mapping[str, Any]) -> int:
    widths = [config["filters"] * multiplier for multiplier in config["channel_multipliers"]]
    # In encoder and decoder: two convolutions a block, of which all but the first keep the width of their level.
    blocks = config["num_res_blocks"]
    pair = blocks if isinstance(blocks, list | tuple) else (blocks, blocks)
    count = 3**cls.rank * sum((2 * n - 1) * sum(width**2 for width in widths) + 2 * n * widths[-1] ** 2 for n in pair)
    if config["quantizer"] in ("vq", "vq_ema"):
        count += (config["codebook_size"] or 1024) * (config["embedding_dim"] or 256)
    return count


def _discriminator(cls: type, config: Mapping[str, Any]) -> int:
    sizes = config["video_shape" if cls.rank == 3 else "image_shape"]
    widths = [config["filters"] * multiplier for multiplier in config["channel_multipliers"]]
    cells = math.prod(-(-size // 2 ** len(widths)) for size in sizes)  # what is left after a halving in each block
    between = sum(3**cls.rank * a * b for a, b in zip([config["filters"], *widths], widths, strict=False))
    return between + (3**cls.rank + cells) * widths[-1] ** 2


def _transformer(cls: type, config: Mapping[str, Any]) -> int:
    width = config["hidden_size"]
    rows = sum(config["codebook_factors"] or [config["codebook_size"]]) + config["num_classes"]
    rows += config["num_special_tokens"] + config["num_segments"] + math.prod(config["latent_shape"])
    return width * (rows + config["prefix_length"]) + config["num_layers"] * width * (4 * width + 2 * config["mlp_dim"])


def _magvit(cls: type, config: Mapping[str, Any]) -> int:
    count = 0
    for name in ("tokenizer", "transformer"):
        part = config[name]
        part_class = keras.saving.get_registered_object(part.get("registered_name") or part["class_name"])
        count += least_parameters(part_class, part["config"])
    return count


_COUNTS: dict[str, Callable[[type, Mapping[str, Any]], int]] = {
    "VideoTokenizer": _tokenizer,
    "ImageTokenizer": _tokenizer,
    "VideoDiscriminator": _discriminator,
    "ImageDiscriminator": _discriminator,
    "MaskedTransformer": _transformer,
    "Magvit": _magvit,
}
