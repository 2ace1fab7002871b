"""I3D, the video network whose Kinetics-400 logits are the features of FVD."""

from typing import Any

import keras
from keras import layers, ops

from magvit_keras.checks import to_float
from magvit_keras.metrics.initial_weights import constant, random_kernel
from magvit_keras.metrics.resizing import check_rule, resize, resize_and_crop

MIN_FRAMES = 9

# Channels of a Mixed block: 1x1x1; 1x1x1 then 3x3x3; 1x1x1 then 3x3x3; pooling then 1x1x1.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Pooling before these: (window, stride).
_POOLS = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": (3, 2),
    "Mixed_5b": (2, 2),
}
BRANCHES = (
    "Branch_0.Conv3d_0a_1x1",
    "Branch_1.Conv3d_0a_1x1",
    "Branch_1.Conv3d_0b_3x3",
    "Branch_2.Conv3d_0a_1x1",
    "Branch_2.Conv3d_0b_3x3",
    "Branch_3.Conv3d_0b_1x1",
)


@keras.saving.register_keras_serializable("magvit_keras")
class I3D(keras.Model):
    """I3D with random weights: clips to Kinetics logits, averaged over time. `convert.load_i3d` gives the public ones.

    12,704,544 parameters at the default sizes. Scores of other weights or resize rules do not compare.

    Args:
        resize_rule: how frames come to `input_size`: "tf1" as in the authors' code and TF-Hub's, "half_pixel" as in
            TATS and VideoGPT.
        crop: what happens to frames that are not square. False squeezes them to a square, as the authors, TF-Hub, TATS
            and StyleGAN-V do; True resizes the short side and takes the middle, as VideoGPT does. Square frames are the
            same either way.
        input_size: height and width that the network sees, a multiple of 32.
        num_classes: number of logits.
        width: factor on all channels, rounded down; below 1 for tests.

    Raises:
        ValueError: bad arguments; when called, clips that are not (batch, time, height, width, 3) with at least 9
            frames.

    Example:
        >>> network = I3D(width=1 / 16, input_size=32)
        >>> network(np.zeros((1, 9, 24, 24, 3), "float32")).shape
        (1, 400)

    Reference:
        I3D (arXiv 1705.07750); FVD (arXiv 1812.01717).
    """

    def __init__(
        self,
        resize_rule: str = "tf1",
        crop: bool = False,
        input_size: int = 224,
        num_classes: int = 400,
        width: float = 1.0,
        **kwargs: Any,
    ):
        check_rule(resize_rule)
        if input_size % 32 or input_size < 32:
            raise ValueError(f"input_size must be a multiple of 32; received {input_size}.")
        # float32 whatever the global policy: half precision would move the scores.
        super().__init__(**{"name": "i3d", "dtype": "float32", "trainable": False, **kwargs})
        self.resize_rule, self.crop, self.input_size = resize_rule, bool(crop), int(input_size)
        self.num_classes, self.width = int(num_classes), float(width)
        #: Name in the authors' code -> unit.
        self.units: dict[str, _Unit] = {}
        channels = self._add("Conv3d_1a_7x7", 3, 64, 7, 2)
        channels = self._add("Conv3d_2b_1x1", channels, 64, 1)
        channels = self._add("Conv3d_2c_3x3", channels, 192, 3)
        for block, sizes in _MIXED.items():
            # Each branch ends with its last unit; a 3x3x3 unit takes what the 1x1x1 before it gives.
            ends: dict[str, int] = {}
            for name, size in zip(BRANCHES, sizes, strict=True):
                branch, window = name.split(".")[0], 3 if name.endswith("3x3") else 1
                ends[branch] = self._add(f"{block}/{name}", ends.get(branch, channels), size, window)
            channels = sum(ends.values())
        self.logits = layers.Dense(
            self.num_classes, kernel_initializer=random_kernel("logits"), name="logits", dtype=self.dtype_policy
        )
        self.logits.build((None, channels))
        self.built = True

    def _add(self, name: str, inputs: int, outputs: int, size: int, stride: int = 1) -> int:
        outputs = max(1, int(outputs * self.width))
        self.units[name] = _Unit(
            outputs, size, stride, name=name.replace("/", "_").replace(".", "_"), dtype=self.dtype_policy
        )
        self.units[name].build((None, None, None, None, inputs))
        return outputs

    @property
    def is_published(self) -> bool:
        """Whether the sizes are those of FVD."""
        return (self.input_size, self.num_classes, self.width) == (224, 400, 1.0)

    def preprocess(self, video: Any) -> Any:
        """Clips in [0, 1] as the network sees them: resized by the rule, in [-1, 1]."""
        if self.crop:
            return resize_and_crop(video, self.input_size, self.resize_rule) * 2.0 - 1.0
        return resize(video, (self.input_size, self.input_size), self.resize_rule) * 2.0 - 1.0

    def call(self, video: Any) -> Any:
        """Logits (batch, num_classes) of clips (batch, time, height, width, 3) in [0, 1] or uint8."""
        if len(video.shape) != 5 or video.shape[-1] != 3 or video.shape[1] < MIN_FRAMES:
            raise ValueError(
                f"I3D needs clips (batch, time, height, width, 3) of at least {MIN_FRAMES} frames; received the shape "
                f"{tuple(video.shape)}."
            )
        x = self.preprocess(to_float(video, self.compute_dtype))
        for name in ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3", *_MIXED):
            if name in _POOLS:
                x = _max_pool(x, *_POOLS[name])
            x = self._mixed(x, name) if name in _MIXED else self.units[name](x)
        x = ops.mean(x, axis=(2, 3))  # (B, T/8, C): the window of the average pooling is the whole frame
        x = (x[:, :-1] + x[:, 1:]) / 2.0  # its stride is 1 and its length 2
        return ops.mean(self.logits(x), axis=1)

    def _mixed(self, x: Any, block: str) -> Any:
        unit = [self.units[f"{block}/{branch}"] for branch in BRANCHES]
        pooled = _max_pool(x, 3, 1)
        return ops.concatenate([unit[0](x), unit[2](unit[1](x)), unit[4](unit[3](x)), unit[5](pooled)], axis=-1)

    def compute_output_shape(self, video_shape: tuple) -> tuple:
        """(batch, num_classes)."""
        return (video_shape[0], self.num_classes)

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("resize_rule", "crop", "input_size", "num_classes", "width")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("magvit_keras", name="I3DUnit")
class _Unit(layers.Layer):
    """Convolution without bias, frozen normalization without scale, ReLU."""

    def __init__(self, filters: int, size: int, stride: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.size, self.stride = filters, size, stride
        self.convolution = layers.Conv3D(
            filters,
            size,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=random_kernel(self.name),
            name="convolution",
            dtype=self.dtype_policy,
        )
        self.norm = layers.BatchNormalization(
            scale=False,
            epsilon=1e-3,
            beta_initializer=constant(0.0),
            moving_mean_initializer=constant(0.0),
            moving_variance_initializer=constant(1.0),
            name="norm",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tuple) -> None:
        self.convolution.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))
        self.built = True

    def call(self, x: Any) -> Any:
        return ops.relu(self.norm(self.convolution(x), training=False))

    def get_config(self) -> dict:
        return {**super().get_config(), "filters": self.filters, "size": self.size, "stride": self.stride}


def _max_pool(x: Any, window: Any, stride: Any) -> Any:
    return ops.max_pool(x, window, stride, padding="same", data_format="channels_last")
