"""The encoder of the 3D-VQ and of the 2D-VQ (Sec. 3.1, Fig. 8)."""

import functools
import math
from typing import Any

import keras

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.rematerialized import check_remat, run_block, run_level
from magvit_keras.layers.resampling import downsample
from magvit_keras.layers.residual_block import ResidualBlock, check_shortcut, normalized_convolution
from magvit_keras.layers.wavelet import check_wavelet, fold


def halved_axes(level: int, rank: int, temporal_downsample: tuple[bool, ...]) -> tuple[bool, ...]:
    """Which axes are halved after that level: always height and width, time where asked."""
    time = (bool(temporal_downsample[level]),) if rank == 3 else ()
    return (*time, True, True)


class Coder(keras.layers.Layer):
    """What encoder and decoder are made of.

    Args:
        filters: base width.
        channel_multipliers: width of each level in units of `filters`; one halving between two levels.
        temporal_downsample: whether time is halved after each level but the last.
        num_res_blocks: residual blocks in each level, and again at the bottleneck.
        rank: 3 for clips, 2 for frames.
        padding: of the convolutions.
        shortcut: of the residual blocks, "input" or "output".
        norm_groups: groups of the normalizations.
        remat: one of `layers.rematerialized.REMATS`.
        wavelet: cells of the blocks of pixels that are the channels of the first level, or None.
    """

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 4),
        temporal_downsample: tuple[bool, ...] = (True, True, False),
        num_res_blocks: int = 2,
        rank: int = 3,
        padding: str = "reflect",
        shortcut: str = "input",
        norm_groups: int = 32,
        remat: str = "none",
        wavelet: tuple[int, ...] | None = None,
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
        self.wavelet = check_wavelet(wavelet, rank)
        self._options = {"rank": rank, "padding": padding, "dtype": self.dtype_policy}

    def res_blocks(self, name: str, width: int) -> list[ResidualBlock]:
        """The residual blocks of a level, or of the bottleneck."""
        options = {**self._options, "shortcut": self.shortcut, "norm_groups": self.norm_groups}
        return [ResidualBlock(width, name=f"{name}_{i}", **options) for i in range(self.num_res_blocks)]

    @property
    def block(self) -> tuple[int, ...]:
        """How many cells of pixels along each axis share a latent."""
        cells = list(self.wavelet or (1,) * self.rank)
        for level in range(len(self.channel_multipliers) - 1):
            halved = halved_axes(level, self.rank, self.temporal_downsample)
            cells = [n * 2 if half else n for n, half in zip(cells, halved, strict=True)]
        return tuple(cells)

    def linear(self, width: int) -> Convolution | None:
        """With a wavelet, what maps the pixels of a latent to the latent, or back, beside the convolutions."""
        options = {**self._options, "use_bias": False}
        return None if self.wavelet is None else Convolution(width, 1, name="shortcut", **options)

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("filters", "num_res_blocks", "rank", "padding", "shortcut", "norm_groups", "remat", "wavelet")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "channel_multipliers": list(self.channel_multipliers),
            "temporal_downsample": list(self.temporal_downsample),
        }


@keras.saving.register_keras_serializable("magvit_keras")
class Encoder(Coder):
    """Pixels to latents: residual blocks by level, average pooling between levels.

    With a wavelet, the blocks of pixels of which each latent is made reach it in two ways, whose sum it is: through
    the residual blocks, which begin at zero, and by one matrix.

    Args:
        embedding_dim: width of the latents D.
        **options: of `Coder`.
    """

    def __init__(self, embedding_dim: int = 256, **options: Any):
        super().__init__(**options)
        self.embedding_dim = embedding_dim
        size, kernels = (3, "lecun_normal") if self.wavelet is None else (1, "zeros")
        self.conv_in = Convolution(self.filters, size, use_bias=False, name="conv_in", **self._options)
        self.levels = [
            self.res_blocks(f"level_{level}_block", self.filters * multiplier)
            for level, multiplier in enumerate(self.channel_multipliers)
        ]
        self.bottleneck = self.res_blocks("bottleneck", self.filters * self.channel_multipliers[-1])
        self.norm_out = GroupNorm(self.norm_groups, dtype=self.dtype_policy, name="norm_out")
        self.conv_out = Convolution(embedding_dim, 1, kernel_initializer=kernels, name="conv_out", **self._options)
        self.shortcut_conv = self.linear(embedding_dim)

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All residual blocks in the order in which they run."""
        return [*(block for level in self.levels for block in level), *self.bottleneck]

    def build(self, input_shape: tuple) -> None:
        """Builds every part; only the channels of `input_shape` matter."""
        shape = (None,) * (self.rank + 1)
        self.conv_in.build((*shape, input_shape[-1] * math.prod(self.wavelet or (1,))))
        width = self.filters
        for block in self.blocks:
            block.build((*shape, width))
            width = block.filters
        self.norm_out.build((*shape, width))
        self.conv_out.build((*shape, width))
        if self.shortcut_conv is not None:
            self.shortcut_conv.build((*shape, input_shape[-1] * math.prod(self.block)))

    def call(self, x: Any) -> Any:
        """Pixels (B, T, H, W, 3) -> latents (B, t, h, w, D); without T and t at rank 2."""
        if self.wavelet is None:
            return self._levels(x)
        x = x - 0.5
        return self._levels(fold(x, self.wavelet)) + self.shortcut_conv(fold(x, self.block))

    def _levels(self, x: Any) -> Any:
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
        sizes = [n if n is None else -(-n // by) for n, by in zip(input_shape[1:-1], self.block, strict=True)]
        return (input_shape[0], *sizes, self.embedding_dim)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "embedding_dim": self.embedding_dim}
