"""The decoder of the 3D-VQ and of the 2D-VQ (Sec. 3.1, Fig. 8)."""

import functools
import math
from typing import Any

import keras

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.rematerialized import run_block, run_level
from magvit_keras.layers.residual_block import ResidualBlock, normalized_convolution
from magvit_keras.layers.wavelet import unfold
from magvit_keras.tokenizer.encoder import Coder, halved_axes


@keras.saving.register_keras_serializable("magvit_keras")
class Decoder(Coder):
    """Latents to pixels: the levels of the encoder in reverse, nearest upsampling and a convolution between them.

    With a wavelet, the latent of a block of pixels also reaches it by one matrix, as in the encoder.

    Args:
        channels: of the output.
        **options: of `Coder`.
    """

    def __init__(self, channels: int = 3, **options: Any):
        super().__init__(**options)
        self.channels = channels
        width = self.filters * self.channel_multipliers[-1]
        self.conv_in = Convolution(width, 3, name="conv_in", **self._options)
        self.bottleneck = self.res_blocks("bottleneck", width)
        self.levels, self.conv_up = [], []  # deepest level first; conv_up[i] follows levels[i]
        for level in reversed(range(len(self.channel_multipliers))):
            width = self.filters * self.channel_multipliers[level]
            self.levels.append(self.res_blocks(f"level_{level}_block", width))
            if level > 0:
                self.conv_up.append(Convolution(width, 3, name=f"conv_up_{level}", **self._options))
        self.norm_out = GroupNorm(self.norm_groups, dtype=self.dtype_policy, name="norm_out")
        size, kernels = (3, "lecun_normal") if self.wavelet is None else (1, "zeros")
        folded = channels * math.prod(self.wavelet or (1,))
        self.conv_out = Convolution(folded, size, kernel_initializer=kernels, name="conv_out", **self._options)
        self.shortcut_conv = self.linear(channels * math.prod(self.block))

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
        if self.shortcut_conv is not None:
            self.shortcut_conv.build((*shape, input_shape[-1]))

    def call(self, x: Any) -> Any:
        """Latents (B, t, h, w, D) -> pixels (B, T, H, W, 3), not clipped; without t and T at rank 2."""
        if self.wavelet is None:
            return self._levels(x)
        return unfold(self._levels(x), self.wavelet) + unfold(self.shortcut_conv(x), self.block) + 0.5

    def _levels(self, x: Any) -> Any:
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
        sizes = [n if n is None else n * by for n, by in zip(input_shape[1:-1], self.block, strict=True)]
        return (input_shape[0], *sizes, self.channels)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "channels": self.channels}
