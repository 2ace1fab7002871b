"""Attention in one pass: the numbers of the steps, written out in NumPy, and its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.layers import transformer_block
from magvit_keras.layers.transformer_block import SelfAttention

X = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def layer(**options):
    keras.utils.set_random_seed(0)
    made = SelfAttention(3, **options)
    made.build(X.shape)
    random = np.random.default_rng(1)
    for weight in made.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return made


def plain(attention, x, causal):
    """softmax(q k / sqrt(4)) v in float64."""

    def projected(part):
        kernel, bias = (numpy(w).astype("float64") for w in (part.kernel, part.bias))
        return np.einsum("bnd,dhk->bhnk", x.astype("float64"), kernel) + bias[:, None]

    query, key, value = (projected(part) for part in (attention.query, attention.key, attention.value))
    affinity = query @ key.swapaxes(-1, -2) / 2
    affinity = np.where(np.tri(x.shape[1], dtype=bool), affinity, -np.inf) if causal else affinity
    weights = np.exp(affinity - affinity.max(-1, keepdims=True))
    made = weights / weights.sum(-1, keepdims=True) @ value
    kernel, bias = (numpy(w).astype("float64") for w in (attention.out.kernel, attention.out.bias))
    return np.einsum("bhnk,hkd->bnd", made, kernel) + bias


@pytest.mark.parametrize("causal", [False, True])
def test_outputs_are_those_of_the_definition(causal):
    attention = layer(causal=causal)
    np.testing.assert_allclose(numpy(attention(X)), plain(attention, X, causal), atol=1e-5)


def gradients(attention):
    def loss():
        return ops.sum(ops.square(ops.cast(attention(X, training=True), "float32"))), ()

    return backend.value_and_gradients(loss, attention.trainable_variables, [])[2]


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_the_steps(causal, monkeypatch):
    attention = layer(causal=causal)
    ours = gradients(attention)
    monkeypatch.setattr(transformer_block.backend, "attention", lambda *args: None)
    for our, their in zip(ours, gradients(attention), strict=True):
        np.testing.assert_allclose(numpy(our), numpy(their), rtol=0, atol=1e-4)


@pytest.mark.parametrize("few", [0, 2**25])
def test_gradients_in_half_precision_are_near_those_of_float32(few, monkeypatch):
    monkeypatch.setattr(backend._chosen, "_FEW_WEIGHTS", few, raising=False)  # PyTorch: in one pass, with kept weights
    exact = gradients(layer())
    largest = max(np.abs(numpy(gradient)).max() for gradient in exact)
    for half, whole in zip(gradients(layer(dtype="mixed_bfloat16")), exact, strict=True):
        np.testing.assert_allclose(numpy(half), numpy(whole), rtol=0, atol=0.02 * largest)


def test_half_precision_has_a_float32_softmax():
    attention = layer(dtype="mixed_bfloat16")
    expected = plain(attention, X, False)
    found = numpy(ops.cast(attention(X), "float32"))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_one_pass_is_taken_where_the_backend_has_it_and_nothing_is_dropped(monkeypatch):
    calls = []
    whole = backend.attention

    def counted(*args):
        calls.append(whole(*args))
        return calls[-1]

    monkeypatch.setattr(transformer_block.backend, "attention", counted)
    attention = layer(dropout=0.5)
    attention(X, training=True)
    assert not calls  # dropped weights are shared over batch and heads: no kernel does that
    attention(X)
    assert calls[0] is not None  # on CPUs; elsewhere it may be done in steps


@pytest.mark.parametrize("at_once", [1, 2])
def test_many_heads_are_taken_in_groups(at_once, monkeypatch):
    """One by one, and two and then the third, on TensorFlow."""
    attention = layer(causal=True)
    expected = numpy(attention(X))
    monkeypatch.setattr(backend._chosen, "_WEIGHTS", at_once * X.shape[0] * X.shape[1] ** 2, raising=False)
    np.testing.assert_allclose(numpy(attention(X)), expected, atol=1e-6)
