"""I3D, C3D and LPIPS: sizes, resizing, and outputs equal to another implementation's from weights in public layouts."""

import keras
import numpy as np
import pytest
from keras import ops
from torch_networks import c3d_state, i3d_state, lpips_states, torch_c3d, torch_i3d, torch_lpips

from magvit_keras import backend
from magvit_keras.convert.c3d import load_c3d_arrays
from magvit_keras.convert.i3d import load_i3d_arrays
from magvit_keras.convert.lpips import load_lpips_arrays
from magvit_keras.metrics import C3D, I3D, LPIPS, central_crop, resize, resize_and_crop
from magvit_keras.tokenizer.resnet import resnet50

SMALL_I3D = {"width": 1 / 16, "input_size": 32, "num_classes": 12}
SMALL_C3D = {"filters": (3, 4, 5, 6), "hidden_size": 8, "num_classes": 7, "input_size": 32}


def value(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def clips(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, 3), "float32")


def distance(network, real, generated):
    """Compiled as a whole: one operation at a time JAX compiles for long."""
    return value(backend.run_compiled(network, "call", lambda a, b: network(a, b), real, generated))


def test_i3d_equals_another_implementation():
    pytest.importorskip("torch")
    state, video = i3d_state(), clips(2, 10, 32, 32)
    network = I3D(**SMALL_I3D)
    load_i3d_arrays(network, state)
    np.testing.assert_allclose(network.predict(video, verbose=0), torch_i3d(state, video), rtol=2e-4, atol=2e-4)


def test_c3d_equals_another_implementation():
    pytest.importorskip("torch")
    state, video = c3d_state(), clips(2, 16, 32, 32)
    mean = np.random.default_rng(1).uniform(90, 110, size=(3, 16, 32, 32)).astype("float32")
    network = C3D(**SMALL_C3D)
    load_c3d_arrays(network, state, mean)
    expected = torch_c3d(state, -mean.transpose(1, 2, 3, 0), video)
    np.testing.assert_allclose(network.predict(video, verbose=0), expected, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("trunk", ["vgg16", "alexnet"])
def test_lpips_equals_another_implementation(trunk):
    pytest.importorskip("torch")
    states = lpips_states(trunk)
    real, generated = clips(2, 40, 48), clips(2, 40, 48, seed=1)
    network = LPIPS(trunk, width=1 / 16)
    load_lpips_arrays(network, *states)
    expected = torch_lpips(trunk, *states, real, generated)
    np.testing.assert_allclose(distance(network, real, generated), expected, rtol=2e-4)


@pytest.mark.parametrize(("rule", "key"), [("tf1", "i3d_bilinear"), ("aligned", "c3d_aligned")])
def test_resizing_equals_the_reference(reference, rule, key):
    ref = reference("metrics")
    ref.assert_close(value(resize(ref["resize/image"], (23, 17), rule)), f"resize/{key}")


def test_cropping_equals_the_reference(reference):
    ref = reference("metrics")
    ref.assert_close(value(central_crop(ops.convert_to_tensor(ref["resize/image"]), (8, 9))), "resize/i3d_central_crop")


@pytest.mark.parametrize(("size", "n"), [((20, 31), 14), ((31, 20), 33)])
def test_resizing_of_the_short_side_equals_videogpt(size, n):
    """Its code: scale by n / min, ceiling of the long side, crop from (long - n) // 2."""
    torch = pytest.importorskip("torch")
    frames = clips(2, *size)
    whole = tuple(n if m == min(size) else -int(-m * (n / min(size)) // 1) for m in size)
    given = torch.tensor(frames).permute(0, 3, 1, 2)
    scaled = torch.nn.functional.interpolate(given, whole, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    top, left = ((m - n) // 2 for m in whole)
    expected = scaled[:, top : top + n, left : left + n]
    np.testing.assert_allclose(value(resize_and_crop(frames, n, "half_pixel")), expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("crop", [False, True])
def test_i3d_of_clips_that_are_not_square(crop):
    """The two ways differ, and squares are the same in both."""
    network = I3D(resize_rule="half_pixel", crop=crop, **SMALL_I3D)
    video = clips(1, 9, 20, 40)
    expected = resize_and_crop(video, 32, "half_pixel") if crop else resize(video, (32, 32), "half_pixel")
    np.testing.assert_allclose(value(network.preprocess(video)), value(expected) * 2 - 1, atol=1e-5)
    square = clips(1, 9, 24, 24)
    np.testing.assert_allclose(
        value(network.preprocess(square)), value(resize(square, (32, 32), "half_pixel")) * 2 - 1, atol=1e-5
    )


@pytest.mark.parametrize("size", [(23, 17), (5, 6)])
def test_half_pixel_resizing_equals_pytorch(reference, size):
    torch = pytest.importorskip("torch")
    image = reference("metrics")["resize/image"][0]
    given = torch.tensor(image).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(given, size, mode="bilinear", align_corners=False, antialias=False)
    np.testing.assert_allclose(value(resize(image, size, "half_pixel")), expected.permute(0, 2, 3, 1), atol=1e-5)


def test_resizing_inside_a_model():
    frames = keras.Input((20, 24, 3))
    model = keras.Model(frames, resize(frames, (8, 9), "half_pixel"))
    image = clips(2, 20, 24)
    np.testing.assert_allclose(value(model(image)), value(resize(image, (8, 9), "half_pixel")), atol=1e-6)


@pytest.mark.parametrize("rule", ["tf1", "half_pixel"])
def test_clips_are_resized_by_the_rule(rule):
    video = clips(1, 9, 20, 24)
    expected = value(resize(video, (32, 32), rule)) * 2 - 1
    np.testing.assert_allclose(value(I3D(resize_rule=rule, **SMALL_I3D).preprocess(video)), expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (I3D, 12_704_544),
        (C3D, 79_011_685),
        (LPIPS, 14_714_688 + 1_472),  # VGG16 without its classifier, and the heads
        (lambda: LPIPS("alexnet"), 2_469_696 + 1_152),
        (resnet50, 25_557_032 + 2 * 26_560),  # as torchvision's, with the statistics of the normalizations
    ],
)
def test_number_of_parameters(make, count):
    assert make().count_params() == count


@pytest.mark.once
@pytest.mark.parametrize(
    "network",
    [
        lambda: I3D(resize_rule="half_pixel", crop=True, **SMALL_I3D),
        lambda: C3D(**SMALL_C3D),
        lambda: LPIPS("alexnet", width=1 / 16),
    ],
)
def test_saved_networks_are_the_same(network, tmp_path):
    network = network()
    network.set_weights([w + 0.1 for w in network.get_weights()])
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert again.get_config() == network.get_config()
    for one, two in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.once
@pytest.mark.parametrize("network", [lambda: I3D(**SMALL_I3D), lambda: C3D(**SMALL_C3D), lambda: LPIPS(width=1 / 16)])
def test_networks_are_frozen_and_float32_under_every_policy(network):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        made = network()
    finally:
        keras.config.set_dtype_policy(before)
    assert made.trainable_variables == []
    assert {layer.compute_dtype for layer in made._flatten_layers()} == {"float32"}


def test_bytes_are_scaled():
    video = np.round(255 * clips(1, 16, 32, 32))
    network = C3D(**SMALL_C3D)
    found = [network.predict(x, verbose=0) for x in (video.astype("uint8"), video / 255)]
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: I3D(resize_rule="nearest"), "'nearest'; expected one of tf1, half_pixel, aligned"),
        (
            lambda: central_crop(clips(1, 8, 8), (9, 8)),
            r"crop of \(9, 8\) needs frames at least as large; received 8 x 8",
        ),
        (lambda: I3D(input_size=100), "multiple of 32; received 100"),
        (lambda: I3D(**SMALL_I3D)(clips(1, 8, 32, 32)), r"at least 9 frames; received the shape \(1, 8, 32, 32, 3\)"),
        (lambda: C3D(**SMALL_C3D)(clips(1, 9, 32, 32)), r"\(batch, 16, height, width, 3\)"),
        (lambda: C3D(filters=(1, 2)), "4 widths"),
        (lambda: LPIPS("resnet"), "expected one of vgg16, alexnet"),
        (lambda: LPIPS(width=1 / 16)(clips(1, 8, 8), clips(1, 8, 8)), "at least 16 x 16"),
        (lambda: LPIPS(width=1 / 16)(clips(1, 16, 16) * 255, clips(1, 16, 16)), r"must be in \[0, 1\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
