"""Any video encoder as the network of a distance: frames resized and normalized for it, its tokens averaged."""

from typing import Any

import keras
from keras import ops

from magvit_keras.checks import to_float
from magvit_keras.metrics.resizing import check_rule, resize, resize_and_crop


@keras.saving.register_keras_serializable("magvit_keras")
class ClipEncoder(keras.Model):
    """Clips in [0, 1] to one row of features each, through an encoder that has its own ideas of size and range.

    Args:
        encoder: a model of clips (batch, time, height, width, 3) -> (batch, ..., D). A dict of outputs, as of a model
            of video and text, is refused: give the model of the one output that counts.
        input_size: height and width that the encoder wants; None leaves frames as they are.
        resize_rule: how frames come to that size, see `resize`.
        crop: for frames that are not square: False squeezes them, True resizes the short side and takes the middle.
        mean: subtracted from pixels in [0, 1], a number or one for each channel.
        std: what they are then divided by. (0.5, 0.5) for mean and std gives the range [-1, 1].
        name: of the network; scores are named after it.

    Raises:
        ValueError: bad arguments; when called, clips of another shape, or an encoder that returns something else.

    Example:
        >>> clips = keras.Input((8, 12, 12, 3))
        >>> encoder = keras.Model(clips, keras.layers.Conv3D(5, 4, strides=4)(clips))
        >>> network = ClipEncoder(encoder, input_size=12, mean=0.5, std=0.5, name="my_encoder")
        >>> network(np.zeros((2, 8, 20, 24, 3), "uint8")).shape
        (2, 5)

    Reference:
        Content-debiased FVD (arXiv 2404.12391); JEDi (arXiv 2410.05203).
    """

    def __init__(
        self,
        encoder: keras.Model,
        input_size: int | None = None,
        resize_rule: str = "half_pixel",
        crop: bool = False,
        mean: Any = 0.0,
        std: Any = 1.0,
        name: str = "clip_encoder",
        **kwargs: Any,
    ):
        check_rule(resize_rule)
        if not isinstance(encoder, keras.Layer):
            raise ValueError(f"encoder must be a keras.Model of clips; received {type(encoder).__name__}.")
        # Half precision would move the scores: it is the encoder that has its own.
        super().__init__(**{"name": name, "dtype": "float32", "trainable": False, **kwargs})
        self.encoder, self.input_size = encoder, input_size
        self.resize_rule, self.crop, self.mean, self.std = resize_rule, bool(crop), mean, std

    def preprocess(self, video: Any) -> Any:
        """Clips in [0, 1] as the encoder wants them."""
        if self.input_size is not None and self.crop:
            video = resize_and_crop(video, self.input_size, self.resize_rule)
        elif self.input_size is not None:
            video = resize(video, (self.input_size, self.input_size), self.resize_rule)
        mean, std = (ops.convert_to_tensor(x, dtype=video.dtype) for x in (self.mean, self.std))
        return (video - mean) / std

    def call(self, video: Any) -> Any:
        """Features (batch, D) of clips (batch, time, height, width, 3) in [0, 1] or uint8."""
        if len(video.shape) != 5 or video.shape[-1] != 3:
            raise ValueError(
                f"{self.name} takes clips (batch, time, height, width, 3); received the shape {tuple(video.shape)}."
            )
        frames = getattr(self.encoder, "input_shape", None)
        if isinstance(frames, tuple) and len(frames) == 5 and frames[1] not in (None, video.shape[1]):
            raise ValueError(f"{self.name} takes clips of {frames[1]} frames; received {video.shape[1]}.")
        tokens = self.encoder(self.preprocess(to_float(video)), training=False)
        if not hasattr(tokens, "shape") or len(tokens.shape) < 2:
            raise ValueError(
                f"The encoder must return one tensor (batch, ..., D); it returned {type(tokens).__name__}. Make a "
                "model of the output that counts: keras.Model(encoder.input, encoder.output[KEY])."
            )
        return ops.mean(tokens, axis=tuple(range(1, len(tokens.shape) - 1))) if len(tokens.shape) > 2 else tokens

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("input_size", "resize_rule", "crop", "mean", "std")
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict) -> "ClipEncoder":
        """The network of that config."""
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})
