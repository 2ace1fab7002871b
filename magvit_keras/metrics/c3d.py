"""C3D, the video classifier of UCF-101 behind the Inception Score."""

from typing import Any

import keras
from keras import layers, ops

from magvit_keras.checks import to_float
from magvit_keras.metrics.initial_weights import constant, random_kernel
from magvit_keras.metrics.resizing import resize

_CONVOLUTIONS = (("1a", 0), ("2a", 1), ("3a", 2), ("3b", 2), ("4a", 3), ("4b", 3), ("5a", 3), ("5b", 3))


@keras.saving.register_keras_serializable("magvit_keras")
class C3D(keras.Model):
    """C3D with random weights: clips of 16 frames to UCF-101 logits. `convert.load_c3d` gives the public ones.

    79,011,685 parameters at the default sizes, the mean clip among them. Frames are resized to 112 x 112 with aligned
    corners, turned to BGR, scaled to 255, and the mean clip is taken off, as the public weights want.

    Args:
        filters: channels of the four widths of convolutions.
        hidden_size: units of the two dense layers.
        num_classes: number of logits.
        frames: frames of a clip, at least 16.
        input_size: height and width that the network sees.

    Raises:
        ValueError: when called, clips that are not (batch, frames, height, width, 3).

    Example:
        >>> network = C3D(filters=(2, 2, 2, 2), hidden_size=8)
        >>> network(np.zeros((1, 16, 20, 20, 3), "float32")).shape
        (1, 101)

    Reference:
        C3D (arXiv 1412.0767); TGANv2 (arXiv 1811.09245) for this use of it.
    """

    resize_rule = "aligned"
    crop = False

    def __init__(
        self,
        filters: tuple[int, int, int, int] = (64, 128, 256, 512),
        hidden_size: int = 4096,
        num_classes: int = 101,
        frames: int = 16,
        input_size: int = 112,
        **kwargs: Any,
    ):
        if len(filters) != 4:
            raise ValueError(f"filters must hold 4 widths; received {filters}.")
        if frames < 16 or input_size < 16:
            raise ValueError(f"C3D halves clips four times: frames and size from 16; received {frames}, {input_size}.")
        # float32 whatever the global policy: half precision would move the scores.
        super().__init__(**{"name": "c3d", "dtype": "float32", "trainable": False, **kwargs})
        self.filters, self.hidden_size, self.num_classes = tuple(filters), int(hidden_size), int(num_classes)
        self.frames, self.input_size = int(frames), int(input_size)
        #: What is added to pixels of 0..255 in BGR: the mean clip, negative.
        self.offset = self.add_weight(
            shape=(frames, input_size, input_size, 3), initializer="zeros", trainable=False, name="offset"
        )
        #: Name in the authors' code -> layer.
        self.parts: dict[str, keras.Layer] = {}
        channels = 3
        for name, width in _CONVOLUTIONS:
            channels = self._add(f"conv{name}", channels, filters[width], convolution=True)
        edge = (input_size // 16 + 1) // 2
        units = channels * (frames // 16) * edge * edge
        for name, width in (("fc6", hidden_size), ("fc7", hidden_size), ("fc8", num_classes)):
            units = self._add(name, units, width)
        self.built = True

    def _add(self, name: str, inputs: int, outputs: int, convolution: bool = False) -> int:
        kwargs = {"name": name, "dtype": self.dtype_policy, "activation": None if name == "fc8" else "relu"}
        kwargs |= {"kernel_initializer": random_kernel(name), "bias_initializer": constant(0.0)}
        layer = layers.Conv3D(outputs, 3, padding="same", **kwargs) if convolution else layers.Dense(outputs, **kwargs)
        layer.build((None,) * (4 if convolution else 1) + (inputs,))
        self.parts[name] = layer
        return outputs

    def preprocess(self, video: Any) -> Any:
        """Clips in [0, 1] as the network sees them: 112 x 112, BGR, 0..255 less the mean clip."""
        x = resize(ops.flip(video, axis=-1), (self.input_size, self.input_size), self.resize_rule)
        return x * 255.0 + ops.cast(self.offset, x.dtype)

    def call(self, video: Any) -> Any:
        """Logits (batch, num_classes) of clips (batch, frames, height, width, 3) in [0, 1] or uint8."""
        if len(video.shape) != 5 or video.shape[-1] != 3 or video.shape[1] != self.frames:
            raise ValueError(
                f"C3D needs clips (batch, {self.frames}, height, width, 3); received the shape {tuple(video.shape)}."
            )
        x = self.preprocess(to_float(video, self.compute_dtype))
        for name, _ in _CONVOLUTIONS:
            x = self.parts[f"conv{name}"](x)
            if name == "5b":
                x = ops.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)))
            if name not in ("3a", "4a", "5a"):
                window = (1, 2, 2) if name == "1a" else (2, 2, 2)
                x = ops.max_pool(x, window, window, padding="valid", data_format="channels_last")
        # The public dense weights count channels first.
        x = ops.reshape(ops.transpose(x, (0, 4, 1, 2, 3)), (ops.shape(x)[0], self.parts["fc6"].kernel.shape[0]))
        for name in ("fc6", "fc7", "fc8"):
            x = self.parts[name](x)
        return x

    def compute_output_shape(self, video_shape: tuple) -> tuple:
        """(batch, num_classes)."""
        return (video_shape[0], self.num_classes)

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("filters", "hidden_size", "num_classes", "frames", "input_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
