"""Building blocks against the reference arrays."""

import numpy as np
import pytest
from keras import ops

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.padding import pad
from magvit_keras.layers.resampling import downsample, upsample


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def tensor(x):
    return ops.convert_to_tensor(x)


@pytest.mark.parametrize(("key", "axes"), [("time", (True, True, True)), ("no_time", (False, True, True))])
def test_downsample_odd_sizes(reference, key, axes):
    ref = reference("ops")
    ref.assert_close(numpy(downsample(tensor(ref["pool/x"]), axes)), f"pool/{key}")


def test_downsample_frames(reference):
    ref = reference("ops")
    ref.assert_close(numpy(downsample(tensor(ref["pool2d/x"]), (True, True))), "pool2d/y")


@pytest.mark.parametrize(("key", "axes"), [("time", (True, True, True)), ("no_time", (False, True, True))])
def test_upsample(reference, key, axes):
    ref = reference("ops")
    ref.assert_close(numpy(upsample(tensor(ref["up/x"]), axes)), f"up/{key}")


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("x_small", "y_small")])
def test_group_norm(reference, x, y):
    ref = reference("ops")
    layer = GroupNorm()
    layer.build((None, None, None, None, 64))
    layer.scale.assign(ref["gn/scale"])
    layer.bias.assign(ref["gn/bias"])
    ref.assert_close(numpy(layer(tensor(ref[f"gn/{x}"]))), f"gn/{y}")


def test_group_norm_is_accurate_far_from_zero():
    x = (np.random.default_rng(0).normal(size=(1, 2, 8, 8, 32)) + 1000).astype("float32")
    exact = x.astype("float64") - x.astype("float64").mean(axis=(1, 2, 3), keepdims=True)
    exact /= np.sqrt((exact**2).mean(axis=(1, 2, 3), keepdims=True) + 1e-6)
    np.testing.assert_allclose(numpy(GroupNorm()(tensor(x))), exact, atol=2e-3)


def test_group_norm_is_finite_on_a_constant():
    assert np.all(np.isfinite(numpy(GroupNorm()(tensor(np.full((1, 2, 2, 2, 32), 1e4, "float32"))))))


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize("padding", ["SAME", "reflect", "symmetric", "edge", "wrap"])
def test_convolution(reference, kernel_size, padding):
    ref = reference("ops")
    key = f"conv/k{kernel_size}_s1_{padding}"
    layer = Convolution(4, kernel_size, padding=padding.lower())
    layer.build(ref["conv/x"].shape)
    layer.kernel.assign(ref[f"conv/kernel_{kernel_size}"])
    layer.bias.assign(ref[f"conv/bias_{kernel_size}"])
    ref.assert_close(numpy(layer(tensor(ref["conv/x"]))), key)


def test_reflecting_a_single_cell_repeats_it():
    x = tensor(np.arange(4, dtype="float32").reshape((1, 1, 2, 2, 1)))
    padded = numpy(pad(x, (3, 1, 1), "reflect"))
    np.testing.assert_array_equal(padded, np.repeat(numpy(x), 3, axis=1))


def test_group_norm_refuses_other_widths():
    with pytest.raises(ValueError, match="received 48 channels"):
        GroupNorm().build((None, None, None, None, 48))
