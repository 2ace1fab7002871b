"""The decoder of the 3D-VQ and of the 2D-VQ (Sec. 3.1, Fig. 8)."""

import functools
from typing import Any

import keras

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.rematerialized import check_remat, run_block, run_level
from magvit_keras.layers.residual_block import ResidualBlock, check_shortcut, normalized_convolution
from magvit_keras.tokenizer.encoder import halved_axes


@keras.saving.register_keras_serializable("magvit_keras")
class Decoder(keras.layers.Layer):
    """Latents to pixels: the levels of the encoder in reverse, nearest upsampling and a convolution between them.

    Args:
        filters: base width.
        channel_multipliers: as in the encoder, shallowest level first.
        temporal_downsample: as in the encoder.
        num_res_blocks: residual blocks at the bottleneck, and in each level.
        rank: 3 for clips, 2 for frames.
        padding: of the convolutions.
        channels: of the output.
        shortcut: of the residual blocks, "input" or "output".
        norm_groups: groups of the normalizations.
        remat: one of `layers.rematerialized.REMATS`.
    """

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 4),
        temporal_downsample: tuple[bool, ...] = (True, True, False),
        num_res_blocks: int = 2,
        rank: int = 3,
        padding: str = "reflect",
        channels: int = 3,
        shortcut: str = "input",
        norm_groups: int = 32,
        remat: str = "none",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.channel_multipliers = tuple(channel_multipliers)
        self.temporal_downsample = tuple(temporal_downsample)
        self.num_res_blocks = num_res_blocks
        self.rank = rank
        self.padding = padding
        self.shortcut = check_shortcut(shortcut)
        self.norm_groups = norm_groups
        self.remat = check_remat(remat)
        self.channels = channels
        options = {"rank": rank, "padding": padding, "dtype": self.dtype_policy}
        block_options = {**options, "shortcut": shortcut, "norm_groups": norm_groups}
        width = filters * self.channel_multipliers[-1]
        self.conv_in = Convolution(width, 3, name="conv_in", **options)
        self.bottleneck = [ResidualBlock(width, name=f"bottleneck_{i}", **block_options) for i in range(num_res_blocks)]
        self.levels, self.conv_up = [], []  # deepest level first; conv_up[i] follows levels[i]
        for level in reversed(range(len(self.channel_multipliers))):
            width = filters * self.channel_multipliers[level]
            self.levels.append(
                [ResidualBlock(width, name=f"level_{level}_block_{i}", **block_options) for i in range(num_res_blocks)]
            )
            if level > 0:
                self.conv_up.append(Convolution(width, 3, name=f"conv_up_{level}", **options))
        self.norm_out = GroupNorm(norm_groups, dtype=self.dtype_policy, name="norm_out")
        self.conv_out = Convolution(channels, 3, name="conv_out", **options)

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All residual blocks in the order in which they run."""
        return [*self.bottleneck, *(block for level in self.levels for block in level)]

    def build(self, input_shape: tuple) -> None:
        """Builds every part; only the channels of `input_shape` matter."""
        shape = (None,) * (self.rank + 1)
        self.conv_in.build((*shape, input_shape[-1]))
        width = self.conv_in.filters
        for block in self.blocks:
            block.build((*shape, width))
            width = block.filters
        for conv in self.conv_up:
            conv.build((*shape, conv.filters))
        self.norm_out.build((*shape, width))
        self.conv_out.build((*shape, width))

    def call(self, x: Any) -> Any:
        """Latents (B, t, h, w, D) -> pixels (B, T, H, W, 3), not clipped; without t and T at rank 2."""
        last = len(self.levels) - 1
        for i, blocks in enumerate(self.levels):
            first_layers = [self.conv_in, *self.bottleneck] if i == 0 else []
            last_layers = [self.norm_out, self.conv_out] if i == last else [self.conv_up[i]]
            run = functools.partial(self._level, i)
            x = run_level(self.remat, run, [*first_layers, *blocks, *last_layers], x)
        return x

    def _level(self, i: int, x: Any) -> Any:
        """A level, `levels[i]`, with what comes before the first, after the last, or between two."""
        if i == 0:
            x = self.conv_in(x)
            for block in self.bottleneck:
                x = run_block(self.remat, block, x)
        for block in self.levels[i]:
            x = run_block(self.remat, block, x)
        if i < len(self.conv_up):
            level = len(self.levels) - 1 - i
            return self.conv_up[i](x, double=halved_axes(level - 1, self.rank, self.temporal_downsample))
        return normalized_convolution(self.norm_out, self.conv_out, x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Each halving of the encoder is undone."""
        sizes = list(input_shape[1:-1])
        for level in range(len(self.channel_multipliers) - 1):
            double = halved_axes(level, self.rank, self.temporal_downsample)
            sizes = [s if s is None or not d else 2 * s for s, d in zip(sizes, double, strict=True)]
        return (input_shape[0], *sizes, self.channels)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "channel_multipliers": list(self.channel_multipliers),
            "temporal_downsample": list(self.temporal_downsample),
            "num_res_blocks": self.num_res_blocks,
            "rank": self.rank,
            "padding": self.padding,
            "shortcut": self.shortcut,
            "norm_groups": self.norm_groups,
            "remat": self.remat,
            "channels": self.channels,
        }
