"""The form that JAX takes on TPUs gives the numbers of the others; compiled here for this machine."""

import contextlib
import importlib

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm
from magvit_keras.layers.residual_block import ResidualBlock

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
@pytest.mark.parametrize("padding", ["reflect", "same"])
def test_residual_block(padding):
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 2, 3, 4, 8)).astype("float32")
    block = ResidualBlock(16, padding=padding, norm_groups=4)
    expected = ops.convert_to_numpy(block(x))
    with for_tpu():
        found = ops.convert_to_numpy(block(x))
    np.testing.assert_allclose(found, expected, atol=1e-4)


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
