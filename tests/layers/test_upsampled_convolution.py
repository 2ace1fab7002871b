"""Upsampling and convolution in one: the numbers of the plain way."""

import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.padding import PADDINGS, pad
from magvit_keras.layers.resampling import upsample


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def plain(layer, x, axes):
    x = pad(upsample(ops.convert_to_tensor(x), axes), (3,) * len(axes), layer.padding)
    return numpy(backend.convolve(x, ops.convert_to_tensor(layer.kernel)) + layer.bias)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("axes", [(True, True, True), (False, True, True)])
def test_clips_are_as_if_upsampled_first(padding, axes):
    layer = Convolution(5, padding=padding)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2, 6)).astype("float32")
    layer.build(x.shape)
    layer.bias.assign(np.arange(5.0))
    np.testing.assert_allclose(numpy(layer(x, double=axes)), plain(layer, x, axes), atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "reflect"])
def test_a_single_cell_can_be_doubled(padding):
    layer = Convolution(2, rank=2, padding=padding)
    x = np.random.default_rng(1).normal(size=(1, 1, 1, 3)).astype("float32")
    layer.build(x.shape)
    np.testing.assert_allclose(numpy(layer(x, double=(True, True))), plain(layer, x, (True, True)), atol=1e-5)


def test_gradients_are_those_of_the_plain_way():
    layer = Convolution(4, rank=2, padding="reflect")
    x = np.random.default_rng(2).normal(size=(2, 3, 3, 3)).astype("float32")
    layer.build(x.shape)
    target = ops.convert_to_tensor(np.random.default_rng(3).normal(size=(2, 6, 6, 4)).astype("float32"))

    def fused():
        return ops.sum(layer(x, double=(True, True)) * target), ()

    def large_grid():
        padded = pad(upsample(ops.convert_to_tensor(x), (True, True)), (3, 3), "reflect")
        return ops.sum(backend.convolve(padded, ops.convert_to_tensor(layer.kernel)) * target), ()

    _, _, ours = backend.value_and_gradients(fused, [layer.kernel], [])
    _, _, theirs = backend.value_and_gradients(large_grid, [layer.kernel], [])
    np.testing.assert_allclose(numpy(ours[0]), numpy(theirs[0]), rtol=1e-4, atol=1e-4)
