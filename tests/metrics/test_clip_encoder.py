"""Any encoder as the network of a distance: its own size and range, its tokens averaged."""

import pathlib
import re
import sys
import types
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops

import magvit_keras as mk
from magvit_keras.metrics import (
    JEDI,
    V_JEPA_INPUT,
    VIDEOMAE_INPUT,
    VIDEOPRISM_INPUT,
    ClipEncoder,
    frechet_distance,
    fvd,
    kernel_distance,
    kernel_video_distance,
    resize,
    resize_and_crop,
)

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "how_to" / "metrics.md"


def clips(seed=0, n=6, frames=4, size=(10, 12)):
    return np.random.default_rng(seed).random((n, frames, *size, 3), "float32")


def patches(frames=4, size=8):
    """Tokens (batch, time, 4, 3): the mean colour of each quarter of a frame."""
    video = keras.Input((frames, size, size, 3))
    tokens = keras.layers.AveragePooling3D((1, size // 2, size // 2))(video)
    return keras.Model(video, keras.layers.Reshape((frames, 4, 3))(tokens))


def value(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("crop", [False, True])
def test_frames_are_resized_and_normalized_and_tokens_averaged(crop):
    video, mean, std = clips(), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    network = ClipEncoder(patches(), input_size=8, crop=crop, mean=mean, std=std)
    resized = resize_and_crop(video, 8, "half_pixel") if crop else resize(video, (8, 8), "half_pixel")
    expected = (value(resized).mean(axis=(1, 2, 3)) - mean) / std
    np.testing.assert_allclose(network.predict(video, verbose=0), expected, rtol=1e-4, atol=1e-5)
    as_bytes = np.round(255 * video).astype("uint8")
    np.testing.assert_allclose(network.predict(as_bytes, verbose=0), expected, atol=0.01)


def test_the_global_precision_does_not_move_the_features():
    video, encoder = clips(), patches()
    expected = value(ClipEncoder(encoder, input_size=8)(video))
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        found = value(ClipEncoder(encoder, input_size=8)(video))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(found, expected)


def test_distances_through_an_encoder():
    real, generated = clips(0), clips(1) ** 2
    network = ClipEncoder(patches(), **{**V_JEPA_INPUT, "input_size": 8}, name="stand_in")
    features = [network.predict(x, verbose=0) for x in (real, generated)]
    score = fvd(real, generated, network)
    np.testing.assert_allclose(score.value, frechet_distance(*features), rtol=1e-3)
    assert score.name == "Frechet distance of stand_in"
    assert (score.made_by["resize_rule"], score.made_by["crop"]) == ("half_pixel", False)
    jedi = kernel_video_distance(real, generated, network, **JEDI)
    np.testing.assert_allclose(jedi.value, kernel_distance(*features, **JEDI), rtol=1e-3)


@pytest.mark.once
def test_saved_encoders_are_the_same(tmp_path):
    network = ClipEncoder(patches(), input_size=8, resize_rule="tf1", crop=True, mean=0.5, std=(0.5, 0.4, 0.3))
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(again.predict(clips(), verbose=0), network.predict(clips(), verbose=0), rtol=1e-6)


def both_outputs():
    video = keras.Input((4, 8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling3D()(video)
    return keras.Model(video, {"vision_embeddings": pooled, "text_embeddings": pooled})


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ClipEncoder(len), "encoder must be a keras.Model of clips"),
        (lambda: ClipEncoder(patches(), resize_rule="nearest"), "'nearest'; expected one of tf1"),
        (lambda: ClipEncoder(patches(), 8)(clips()[0]), r"received the shape \(4, 10, 12, 3\)"),
        (lambda: ClipEncoder(patches(), 8)(clips(frames=5)), "clips of 4 frames; received 5"),
        (lambda: ClipEncoder(both_outputs(), 8)(clips()), r"one tensor .*keras.Model\(encoder.input"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.once
def test_settings_of_the_papers():
    assert JEDI == {
        "kernel": "polynomial",
        "degree": 2,
        "gamma": None,
        "coefficient": 0.0,
        "unbiased": False,
        "scale": 100.0,
    }
    sizes = [settings["input_size"] for settings in (V_JEPA_INPUT, VIDEOMAE_INPUT, VIDEOPRISM_INPUT)]
    assert sizes == [224, 224, 288]
    for settings in (V_JEPA_INPUT, VIDEOMAE_INPUT, VIDEOPRISM_INPUT):
        ClipEncoder(patches(), **settings)


class StandIn:
    """Stands for keras_hub.models.VideoPrismBackbone: the same input and output, without its weights."""

    asked: ClassVar[list] = []

    @classmethod
    def from_preset(cls, preset):
        cls.asked.append(preset)
        video = keras.Input((16, 288, 288, 3), name="pixel_values")
        tokens = keras.layers.AveragePooling3D((1, 18, 18))(video)  # (B, 16, 16, 16, 3)
        return keras.Model(video, keras.layers.Reshape((16, 256, 3))(tokens), name="video_prism_backbone")


@pytest.mark.once
def test_the_example_of_the_page_runs(monkeypatch):
    """The block with VideoPrism, on clips of another size, by a stand-in of the same interface."""
    monkeypatch.setitem(
        sys.modules, "keras_hub", types.SimpleNamespace(models=types.SimpleNamespace(VideoPrismBackbone=StandIn))
    )
    (block,) = [b for b in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S) if "keras_hub" in b]
    real, generated = clips(0, 5, 16), clips(1, 5, 16) ** 2
    scope = {"mk": mk, "real": real, "generated": generated}
    exec(block, scope)
    assert StandIn.asked[-1] == "videoprism_public_v1_base"
    assert scope["debiased"].name == "Frechet distance of videoprism"
    features = [x.mean(axis=(1, 2, 3)) for x in (real, generated)]
    np.testing.assert_allclose(scope["debiased"].value, frechet_distance(*features), rtol=0.05)
    np.testing.assert_allclose(scope["jedi"].value, kernel_distance(*features, **JEDI), rtol=0.05)
