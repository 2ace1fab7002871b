"""The form that JAX takes on TPUs gives the numbers of the others; compiled here for this machine."""

import contextlib
import importlib

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.resampling import downsample
from magvit_keras.layers.residual_block import ResidualBlock
from magvit_keras.layers.transformer_block import SelfAttention

jax_only = pytest.mark.skipif(keras.config.backend() != "jax", reason="only JAX has another form for TPUs")


@contextlib.contextmanager
def for_tpu():
    with importlib.import_module("magvit_keras.backend.jax").compiling_for("tpu"):
        yield


@jax_only
@pytest.mark.parametrize("padding", ["reflect", "same"])
@pytest.mark.parametrize("double", [(True, True, True), (False, True, True)])
def test_convolution_after_upsampling(padding, double):
    random = np.random.default_rng(0)
    layer = Convolution(3, padding=padding)
    x = random.standard_normal((2, 2, 3, 4, 5)).astype("float32")
    expected = ops.convert_to_numpy(layer(x, double=double))
    with for_tpu():
        found = ops.convert_to_numpy(layer(x, double=double))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@jax_only
def test_convolution_after_upsampling_to_more_channels_than_half_the_lanes():
    layer = Convolution(65, padding="reflect")
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4, 5)).astype("float32")
    expected = ops.convert_to_numpy(layer(x, double=(True, True, True)))
    with for_tpu():
        found = ops.convert_to_numpy(layer(x, double=(True, True, True)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


# By pairs of cells; two axes; an odd width; a shortcut; a border that is not paired; wide.
@jax_only
@pytest.mark.parametrize(
    ("shape", "filters", "padding"),
    [
        ((2, 2, 3, 4, 8), 8, "reflect"),
        ((2, 2, 3, 4, 8), 8, "same"),
        ((2, 6, 4, 8), 8, "reflect"),
        ((2, 2, 3, 5, 8), 8, "reflect"),
        ((2, 2, 3, 4, 8), 16, "reflect"),
        ((2, 2, 3, 4, 8), 8, "symmetric"),
        ((1, 2, 2, 2, 8), 72, "reflect"),
    ],
)
def test_residual_block(shape, filters, padding):
    x = np.random.default_rng(0).normal(1.0, 1.0, shape).astype("float32")
    block = ResidualBlock(filters, rank=len(shape) - 2, padding=padding, norm_groups=4)
    expected = ops.convert_to_numpy(block(x))
    with for_tpu():
        found = ops.convert_to_numpy(block(x))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@jax_only
@pytest.mark.parametrize(("channels", "paired"), [(64, True), (65, False)])
def test_tensors_that_fill_half_of_the_lanes_are_taken_by_pairs_of_cells(channels, paired, monkeypatch):
    from magvit_keras.backend.forms import jax_tpu

    seen, convolve = [], jax_tpu.convolve
    monkeypatch.setattr(jax_tpu, "convolve", lambda x, *a, **k: seen.append(x.shape[-1]) or convolve(x, *a, **k))
    x, one = np.ones((1, 2, 4, 4, channels), "float32"), np.ones(channels, "float32")
    kernel = np.ones((3, 3, 3, channels, channels), "float32")
    made = jax_tpu.normalized_convolution(x, 1, one, one, 1e-6, kernel, "reflect")
    assert made.shape == x.shape
    assert seen == [2 * channels if paired else channels]


@jax_only
@pytest.mark.parametrize("padding", ["reflect", "same"])
@pytest.mark.parametrize("width", [4, 5])
def test_a_wide_tensor_becomes_a_narrow_one(width, padding):
    x = np.random.default_rng(0).normal(1.0, 1.0, (1, 2, 3, width, 128)).astype("float32")
    block = ResidualBlock(64, padding=padding)
    expected = ops.convert_to_numpy(block(x))
    with for_tpu():
        found = ops.convert_to_numpy(block(x))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@jax_only
@pytest.mark.parametrize("size", [1, 3])
def test_two_outputs_at_a_time_fill_the_lanes_of_a_narrow_tensor(size, monkeypatch):
    from magvit_keras.backend.forms import jax_tpu

    seen, convolve = [], jax_tpu.convolve
    monkeypatch.setattr(jax_tpu, "convolve", lambda x, *a, **k: seen.append(convolve(x, *a, **k)) or seen[-1])
    made = jax_tpu.convolve_to_lanes(
        np.ones((1, 2 + size, 3 + size, 3 + size, 128), "float32"), np.ones((size,) * 3 + (128, 64), "float32")
    )
    assert made.shape == (1, 3, 4, 4, 64)
    assert seen[0].shape == (1, 3, 4, 2, 128)


@jax_only
@pytest.mark.parametrize("axes", [(True, True, True), (False, True, True), (True, True, False)])
@pytest.mark.parametrize("width", [6, 5])
def test_downsampling(axes, width):
    x = np.random.default_rng(0).random((2, 2, 4, width, 3)).astype("float32")
    expected = ops.convert_to_numpy(downsample(x, axes))
    with for_tpu():
        found = ops.convert_to_numpy(downsample(x, axes))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@jax_only
def test_pairs_of_cells_of_half_precision():
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 2, 3, 4, 8)).astype("float32")
    block = ResidualBlock(8, norm_groups=4, dtype="mixed_bfloat16")
    expected = ops.convert_to_numpy(ops.cast(block(x), "float32"))
    with for_tpu():
        found = block(x)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(found, "float32")), expected, atol=0.05)


@jax_only
@pytest.mark.parametrize("padding", ["reflect", "same"])
def test_first_convolution_of_pixels(padding):
    layer = Convolution(64, padding=padding)
    x = np.random.default_rng(0).random((1, 2, 4, 6, 3)).astype("float32")
    expected = ops.convert_to_numpy(layer(x))
    with for_tpu():
        found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@jax_only
def test_normalization_of_half_precision_has_its_own_rounding_error_only():
    x = np.random.default_rng(0).normal(3.0, 0.5, (2, 4, 8, 8, 8)).astype("float32")
    half = ops.cast(x, "bfloat16")
    layer = GroupNorm(4, dtype="mixed_bfloat16")
    expected = ops.convert_to_numpy(ops.cast(layer(half), "float32"))
    with for_tpu():
        found = ops.convert_to_numpy(ops.cast(layer(half), "float32"))
    np.testing.assert_allclose(found, expected, atol=2**-7)  # half a step of bfloat16 between 2 and 4
    with for_tpu():
        constant = ops.convert_to_numpy(ops.cast(layer(ops.full((1, 2, 4, 4, 8), 1000.0, "bfloat16")), "float32"))
    assert np.isfinite(constant).all()


@jax_only
@pytest.mark.parametrize(("length", "causal"), [(130, False), (130, True), (520, False)])
def test_attention(length, causal, monkeypatch):
    from jax.experimental.pallas import tpu

    from magvit_keras.backend import jax as backend
    from magvit_keras.backend.forms import jax_tpu

    x = np.random.default_rng(0).normal(size=(1, length, 8)).astype("float32")
    layer = SelfAttention(2, causal=causal)

    def loss():
        made = layer(x)
        return ops.sum(ops.square(made)), made

    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(np.random.default_rng(1).normal(0, 0.3, weight.shape))
    _, expected, gradients = backend.value_and_gradients(loss, layer.trainable_variables, [])
    monkeypatch.setattr(jax_tpu, "_KEYS", 256)  # longer ones are taken in several blocks
    used = []
    whole = jax_tpu.attention
    monkeypatch.setattr(jax_tpu, "attention", lambda *a: used.append(whole(*a)) or used[-1])
    with for_tpu(), tpu.force_tpu_interpret_mode():
        found = ops.convert_to_numpy(layer(x))
        again = backend.value_and_gradients(loss, layer.trainable_variables, [])[2]
    assert used[0] is not None
    np.testing.assert_allclose(found, ops.convert_to_numpy(expected), atol=1e-4)
    largest = max(float(ops.max(ops.abs(gradient))) for gradient in gradients)
    for our, their in zip(again, gradients, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(our), ops.convert_to_numpy(their), rtol=0, atol=1e-5 * largest)


@jax_only
@pytest.mark.parametrize(
    "kind, multiplied", [("TPU v2", "float32"), ("TPU v3", "float32"), ("TPU v5 lite", "bfloat16")]
)
def test_attention_in_half_precision_multiplies_what_the_chip_can(kind, multiplied, monkeypatch):
    from jax.experimental.pallas.ops.tpu import flash_attention as kernel

    seen = []
    monkeypatch.setattr(kernel, "flash_attention", lambda *heads, **_: seen.extend(heads) or heads[2])
    backend = importlib.import_module("magvit_keras.backend.jax")
    x = ops.ones((1, 130, 2, 4), "bfloat16")
    with backend.compiling_for("tpu", kind):
        found = backend.attention(x, x, x, 1.0, False)
    assert {str(head.dtype) for head in seen} == {multiplied}
    assert str(found.dtype) == "bfloat16" and found.shape == x.shape


@jax_only
def test_short_sequences_are_attended_to_in_steps():
    x = np.zeros((1, 9, 1, 4), "float32")
    with for_tpu():
        assert importlib.import_module("magvit_keras.backend.jax").attention(x, x, x, 1.0, False) is None
