"""LayerNorm of a sum in one pass: the numbers of the layer."""

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.layer_norm import EPSILON, layer_norm, normalized_sum

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(3, 2, (2, 2, 7, 12)).astype("float32")


def layer():
    made = layer_norm("norm")
    made.build(X.shape)
    made.gamma.assign(RANDOM.normal(1, 0.3, 12))
    made.beta.assign(RANDOM.normal(0, 0.3, 12))
    return made


def compiled(made, x, y):
    found = backend.run_compiled(made, "sum", lambda x, y: normalized_sum(made, x, y), x, y)
    return ops.convert_to_numpy(ops.cast(ops.stop_gradient(found), "float32"))


def expected(made, x, y):
    """In float64, by the definition."""
    total = x.astype("float64") + y
    total = total - total.mean(-1, keepdims=True)
    deviation = np.sqrt(np.square(total).mean(-1, keepdims=True) + EPSILON)
    return total / deviation * ops.convert_to_numpy(made.gamma) + ops.convert_to_numpy(made.beta)


def test_outputs_are_those_of_the_definition():
    made = layer()
    np.testing.assert_allclose(compiled(made, X, Y), expected(made, X, Y), atol=1e-5)


def test_the_variance_of_small_numbers_is_not_lost():
    """Inputs of a thousandth, whose variance a larger epsilon would drown."""
    made = layer()
    np.testing.assert_allclose(compiled(made, X * 1e-3, Y * 1e-3), expected(made, X * 1e-3, Y * 1e-3), atol=1e-4)


def test_half_precision_is_normalized_in_float32():
    """The sum is in the type of the inputs, statistics are not."""
    made = layer()
    x, y = (ops.cast(a, "bfloat16") for a in (X, Y))
    found = backend.run_compiled(made, "half", lambda x, y: normalized_sum(made, x, y), x, y)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    total = ops.convert_to_numpy(ops.cast(x + y, "float32"))
    found = ops.convert_to_numpy(ops.cast(ops.stop_gradient(found), "float32"))
    np.testing.assert_allclose(found, expected(made, total, 0.0), atol=0.02)


def test_gradients_are_those_of_the_layer(monkeypatch):
    monkeypatch.setattr(backend._chosen, "is_traced", lambda x: True)  # TensorFlow: in one pass
    made = layer()
    variable = keras.Variable(X)

    def gradient(normalized):
        def loss():
            return ops.sum(ops.sin(normalized(variable + 0.0, ops.convert_to_tensor(Y)))), ()

        return ops.convert_to_numpy(backend.value_and_gradients(loss, [variable], [])[2][0])

    found = gradient(lambda x, y: normalized_sum(made, x, y))
    np.testing.assert_allclose(found, gradient(lambda x, y: made(x + y)), atol=1e-5)
