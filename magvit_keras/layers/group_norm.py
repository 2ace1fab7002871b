"""Group normalization that is accurate and finite on every backend."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend


@keras.saving.register_keras_serializable("magvit_keras")
class GroupNorm(keras.layers.Layer):
    """GroupNorm over all axes but batch and group, in float32.

    The statistics of a clip run over time, height, width and the channels of a group.

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
        return ops.cast(backend.group_norm(x, *self.options()), x.dtype)

    def options(self) -> tuple:
        """Groups, scale and bias (C,) in float32, and epsilon: what the backend's functions take."""
        scale, bias = (ops.cast(weight, "float32") for weight in (self.scale, self.bias))
        return self.groups, scale, bias, self.epsilon

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape is kept."""
        return input_shape

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "groups": self.groups, "epsilon": self.epsilon}
