"""ResNet-50 in the form whose logits the paper's perceptual loss compares."""

from typing import Any

import keras
from keras import layers


def resnet50(
    input_size: tuple[int, int] = (224, 224),
    filters: int = 64,
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3),
    num_classes: int = 1000,
) -> keras.Model:
    """ResNet-50 v1.5 with random weights: the stride sits on the 3x3 convolution of a block.

    It takes pixels in [0, 1] as they are. Unlike `keras.applications.ResNet50` it has no convolution biases, SAME
    padding in the stem, and no ReLU between the stem's normalization and its pooling.

    Args:
        input_size: (height, width).
        filters: width of the first stage; each further stage doubles it, and a block ends four times as wide.
        stage_sizes: blocks a stage.
        num_classes: number of logits.

    Returns:
        A functional model (N, H, W, 3) -> (N, num_classes). `magvit_keras.convert.load_resnet50` fills it.

    Reference:
        Deep Residual Learning (arXiv 1512.03385); the variant of XMC-GAN's public weights (arXiv 2101.04702).
    """
    inputs = keras.Input((*input_size, 3))
    x = _convolution(inputs, filters, 7, 2, "init_conv")
    x = _norm(x, "init_bn")
    x = layers.MaxPooling2D(3, 2, padding="same", name="init_pool")(x)
    for stage, blocks in enumerate(stage_sizes, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _block(x, filters * 2 ** (stage - 1), stride, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(num_classes, name="head")(x), name="resnet50")


def _block(x: Any, filters: int, stride: int, name: str) -> Any:
    residual = layers.ReLU(name=f"{name}_relu1")(_norm(_convolution(x, filters, 1, 1, f"{name}_conv1"), f"{name}_bn1"))
    residual = _convolution(residual, filters, 3, stride, f"{name}_conv2")
    residual = layers.ReLU(name=f"{name}_relu2")(_norm(residual, f"{name}_bn2"))
    residual = _norm(_convolution(residual, 4 * filters, 1, 1, f"{name}_conv3"), f"{name}_bn3")
    if stride > 1 or x.shape[-1] != 4 * filters:
        x = _norm(_convolution(x, 4 * filters, 1, stride, f"{name}_proj_conv"), f"{name}_proj_bn")
    return layers.ReLU(name=f"{name}_relu3")(layers.Add(name=f"{name}_add")([x, residual]))


def _convolution(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
    return layers.Conv2D(filters, size, stride, padding="same", use_bias=False, name=name)(x)


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)(x)
