"""The perceptual loss (Sec. 3.1): distances between what a frozen image network makes of two frames."""

import os
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

#: Default of an argument that must be given, None included.
REQUIRED: Any = object()

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def _caffe(x: Any) -> Any:
    return ops.flip(x, axis=-1) * 255.0 - ops.convert_to_tensor(_CAFFE_MEAN, dtype=x.dtype)  # BGR


def _torch(x: Any) -> Any:
    mean, std = (ops.convert_to_tensor(v, dtype=x.dtype) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
    return (x - mean) / std


#: What a network wants of pixels in [0, 1]: the names are those of `keras.applications`, "none" leaves them.
PREPROCESSING: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "255": lambda x: x * 255.0,
    "tf": lambda x: x * 2.0 - 1.0,
    "caffe": _caffe,
    "torch": _torch,
}

#: Networks of `keras.applications` and what each wants of its input.
APPLICATIONS = {
    "VGG16": "caffe",
    "VGG19": "caffe",
    "ResNet50": "caffe",
    "ResNet50V2": "tf",
    "MobileNetV2": "tf",
    "EfficientNetB0": "255",
    "ConvNeXtTiny": "255",
}


def perceptual_choices(who: str) -> str:
    """The message to whoever was made without a perceptual loss."""
    return (
        f"{who} needs `perceptual_loss`. Random weights would do nothing useful and say nothing, so choose one of\n"
        "  PerceptualLoss(mk.convert.load_resnet50(path))   the paper's: ResNet-50 logits, public weights from a file\n"
        '  PerceptualLoss.from_applications("VGG16")        ImageNet weights that Keras downloads\n'
        "  PerceptualLoss(model)                            a trained Keras model of yours, on frames\n"
        "  None                                             to train without"
    )


@keras.saving.register_keras_serializable("magvit_keras")
class PerceptualLoss(keras.layers.Layer):
    """Mean squared difference of a frozen network's outputs for real and reconstructed frames.

    The network's weights get no gradient and do not change.

    Args:
        model: a built Keras model that maps frames (N, H, W, 3) to features or logits, trained elsewhere; one tensor
            or a list of tensors, whose losses are added.
        input_size: (height, width) to which frames are resized, bilinearly; None leaves them.
        preprocessing: what the model wants of pixels in [0, 1], one of `PREPROCESSING`.

    Raises:
        ValueError: unknown preprocessing, or not a Keras model.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])  # yours is a trained one
        >>> loss = PerceptualLoss(model, input_size=None)
        >>> frames = np.zeros((2, 8, 8, 3), "float32")
        >>> float(loss(frames, frames))
        0.0

    Reference:
        MAGVIT (arXiv 2212.05199), appendix A; Johnson et al. (arXiv 1603.08155).
    """

    def __init__(
        self,
        model: keras.Model,
        input_size: tuple[int, int] | None = (224, 224),
        preprocessing: str = "none",
        **kwargs: Any,
    ):
        if not isinstance(model, keras.Model):
            raise ValueError(f"model must be a keras.Model on frames; received {type(model).__name__}.")
        if preprocessing not in PREPROCESSING:
            raise ValueError(f"Unknown preprocessing {preprocessing!r}; expected one of {', '.join(PREPROCESSING)}.")
        super().__init__(**{"trainable": False, **kwargs})
        model.trainable = False
        self.model = model
        self.input_size = None if input_size is None else tuple(int(s) for s in input_size)
        self.preprocessing = preprocessing
        self.built = True

    @classmethod
    def from_applications(
        cls, name: str = "VGG16", weights: str | os.PathLike = "imagenet", input_size: tuple[int, int] = (224, 224)
    ) -> "PerceptualLoss":
        """Features of a network of `keras.applications`.

        Args:
            name: one of `APPLICATIONS`.
            weights: "imagenet", which Keras downloads once, or the path of a weights file without the top.
            input_size: (height, width) of the frames that the network sees.

        Raises:
            ValueError: unknown name, or no weights.
        """
        if name not in APPLICATIONS:
            raise ValueError(f"Unknown application {name!r}; expected one of {', '.join(APPLICATIONS)}.")
        if weights is None:
            raise ValueError(perceptual_choices("A perceptual loss with weights=None is random; VQGAN"))
        network = getattr(keras.applications, name)
        model = network(include_top=False, weights=weights, input_shape=(*input_size, 3))
        return cls(model, input_size=input_size, preprocessing=APPLICATIONS[name])

    def features(self, frames: Any) -> list[Any]:
        """Outputs of the network, float32, for frames (N, H, W, 3) in [0, 1]."""
        frames = ops.cast(frames, "float32")
        if self.input_size is not None and tuple(frames.shape[1:3]) != self.input_size:
            # Larger frames are smoothed first, as JAX's resize in the authors' code does.
            smaller = any(a < b for a, b in zip(self.input_size, frames.shape[1:3], strict=True))
            frames = ops.image.resize(
                frames, self.input_size, interpolation="bilinear", antialias=smaller, data_format="channels_last"
            )
        outputs = self.model(PREPROCESSING[self.preprocessing](frames), training=False)
        return [ops.cast(x, "float32") for x in keras.tree.flatten(outputs)]

    def call(self, real: Any, fake: Any) -> Any:
        """A scalar for two batches of frames (N, H, W, 3); gradients flow to `fake` only."""
        real = [ops.stop_gradient(x) for x in self.features(real)]
        pairs = zip(real, self.features(fake), strict=True)
        return sum(ops.mean(ops.square(a - b)) for a, b in pairs)

    def compute_output_shape(self, real_shape: tuple, fake_shape: tuple) -> tuple:
        """A scalar."""
        return ()

    def get_config(self) -> dict:
        """Every constructor argument; the network is serialized whole."""
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "input_size": self.input_size,
            "preprocessing": self.preprocessing,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "PerceptualLoss":
        """The loss of that config; its weights come from the file that is loaded."""
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        return cls(**{**config, "model": model})
