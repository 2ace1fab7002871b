"""Dense layers with bias and GELU in one product."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.dense import dense

X = (4 * np.random.default_rng(0).standard_normal((2, 70, 6))).astype("float32")
EXTREME = np.array([[-1e30, -300.0, -30.0, 0.0, 30.0, 1e30]], "float32")


def layer(kind="dense", dtype="float32"):
    if kind == "dense":
        made = keras.layers.Dense(5, bias_initializer="normal", dtype=dtype)
    else:
        made = keras.layers.EinsumDense(
            "bnd,dhk->bnhk", output_shape=(None, 2, 3), bias_axes="hk", bias_initializer="normal", dtype=dtype
        )
    made.build((None, 70, 6))
    return made


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("kind", ["dense", "einsum"])
def test_it_is_the_layer(kind, gelu):
    """And GELU after it, in the form with tanh."""
    made = layer(kind)
    expected = ops.gelu(made(X), approximate=True) if gelu else made(X)
    compiled = backend.run_compiled(made, ("dense", gelu), lambda x: dense(made, x, gelu=gelu), X)
    np.testing.assert_allclose(ops.convert_to_numpy(compiled), ops.convert_to_numpy(expected), atol=1e-5)


def test_gelu_of_extreme_numbers():
    """Large ones stay, large negative ones become 0; nothing overflows."""
    made = keras.layers.Dense(6, kernel_initializer=keras.initializers.Identity())
    made.build((1, 6))
    found = ops.convert_to_numpy(backend.run_compiled(made, "gelu", lambda x: dense(made, x, gelu=True), EXTREME))
    np.testing.assert_allclose(found, np.maximum(EXTREME, 0), rtol=1e-6)


def test_the_inputs_stay():
    """GELU in place is of the product, not of what was given."""
    made, x = layer(), ops.convert_to_tensor(X)
    backend.run_compiled(made, "gelu", lambda x: dense(made, x, gelu=True), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(x), X)


def test_half_precision_is_kept():
    """The products are in the layer's compute type."""
    made = layer(dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(dense(made, X, gelu=True).dtype) == "bfloat16"


def test_the_gradient_is_that_of_the_layer():
    """Through product, bias and GELU."""
    made = layer()

    def gradients(fn):
        found = backend.value_and_gradients(lambda: (ops.sum(ops.square(fn())), ()), made.trainable_variables, [])[2]
        return [ops.convert_to_numpy(g) for g in found]

    found = gradients(lambda: dense(made, X, gelu=True))
    expected = gradients(lambda: ops.gelu(made(X), approximate=True))
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-4, atol=1e-3)


def test_a_symbolic_batch_passes():
    """Shapes are worked out without values."""

    class Holder(keras.layers.Layer):
        def build(self, input_shape):
            self.inner = layer("einsum")

        def call(self, x):
            return dense(self.inner, x, gelu=True)

    assert tuple(Holder()(keras.Input((70, 6))).shape) == (None, 70, 2, 3)
