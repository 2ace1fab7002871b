"""Names that the official Flax code gives to the parameters of a tokenizer."""

import keras

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.residual_block import ResidualBlock
from magvit_keras.tokenizer.decoder import Decoder
from magvit_keras.tokenizer.encoder import Encoder


def tokenizer_paths(tokenizer: keras.Model) -> dict[str, keras.Variable]:
    """Flax path -> variable, for every variable of the encoder, the quantizer and the decoder."""
    return {
        **{f"encoder/{path}": v for path, v in coder_paths(tokenizer.encoder).items()},
        "quantizer/codebook": tokenizer.quantizer.codebook,
        **{f"decoder/{path}": v for path, v in coder_paths(tokenizer.decoder).items()},
    }


def coder_paths(coder: Encoder | Decoder) -> dict[str, keras.Variable]:
    """Flax numbers the layers of each kind in the order in which they run."""
    between = coder.conv_up if isinstance(coder, Decoder) else []
    paths = {}
    for i, conv in enumerate([coder.conv_in, *between, coder.conv_out]):
        paths.update(convolution_paths(f"Conv_{i}", conv))
    for i, block in enumerate(coder.blocks):
        paths.update(_block(f"ResBlock_{i}", block))
    paths.update(norm_paths("GroupNorm_0", coder.norm_out))
    return paths


def _block(path: str, block: ResidualBlock) -> dict[str, keras.Variable]:
    paths = {
        **norm_paths(f"{path}/GroupNorm_0", block.norm_1),
        **convolution_paths(f"{path}/Conv_0", block.conv_1),
        **norm_paths(f"{path}/GroupNorm_1", block.norm_2),
        **convolution_paths(f"{path}/Conv_1", block.conv_2),
    }
    return paths if block.shortcut is None else {**paths, **convolution_paths(f"{path}/Conv_2", block.shortcut)}


def convolution_paths(path: str, conv: Convolution) -> dict[str, keras.Variable]:
    """Flax path -> variable of a convolution, with its bias where it has one."""
    paths = {f"{path}/kernel": conv.kernel}
    return paths if conv.bias is None else {**paths, f"{path}/bias": conv.bias}


def norm_paths(path: str, norm: GroupNorm) -> dict[str, keras.Variable]:
    """Flax path -> variable of a group normalization."""
    return {f"{path}/scale": norm.scale, f"{path}/bias": norm.bias}
