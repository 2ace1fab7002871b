"""Convolution over frames or clips with the padding modes of the tokenizer."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.initial_values import drawn_by_numpy
from magvit_keras.layers.padding import check_padding, pad
from magvit_keras.layers.resampling import upsample
from magvit_keras.layers.upsampled_convolution import convolve_upsampled


@keras.saving.register_keras_serializable("magvit_keras")
class Convolution(keras.layers.Layer):
    """Stride-1 convolution, channels last, over the last `rank` axes before the channels.

    Args:
        filters: width of the output.
        kernel_size: size along each axis.
        rank: 3 for clips (B, T, H, W, C), 2 for frames (B, H, W, C).
        padding: one of `magvit_keras.layers.padding.PADDINGS`; the shape is kept.
        use_bias: adds a bias.
        kernel_initializer: LeCun normal in the tokenizer, Glorot uniform in the discriminator.

    Example:
        >>> Convolution(8)(np.zeros((1, 4, 6, 6, 3))).shape
        (1, 4, 6, 6, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        rank: int = 3,
        padding: str = "reflect",
        use_bias: bool = True,
        kernel_initializer: str = "lecun_normal",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.rank = rank
        self.padding = check_padding(padding)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Makes kernel (k, ..., in, out) and bias (out,)."""
        shape = (self.kernel_size,) * self.rank + (input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=drawn_by_numpy(self.kernel_initializer), name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None

    def call(self, x: Any, double: tuple[bool, ...] | None = None) -> Any:
        """(B, ..., in) -> (B, ..., filters).

        `double` names axes along which each cell is repeated once before.
        """
        kernel = ops.convert_to_tensor(self.kernel)
        if double is not None and self.kernel_size == 3:
            x = convolve_upsampled(x, kernel, double, self.padding)
        else:
            x = x if double is None else upsample(x, double)
            x = pad(x, (self.kernel_size,) * self.rank, self.padding)
            x = backend.convolve(x, kernel)
        return x if self.bias is None else x + self.bias

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape is kept, the channels become `filters`."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "rank": self.rank,
            "padding": self.padding,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
