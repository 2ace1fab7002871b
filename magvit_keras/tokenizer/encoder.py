"""The encoder of the 3D-VQ and of the 2D-VQ (Sec. 3.1, Fig. 8)."""

import functools
from typing import Any

import keras

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.rematerialized import check_remat, run_block, run_level
from magvit_keras.layers.resampling import downsample
from magvit_keras.layers.residual_block import ResidualBlock, check_shortcut, normalized_convolution


def halved_axes(level: int, rank: int, temporal_downsample: tuple[bool, ...]) -> tuple[bool, ...]:
    """Which axes are halved after that level: always height and width, time where asked."""
    time = (bool(temporal_downsample[level]),) if rank == 3 else ()
    return (*time, True, True)


@keras.saving.register_keras_serializable("magvit_keras")
class Encoder(keras.layers.Layer):
    """Pixels to latents: residual blocks by level, average pooling between levels.

    Args:
        filters: base width.
        channel_multipliers: width of each level in units of `filters`; one halving between two levels.
        temporal_downsample: whether time is halved after each level but the last.
        num_res_blocks: residual blocks in each level, and again at the bottleneck.
        embedding_dim: width of the latents D.
        rank: 3 for clips, 2 for frames.
        padding: of the convolutions.
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
        embedding_dim: int = 256,
        rank: int = 3,
        padding: str = "reflect",
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
        self.embedding_dim = embedding_dim
        self.rank = rank
        self.padding = padding
        self.shortcut = check_shortcut(shortcut)
        self.norm_groups = norm_groups
        self.remat = check_remat(remat)
        options = {"rank": rank, "padding": padding, "dtype": self.dtype_policy}
        block_options = {**options, "shortcut": shortcut, "norm_groups": norm_groups}
        self.conv_in = Convolution(filters, 3, use_bias=False, name="conv_in", **options)
        self.levels = []
        for level, multiplier in enumerate(self.channel_multipliers):
            width = filters * multiplier
            self.levels.append(
                [ResidualBlock(width, name=f"level_{level}_block_{i}", **block_options) for i in range(num_res_blocks)]
            )
        self.bottleneck = [ResidualBlock(width, name=f"bottleneck_{i}", **block_options) for i in range(num_res_blocks)]
        self.norm_out = GroupNorm(norm_groups, dtype=self.dtype_policy, name="norm_out")
        self.conv_out = Convolution(embedding_dim, 1, name="conv_out", **options)

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All residual blocks in the order in which they run."""
        return [*(block for level in self.levels for block in level), *self.bottleneck]

    def build(self, input_shape: tuple) -> None:
        """Builds every part; only the channels of `input_shape` matter."""
        shape = (None,) * (self.rank + 1)
        self.conv_in.build((*shape, input_shape[-1]))
        width = self.filters
        for block in self.blocks:
            block.build((*shape, width))
            width = block.filters
        self.norm_out.build((*shape, width))
        self.conv_out.build((*shape, width))

    def call(self, x: Any) -> Any:
        """Pixels (B, T, H, W, 3) -> latents (B, t, h, w, D); without T and t at rank 2."""
        last = len(self.levels) - 1
        for level, blocks in enumerate(self.levels):
            first_layers = [self.conv_in] if level == 0 else []
            last_layers = [*self.bottleneck, self.norm_out, self.conv_out] if level == last else []
            run = functools.partial(self._level, level)
            x = run_level(self.remat, run, [*first_layers, *blocks, *last_layers], x)
        return x

    def _level(self, level: int, x: Any) -> Any:
        """A level with what comes before the first, after the last, or between two."""
        x = self.conv_in(x) if level == 0 else x
        for block in self.levels[level]:
            x = run_block(self.remat, block, x)
        if level < len(self.levels) - 1:
            return downsample(x, halved_axes(level, self.rank, self.temporal_downsample))
        for block in self.bottleneck:
            x = run_block(self.remat, block, x)
        return normalized_convolution(self.norm_out, self.conv_out, x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Each halved axis is rounded up."""
        sizes = list(input_shape[1:-1])
        for level in range(len(self.channel_multipliers) - 1):
            halve = halved_axes(level, self.rank, self.temporal_downsample)
            sizes = [s if s is None or not h else -(-s // 2) for s, h in zip(sizes, halve, strict=True)]
        return (input_shape[0], *sizes, self.embedding_dim)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "channel_multipliers": list(self.channel_multipliers),
            "temporal_downsample": list(self.temporal_downsample),
            "num_res_blocks": self.num_res_blocks,
            "embedding_dim": self.embedding_dim,
            "rank": self.rank,
            "padding": self.padding,
            "shortcut": self.shortcut,
            "norm_groups": self.norm_groups,
            "remat": self.remat,
        }
