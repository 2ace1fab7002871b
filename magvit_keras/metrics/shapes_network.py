"""The classifier of Moving Shapes that comes with the package: a network for scores without weights to fetch."""

from typing import Any

import keras
from keras import layers, ops

from magvit_keras.checks import check_positive, to_float
from magvit_keras.metrics.initial_weights import constant, random_kernel
from magvit_keras.metrics.resizing import resize
from magvit_keras.presets.shipped import CHECKSUM_FILE, WEIGHTS_FILE, shipped_weights

NAME = "shapes_classifier"
_SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
_MOTIONS = ("left_right", "up_down", "diagonal", "orbit", "spin", "pulse")
_STEM, _STEM_STRIDE = 8, 4
# After the stem: stride in space, stride in time of each further block.
_STRIDES = ((2, 2), (1, 1), (2, 2))
_SMALLEST = 8  # frames and pixels


@keras.saving.register_keras_serializable("magvit_keras")
class ShapesFeatures(keras.Model):
    """Features of Moving Shapes clips: convolutions of frames and of time in turns, then one Dense layer.

    Frames are resized to 64 x 64 (bilinear, half-pixel centres), so all sizes are taken; frames that are not square
    are stretched. Features are the mean and the maximum over all places and times, made smaller by the Dense layer.

    Args:
        filters: channels of the four blocks; each convolves within frames, then over time.
        feature_dim: D, the number of features.
        input_size: height and width that the network sees.

    Raises:
        ValueError: bad sizes; when called, clips that are not (batch, time, height, width, 3) or smaller than 8 frames
            of 8 x 8.

    Example:
        >>> network = ShapesFeatures(filters=(4, 4, 4, 4), feature_dim=5)
        >>> network(np.zeros((2, 8, 32, 32, 3), "float32")).shape
        (2, 5)
    """

    #: What a Frechet distance through these features is called: see `fvd`.
    score_prefix = "shapes"
    resize_rule = "half_pixel"
    crop = False

    def __init__(
        self,
        filters: tuple[int, int, int, int] = (32, 64, 64, 96),
        feature_dim: int = 64,
        input_size: int = 64,
        **kwargs: Any,
    ):
        if len(filters) != len(_STRIDES) + 1:
            raise ValueError(f"filters must hold {len(_STRIDES) + 1} widths; received {filters}.")
        widths = {f"filters[{i}]": width for i, width in enumerate(filters)}
        check_positive(feature_dim=feature_dim, input_size=input_size, **widths)
        # float32 whatever the global policy: half precision would move the scores.
        super().__init__(**{"name": "shapes_features", "dtype": "float32", **kwargs})
        self.filters, self.feature_dim, self.input_size = tuple(filters), int(feature_dim), int(input_size)
        self.blocks, channels = [], 3
        for i, (width, strides) in enumerate(zip(filters, ((_STEM_STRIDE, 1), *_STRIDES), strict=True)):
            size = 3 if i else _STEM
            self.blocks.append(
                (
                    self._convolution(f"frame{i}", channels, width, (size, size), (strides[0], strides[0])),
                    self._normalization(f"frame{i}_norm", width),
                    self._convolution(f"time{i}", width, width, (3, 1), (strides[1], 1)),
                    self._normalization(f"time{i}_norm", width),
                )
            )
            channels = width
        self.dense = layers.Dense(
            feature_dim,
            activation="relu",
            kernel_initializer=random_kernel("dense"),
            bias_initializer=constant(0.0),
            name="dense",
            dtype=self.dtype_policy,
        )
        self.dense.build((None, 2 * channels))
        self.built = True

    def _convolution(self, name: str, inputs: int, outputs: int, size: tuple, strides: tuple) -> keras.Layer:
        layer = layers.Conv2D(
            outputs,
            size,
            strides,
            padding="same",
            use_bias=False,  # the normalization has one
            kernel_initializer=random_kernel(name),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, None, inputs))
        return layer

    def _normalization(self, name: str, channels: int) -> keras.Layer:
        layer = layers.BatchNormalization(momentum=0.98, name=name, dtype=self.dtype_policy)
        layer.build((None, None, None, channels))
        return layer

    def call(self, video: Any, training: bool | None = None) -> Any:
        """Features (batch, feature_dim) of clips (batch, time, height, width, 3) in [0, 1] or uint8."""
        shape = tuple(video.shape)
        if len(shape) != 5 or shape[-1] != 3 or any(n is not None and n < _SMALLEST for n in shape[1:4]):
            raise ValueError(
                f"The classifier of Moving Shapes needs clips (batch, time, height, width, 3) of at least {_SMALLEST} "
                f"frames of {_SMALLEST} x {_SMALLEST}; received the shape {shape}."
            )
        x = resize(to_float(video, self.compute_dtype), (self.input_size, self.input_size), self.resize_rule)
        x = (x - 0.5) * 4.0
        for in_frames, norm_in_frames, over_time, norm_over_time in self.blocks:
            b, t = ops.shape(x)[:2]  # TensorFlow may know them only when it runs
            x = ops.reshape(x, (-1, *x.shape[2:]))  # (B T, H, W, C)
            x = ops.relu(norm_in_frames(in_frames(x), training=training))
            h, w, c = x.shape[1:]
            # A convolution over time alone is a 2-D one of frames as rows and places as columns.
            x = ops.reshape(x, (b, t, h * w, c))
            x = ops.relu(norm_over_time(over_time(x), training=training))
            x = ops.reshape(x, (b, -1, h, w, c))
        places = (1, 2, 3)
        return self.dense(ops.concatenate([ops.mean(x, places), ops.max(x, places)], axis=-1))

    def compute_output_shape(self, video_shape: tuple) -> tuple:
        """(batch, feature_dim)."""
        return (video_shape[0], self.feature_dim)

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("filters", "feature_dim", "input_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("magvit_keras")
class ShapesClassifier(keras.Model):
    """A small video classifier of Moving Shapes, untrained; `shapes_classifier` gives the one that was trained.

    The logit of a class is the sum of one of its shape and one of its motion: its probability is their product.

    Args:
        filters: channels of the blocks of `ShapesFeatures`.
        feature_dim: D, the number of features.
        input_size: height and width that the network sees.
        shapes: names of the shapes.
        motions: names of the motions.

    Attributes:
        features: `ShapesFeatures`, clips -> features (batch, D) before the logits: a network for `fvd` and its like.

    Raises:
        ValueError: as `ShapesFeatures`.

    Example:
        >>> network = ShapesClassifier(filters=(4, 4, 4, 4), feature_dim=5)
        >>> clips = np.zeros((2, 16, 64, 64, 3), "float32")
        >>> network(clips).shape, network.features(clips).shape
        ((2, 36), (2, 5))
    """

    resize_rule = ShapesFeatures.resize_rule
    crop = False

    def __init__(
        self,
        filters: tuple[int, int, int, int] = (32, 64, 64, 96),
        feature_dim: int = 64,
        input_size: int = 64,
        shapes: tuple[str, ...] = _SHAPES,
        motions: tuple[str, ...] = _MOTIONS,
        **kwargs: Any,
    ):
        super().__init__(**{"name": NAME, "dtype": "float32", **kwargs})
        self.features = ShapesFeatures(filters, feature_dim, input_size, dtype=self.dtype_policy)
        self.shapes, self.motions = tuple(shapes), tuple(motions)
        self.parts = []
        for name, count in (("shape", len(self.shapes)), ("motion", len(self.motions))):
            layer = layers.Dense(
                count,
                kernel_initializer=random_kernel(name),
                bias_initializer=constant(0.0),
                name=name,
                dtype=self.dtype_policy,
            )
            layer.build((None, feature_dim))
            self.parts.append(layer)
        self.built = True

    @property
    def class_names(self) -> list[str]:
        """Shape x motion, the shape first: as `MovingShapes.class_names`."""
        return [f"{shape}_{motion}" for shape in self.shapes for motion in self.motions]

    def call(self, video: Any, training: bool | None = None) -> Any:
        """Logits (batch, shapes x motions) of clips (batch, time, height, width, 3) in [0, 1] or uint8."""
        features = self.features(video, training=training)
        shape, motion = (part(features) for part in self.parts)
        logits = shape[:, :, None] + motion[:, None, :]  # (B, shapes, motions)
        return ops.reshape(logits, (-1, len(self.shapes) * len(self.motions)))

    def compute_output_shape(self, video_shape: tuple) -> tuple:
        """(batch, shapes x motions)."""
        return (video_shape[0], len(self.shapes) * len(self.motions))

    def get_config(self) -> dict:
        """Every constructor argument."""
        own = {name: getattr(self.features, name) for name in ("filters", "feature_dim", "input_size")}
        return {**super().get_config(), **own, "shapes": self.shapes, "motions": self.motions}


def shapes_classifier() -> ShapesClassifier:
    """The classifier of Moving Shapes that comes with the package, with its weights: nothing is fetched.

    It was trained on the 36 classes of `MovingShapes`, plain and textured, covered and free, sharp and slightly soft,
    in clips of 8 and 16 frames of 64 x 64 and of 32 x 32. It takes other lengths from 8 frames and other sizes from 8
    pixels, which are resized. Its features are 64 numbers; how well it does is in `docs/model_zoo.md`.

    Returns:
        A `ShapesClassifier`: clips (batch, time, height, width, 3) in [0, 1] or uint8 -> logits (batch, 36). Its
        `features` is a network for `fvd`, whose score then calls itself shapes-FVD, which no published FVD compares
        with.

    Raises:
        ValueError: the weights are missing or damaged.

    Example:
        >>> network = shapes_classifier()
        >>> clips = mk.data.MovingShapes(4, split="test").arrays()
        >>> logits = ops.convert_to_numpy(network(clips["video"]))
        >>> bool((logits.argmax(axis=1) == clips["label"]).mean() > 0.5)
        True
    """
    path = shipped_weights(NAME)
    model = ShapesClassifier()
    model.load_weights(path)
    model.trainable = False
    source = {
        "network": {"file": f"{NAME}/{WEIGHTS_FILE}", "sha256": path.with_name(CHECKSUM_FILE).read_text().strip()}
    }
    model.weights_source = model.features.weights_source = source
    return model
