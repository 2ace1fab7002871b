"""LPIPS: the distance of two frames in the features of an image classifier, weighted as people judged."""

from typing import Any

import keras
from keras import layers, ops

from magvit_keras.metrics.frames import pair
from magvit_keras.metrics.initial_weights import constant, random_head, random_kernel

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

# Trunk -> (index of the convolution in torchvision's `features`, channels, size, stride, padding), "pool", and "tap"
# where features are compared.
TRUNKS: dict[str, tuple] = {
    "vgg16": (
        *((0, 64, 3, 1, 1), (2, 64, 3, 1, 1), "tap", "pool"),
        *((5, 128, 3, 1, 1), (7, 128, 3, 1, 1), "tap", "pool"),
        *((10, 256, 3, 1, 1), (12, 256, 3, 1, 1), (14, 256, 3, 1, 1), "tap", "pool"),
        *((17, 512, 3, 1, 1), (19, 512, 3, 1, 1), (21, 512, 3, 1, 1), "tap", "pool"),
        *((24, 512, 3, 1, 1), (26, 512, 3, 1, 1), (28, 512, 3, 1, 1), "tap"),
    ),
    "alexnet": (
        *((0, 64, 11, 4, 2), "tap", "pool"),
        *((3, 192, 5, 1, 2), "tap", "pool"),
        *((6, 384, 3, 1, 1), "tap", (8, 256, 3, 1, 1), "tap", (10, 256, 3, 1, 1), "tap"),
    ),
}
_POOL = {"vgg16": (2, 2), "alexnet": (3, 2)}  # window, stride
_SMALLEST = {"vgg16": 16, "alexnet": 35}


@keras.saving.register_keras_serializable("magvit_keras")
class LPIPS(keras.Model):
    """Learned perceptual distance with random weights; `convert.load_lpips` gives the public ones.

    Args:
        trunk: "vgg16", which the paper reports, or "alexnet".
        width: factor on the trunk's channels; below 1 for tests.

    Raises:
        ValueError: unknown trunk; when called, frames that differ in shape, are too small, or lie outside [0, 1].

    Example:
        >>> network = LPIPS(width=1 / 16)
        >>> clip = np.random.default_rng(0).random((2, 3, 16, 16, 3), "float32")
        >>> ops.convert_to_numpy(network(clip, clip)).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    Reference:
        LPIPS (arXiv 1801.03924), version 0.1 of its heads.
    """

    def __init__(self, trunk: str = "vgg16", width: float = 1.0, **kwargs: Any):
        if trunk not in TRUNKS:
            raise ValueError(f"Unknown trunk {trunk!r}; expected one of {', '.join(TRUNKS)}.")
        # float32 whatever the global policy: half precision would move the scores.
        super().__init__(**{"name": f"lpips_{trunk}", "dtype": "float32", "trainable": False, **kwargs})
        self.trunk, self.width = trunk, float(width)
        #: Index in torchvision's `features` -> convolution; number of the tap -> weight of each channel.
        self.convolutions: dict[str, layers.Conv2D] = {}
        self.heads: list[layers.Dense] = []
        channels = 3
        for part in TRUNKS[trunk]:
            if part == "tap":
                # Judgements only ever add distance: the public heads are not negative.
                name = f"head{len(self.heads)}"
                head = layers.Dense(
                    1, use_bias=False, kernel_initializer=random_head(name), name=name, dtype=self.dtype_policy
                )
                head.build((None, channels))
                self.heads.append(head)
            elif part != "pool":
                index, filters, size, stride, _ = part
                filters = max(1, int(filters * self.width))
                layer = layers.Conv2D(
                    filters,
                    size,
                    stride,
                    activation="relu",
                    kernel_initializer=random_kernel(f"features{index}"),
                    bias_initializer=constant(0.0),
                    name=f"features{index}",
                    dtype=self.dtype_policy,
                )
                layer.build((None, None, None, channels))
                self.convolutions[str(index)] = layer
                channels = filters
        self.built = True

    def features(self, frames: Any) -> list[Any]:
        """Features at the taps of frames (N, H, W, 3) in [0, 1], each of length 1 across channels."""
        shift, scale = (ops.convert_to_tensor(v, dtype="float32") for v in (_SHIFT, _SCALE))
        x, found = (frames * 2.0 - 1.0 - shift) / scale, []
        for part in TRUNKS[self.trunk]:
            if part == "tap":
                found.append(x / (ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True)) + 1e-10))
            elif part == "pool":
                x = ops.max_pool(x, *_POOL[self.trunk], padding="valid", data_format="channels_last")
            else:
                index, _, _, _, pad = part
                x = ops.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
                x = self.convolutions[str(index)](x)
        return found

    def call(self, real: Any, generated: Any) -> Any:
        """Distances (...,) of frames (..., height, width, 3) in [0, 1] or uint8; one per frame."""
        real, generated = pair(real, generated)
        smallest = _SMALLEST[self.trunk]
        if real.shape[-1] != 3 or min(real.shape[-3:-1]) < smallest:
            raise ValueError(
                f"LPIPS on {self.trunk} needs RGB frames of at least {smallest} x {smallest}; received the shape "
                f"{tuple(real.shape)}."
            )
        frames = tuple(real.shape[-3:])
        pairs = zip(*(self.features(ops.reshape(x, (-1, *frames))) for x in (real, generated)), self.heads, strict=True)
        distance = sum(ops.mean(head(ops.square(a - b)), axis=(1, 2, 3)) for a, b, head in pairs)
        return ops.reshape(distance, ops.shape(real)[:-3])

    def compute_output_shape(self, real_shape: tuple, generated_shape: tuple) -> tuple:
        """One distance per frame."""
        return real_shape[:-3]

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "trunk": self.trunk, "width": self.width}
