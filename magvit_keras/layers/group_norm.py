"""Group normalization that is accurate and finite on every backend."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("magvit_keras")
class GroupNorm(keras.layers.Layer):
    """GroupNorm over all axes but batch and group, in float32 and in two passes.

    Keras' own layer computes the variance as E[x^2] - E[x]^2 on PyTorch, which loses the digits of inputs with a
    large mean. The statistics of a clip run over time, height, width and the channels of a group.

    Args:
        groups: number of groups; must divide the channels.
        epsilon: added to the variance; 1e-6 in the authors' models.
    """

    def __init__(self, groups: int = 32, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        self.groups = groups
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """Makes scale and bias (C,)."""
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(
                f"GroupNorm needs channels divisible by its {self.groups} groups; received {channels} channels. "
                "Choose `filters` as a multiple of `norm_groups`."
            )
        self.scale = self.add_weight(shape=(channels,), initializer="ones", name="scale")
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        """(B, ..., C) -> the same shape."""
        dtype, axes = x.dtype, tuple(range(1, len(x.shape) - 1))
        x = ops.cast(x, "float32")
        # Statistics by channel, then by group: groups of few channels make short, slow axes.
        x = x - self._by_group(ops.mean(x, axis=axes, keepdims=True))
        variance = self._by_group(ops.mean(ops.square(x), axis=axes, keepdims=True))
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.scale, "float32")
        return ops.cast(x * scale + ops.cast(self.bias, "float32"), dtype)

    def _by_group(self, means: Any) -> Any:
        """Means by channel (B, 1, ..., C) -> means by group, repeated for each channel of the group."""
        shape = (-1, *means.shape[1:])
        means = ops.reshape(means, (-1, self.groups, means.shape[-1] // self.groups))
        means = ops.repeat(ops.mean(means, axis=-1, keepdims=True), means.shape[-1], axis=-1)
        return ops.reshape(means, shape)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape is kept."""
        return input_shape

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "groups": self.groups, "epsilon": self.epsilon}
