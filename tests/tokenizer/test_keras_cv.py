"""What docs/how_to/keras_cv.md says of keras-cv 0.9; `make test-keras-cv` runs it where keras-cv is installed."""

import importlib.util
import os

import keras
import numpy as np
import pytest

from magvit_keras.tokenizer.perceptual import PerceptualLoss

if importlib.util.find_spec("keras_cv") is None:
    if os.environ.get("NEEDED") == "keras_cv":
        raise ImportError("NEEDED=keras_cv, and keras_cv is not installed")
    pytest.skip("needs keras-cv", allow_module_level=True)

import keras_cv

SMALL = {"include_rescaling": False, "input_shape": (32, 32, 3)}


@pytest.fixture(params=["ResNetBackbone", "VGG16Backbone"])
def backbone(request):
    stacks = {"stackwise_filters": [16, 32], "stackwise_blocks": [1, 1], "stackwise_strides": [1, 2]}
    options = stacks if request.param == "ResNetBackbone" else {"include_top": False}
    return getattr(keras_cv.models, request.param)(**options, **SMALL)


def test_a_backbone_is_a_perceptual_network(backbone):
    loss = PerceptualLoss(backbone, input_size=(32, 32))
    frames = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    assert float(loss(frames, frames)) == 0
    assert float(loss(frames, 1 - frames)) > 0


def test_all_frames_of_a_clip_flip_together():
    clips = np.random.default_rng(0).random((8, 2, 4, 4, 3), "float32")
    tall = keras_cv.layers.RandomFlip("horizontal")(clips.reshape(8, 8, 4, 3))
    flipped = keras.ops.convert_to_numpy(tall).reshape(clips.shape)
    kinds = {
        "kept" if np.allclose(a, b) else "flipped" if np.allclose(a, b[:, :, ::-1]) else "torn"
        for a, b in zip(flipped, clips, strict=True)
    }
    assert kinds <= {"kept", "flipped"} and "flipped" in kinds


def test_the_second_resnet_is_refused_by_keras():
    with pytest.raises(ValueError, match="used 2 times"):
        keras_cv.models.ResNetV2Backbone(
            stackwise_filters=[16, 32], stackwise_blocks=[1, 1], stackwise_strides=[1, 2], **SMALL
        )
