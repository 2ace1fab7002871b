"""The discriminators of the tokenizers' adversarial training (Sec. 3.1): StyleGAN's, over clips or frames."""

from typing import Any, ClassVar

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.backend import SavedWhole
from magvit_keras.checks import EXCURSION, check_array, check_positive, check_range, to_float
from magvit_keras.layers.blur_pool import blur_pool
from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.padding import check_padding
from magvit_keras.layers.rematerialized import check_remat, run_block, run_level
from magvit_keras.layers.resampling import downsample
from magvit_keras.presets.discriminators import IMAGE_DISCRIMINATORS, VIDEO_DISCRIMINATORS
from magvit_keras.presets.preset_mixin import PresetMixin

#: Averages pairs of cells (the paper's models), or blurs with 1, 3, 3, 1 before halving (StyleGAN's).
RESAMPLINGS = ("average", "blur")


def leaky_relu(x: Any) -> Any:
    """The activation of the discriminator: slope 0.2 below zero."""
    return ops.leaky_relu(x, negative_slope=0.2)


@keras.saving.register_keras_serializable("magvit_keras")
class DiscriminatorBlock(keras.layers.Layer):
    """Two convolutions with a halving of every axis between them, and a 1x1 convolution as the shortcut.

    Args:
        filters: width of the output.
        rank: 3 for clips, 2 for frames.
        padding: of the convolutions.
        resampling: one of `RESAMPLINGS`.
    """

    def __init__(self, filters: int, rank: int = 3, padding: str = "same", resampling: str = "average", **kwargs: Any):
        if resampling not in RESAMPLINGS:
            raise ValueError(f"Unknown resampling {resampling!r}; expected one of {', '.join(RESAMPLINGS)}.")
        super().__init__(**kwargs)
        self.filters = filters
        self.rank = rank
        self.padding = check_padding(padding)
        self.resampling = resampling

    def build(self, input_shape: tuple) -> None:
        """Builds the three convolutions; the first keeps the width of the input."""
        options = _convolution_options(self)
        self.conv_1 = Convolution(input_shape[-1], 3, name="conv_1", **options)
        self.conv_2 = Convolution(self.filters, 3, name="conv_2", **options)
        self.shortcut = Convolution(self.filters, 1, use_bias=False, name="shortcut", **options)
        for conv in (self.conv_1, self.conv_2, self.shortcut):
            conv.build(input_shape)

    def _halve(self, x: Any) -> Any:
        return blur_pool(x) if self.resampling == "blur" else downsample(x, (True,) * self.rank)

    def call(self, x: Any) -> Any:
        """(B, ..., in) -> (B, ... halved, filters)."""
        residual = self._halve(leaky_relu(self.conv_1(x)))
        residual = leaky_relu(self.conv_2(residual))
        return (residual + self.shortcut(self._halve(x))) / 2**0.5  # the sum keeps the variance of its terms

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Each axis is halved, rounded up."""
        sizes = [None if s is None else -(-s // 2) for s in input_shape[1:-1]]
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "rank": self.rank,
            "padding": self.padding,
            "resampling": self.resampling,
        }


class StyleGANDiscriminator(PresetMixin, SavedWhole, keras.Model):
    """What `VideoDiscriminator` and `ImageDiscriminator` share; `rank` tells them apart."""

    rank: int

    _used_trained: ClassVar = False

    def __init__(
        self,
        filters: int,
        channel_multipliers: tuple[int, ...],
        input_size: tuple[int, ...],
        padding: str,
        resampling: str,
        remat: str,
        **kwargs: Any,
    ):
        if len(input_size) != self.rank:
            raise ValueError(f"The size of the input needs {self.rank} entries; received {tuple(input_size)}.")
        if not channel_multipliers:
            raise ValueError("channel_multipliers needs an entry for each block; received none.")
        check_positive(filters=filters, **{f"entry {i} of the input size": s for i, s in enumerate(input_size)})
        super().__init__(**kwargs)
        self.filters = filters
        self.channel_multipliers = tuple(channel_multipliers)
        self.input_size = tuple(int(size) for size in input_size)
        self.padding = check_padding(padding)
        self.resampling = resampling
        self.remat = check_remat(remat)
        options = _convolution_options(self)
        width = filters * self.channel_multipliers[-1]
        self.conv_in = Convolution(filters, 3, name="conv_in", **options)
        self.blocks = [
            DiscriminatorBlock(
                filters * multiplier,
                rank=self.rank,
                padding=padding,
                resampling=resampling,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i, multiplier in enumerate(self.channel_multipliers)
        ]
        self.conv_out = Convolution(width, 3, name="conv_out", **options)
        self.dense = keras.layers.Dense(width, dtype=self.dtype_policy, name="dense")
        self.logit = keras.layers.Dense(1, dtype=self.dtype_policy, name="logit")
        self.build((None, *self.input_size, 3))

    def build(self, input_shape: tuple) -> None:
        """Makes all weights; those of the first dense layer depend on the size of the input."""
        if self.conv_in.built:
            return
        shape = (None, *self.input_size, 3)
        for layer in (self.conv_in, *self.blocks, self.conv_out):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        cells = 1
        for size in shape[1:]:
            cells *= size
        self.dense.build((None, cells))
        self.logit.build((None, self.dense.units))
        self.built = True

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`call`, of an array: Keras would say of a list that it is no tensor."""
        check_array(x, "x", "pixels")
        return super().__call__(x, *args, **kwargs)

    def call(self, x: Any, training: bool = False) -> Any:
        """Logits (B, 1) float32, positive where uint8 pixels, or floats in [0, 1], look real; ValueError for others."""
        if not backend.is_traced(x):
            check_range(x, "x", EXCURSION)
        return self.logits(to_float(x))

    def logits(self, x: Any) -> Any:
        """`call` without its check: pixels in [0, 1], also what a decoder puts a little outside."""
        if tuple(x.shape[1:]) != (*self.input_size, 3):
            raise ValueError(
                f"This {type(self).__name__} takes (batch, {', '.join(map(str, self.input_size))}, 3); received "
                f"the shape {tuple(x.shape)}. Its dense layer fixes the size: make one for the size of your data."
            )
        x = run_level(self.remat, self._features, [self.conv_in, *self.blocks, self.conv_out], x)
        x = ops.reshape(x, (ops.shape(x)[0], -1))  # (B, cells * C)
        return ops.cast(self.logit(leaky_relu(self.dense(x))), "float32")  # (B, 1)

    def _features(self, x: Any) -> Any:
        """Pixels -> (B, ..., C)."""
        x = leaky_relu(self.conv_in(x))
        for block in self.blocks:
            x = run_block(self.remat, block, x)
        return leaky_relu(self.conv_out(x))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """One logit for each input."""
        return (*input_shape[: -1 - self.rank], 1)

    def get_config(self) -> dict:
        """Every constructor argument that the two share."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "channel_multipliers": list(self.channel_multipliers),
            "padding": self.padding,
            "resampling": self.resampling,
            "remat": self.remat,
        }


@keras.saving.register_keras_serializable("magvit_keras")
class VideoDiscriminator(StyleGANDiscriminator):
    """Tells real clips from reconstructed ones: StyleGAN's residual discriminator with 3D convolutions.

    Every operation has a second derivative on every backend, as the R1 penalty asks.

    Args:
        filters: base width.
        channel_multipliers: width of each block in units of `filters`; each halves time, height and width until
            they are 1.
        video_shape: (T, H, W) of the clips; the last layers depend on it.
        padding: of the convolutions; "same" (zeros) in the authors' models, or another of the tokenizer's.
        resampling: "average" (the authors' models) or "blur", a low-pass filter before each halving.
        remat: activations that training keeps: "none" keeps all, "blocks" computes those within the blocks again for
            the gradients, "full" all of them; R1's gradient of a gradient included.

    Raises:
        ValueError: an argument or a clip does not fit.

    Example:
        >>> discriminator = VideoDiscriminator(filters=8, channel_multipliers=(2, 4), video_shape=(4, 16, 16))
        >>> discriminator(np.zeros((2, 4, 16, 16, 3), "float32")).shape
        (2, 1)

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.1 and appendix A; StyleGAN2 (arXiv 1912.04958).
    """

    rank = 3
    presets: ClassVar = {name: entry["description"] for name, entry in VIDEO_DISCRIMINATORS.items()}
    _preset_table: ClassVar = VIDEO_DISCRIMINATORS

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (2, 4, 4, 4, 4),
        video_shape: tuple[int, int, int] = (16, 128, 128),
        padding: str = "same",
        resampling: str = "average",
        remat: str = "none",
        **kwargs: Any,
    ):
        super().__init__(filters, channel_multipliers, video_shape, padding, resampling, remat, **kwargs)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "video_shape": list(self.input_size)}


@keras.saving.register_keras_serializable("magvit_keras")
class ImageDiscriminator(StyleGANDiscriminator):
    """The 2D form of `VideoDiscriminator`: one logit a frame.

    Args:
        filters: base width.
        channel_multipliers: width of each block in units of `filters`; each halves height and width.
        image_shape: (H, W) of the frames; the last layers depend on it.
        padding: of the convolutions.
        resampling: "average" or "blur".
        remat: activations that training keeps: "none" keeps all, "blocks" computes those within the blocks again for
            the gradients, "full" all of them; R1's gradient of a gradient included.

    Raises:
        ValueError: an argument or an image does not fit.

    Example:
        >>> discriminator = ImageDiscriminator(filters=8, channel_multipliers=(2, 4), image_shape=(16, 16))
        >>> discriminator(np.zeros((2, 16, 16, 3), "float32")).shape
        (2, 1)
        >>> discriminator(np.zeros((2, 4, 16, 16, 3), "float32")).shape
        (2, 4, 1)

    Reference:
        MAGVIT (arXiv 2212.05199), Table 7; StyleGAN2 (arXiv 1912.04958).
    """

    rank = 2
    presets: ClassVar = {name: entry["description"] for name, entry in IMAGE_DISCRIMINATORS.items()}
    _preset_table: ClassVar = IMAGE_DISCRIMINATORS

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (2, 4, 4, 4, 4),
        image_shape: tuple[int, int] = (128, 128),
        padding: str = "same",
        resampling: str = "average",
        remat: str = "none",
        **kwargs: Any,
    ):
        super().__init__(filters, channel_multipliers, image_shape, padding, resampling, remat, **kwargs)

    def logits(self, x: Any) -> Any:
        """(B, H, W, 3) -> (B, 1), or frame by frame (B, T, H, W, 3) -> (B, T, 1)."""
        if len(x.shape) != 5:
            return super().logits(x)
        b, t = ops.shape(x)[0], x.shape[1]
        frames = ops.reshape(x, (-1, *x.shape[2:]))  # (B*T, H, W, 3)
        return ops.reshape(super().logits(frames), (b, t, 1))

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "image_shape": list(self.input_size)}


def _convolution_options(layer: Any) -> dict[str, Any]:
    return {
        "rank": layer.rank,
        "padding": layer.padding,
        "kernel_initializer": "glorot_uniform",
        "dtype": layer.dtype_policy,
    }
