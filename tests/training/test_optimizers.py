"""The paper's optimizers."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.training.optimizers import KernelDecayAdamW, tokenizer_optimizer, transformer_optimizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer


def test_weight_decay_moves_kernels_and_nothing_else():
    model = MaskedTransformer(8, 2, (1, 2, 2), 1, 8, 2, 16)
    for weight in model.trainable_variables:
        weight.assign(ops.ones(weight.shape))
    saved = KernelDecayAdamW(0.1, weight_decay=0.5)
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(saved))
    optimizer.build(model.trainable_variables)
    optimizer.apply([ops.zeros(weight.shape) for weight in model.trainable_variables])
    moved = {w.path for w in model.trainable_variables if ops.convert_to_numpy(w).ravel()[0] < 1}
    assert moved == {w.path for w in model.trainable_variables if w.path.endswith("/kernel")}
    assert len(moved) == 4 + 2 + 1  # attention, MLP, output
    np.testing.assert_allclose(ops.convert_to_numpy(model.blocks[0].mlp_in.kernel), 0.95, rtol=1e-6)


def test_learning_rate_rises_to_its_peak_and_falls_to_zero():
    schedule = transformer_optimizer(100, learning_rate=2.0, warmup_steps=10)._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [0, 1, 2, 1, 0], atol=1e-5)


def test_momenta_are_those_of_the_paper():
    assert (tokenizer_optimizer(10).beta_1, tokenizer_optimizer(10).beta_2) == (0.0, 0.99)
    made = transformer_optimizer(10)
    assert (made.beta_1, made.beta_2, made.weight_decay, made.global_clipnorm) == (0.9, 0.96, 0.045, 1.0)


def moved(optimizer, gradients):
    """How far gradients, one after the other, move a weight."""
    weight = keras.Variable(np.zeros(1, "float32"), name="kernel")
    optimizer.build([weight])
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(np.asarray([gradient], "float32"))])
    return float(ops.convert_to_numpy(weight)[0])


def optax_adam(gradients, rate, beta_1, beta_2, epsilon=1e-8):
    """Adam as Algorithm 1 of arXiv 1412.6980 and optax write it."""
    weight = mean = square = 0.0
    for step, gradient in enumerate(gradients, 1):
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        root = np.sqrt(square / (1 - beta_2**step))
        weight -= rate * mean / (1 - beta_1**step) / (root + epsilon)
    return weight


SMALL = [1e-7, 3e-8, -2e-8, 5e-7]
MAKERS = [
    lambda **options: backend.OptaxAdam(0.1, beta_1=0.5, beta_2=0.99, **options),
    lambda **options: KernelDecayAdamW(0.1, weight_decay=0.0, beta_1=0.5, beta_2=0.99, **options),
]


@pytest.mark.parametrize("make", MAKERS)
def test_small_gradients_move_a_weight_as_optax_does(make):
    np.testing.assert_allclose(moved(make(), SMALL), optax_adam(SMALL, 0.1, 0.5, 0.99), rtol=1e-5)
    assert abs(moved(keras.optimizers.Adam(0.1, 0.5, 0.99), SMALL)) < 0.06  # a fifth of it


@pytest.mark.parametrize("make", MAKERS)
def test_epsilon_survives_saving(make):
    config = keras.optimizers.serialize(make(epsilon=1e-5))
    copy = keras.optimizers.deserialize(config)
    assert copy.get_config()["epsilon"] == 1e-5
    np.testing.assert_allclose(moved(copy, SMALL), optax_adam(SMALL, 0.1, 0.5, 0.99, 1e-5), rtol=1e-5)


def test_the_correction_counts_updates_and_not_batches():
    parts = backend.OptaxAdam(0.1, beta_1=0.5, beta_2=0.99, gradient_accumulation_steps=2)
    twice = [gradient for gradient in SMALL for _ in "ab"]
    np.testing.assert_allclose(moved(parts, twice), optax_adam(SMALL, 0.1, 0.5, 0.99), rtol=1e-5)


def test_the_state_of_keras_own_adam_goes_into_the_paper_s_optimizers(tmp_path):
    """So that a training that was begun before goes on."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1, beta_1=0.0, beta_2=0.99), "mse")
    model.fit(np.ones((4, 2), "float32"), np.ones((4, 1), "float32"), verbose=0)
    model.save_weights(tmp_path / "state.weights.h5")
    before = [ops.convert_to_numpy(v) for v in model.optimizer.variables]
    model.compile(backend.OptaxAdam(0.1, beta_1=0.0, beta_2=0.99), "mse")
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / "state.weights.h5")
    for value, expected in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), expected)


def test_the_paper_s_optimizers_have_optax_s_epsilon():
    for made in (tokenizer_optimizer(10), transformer_optimizer(10), KernelDecayAdamW(weight_decay=0.1)):
        assert made.get_config()["epsilon"] == 1e-8


def test_an_optimizer_that_was_saved_with_another_epsilon_keeps_it():
    saved = {
        "module": "magvit_keras.optimizers",
        "class_name": "KernelDecayAdamW",
        "registered_name": "magvit_keras>KernelDecayAdamW",
        "config": {"learning_rate": 1e-3, "weight_decay": 0.1, "beta_2": 0.96, "epsilon": 1e-7},
    }
    made = keras.optimizers.deserialize(saved)
    assert isinstance(made, KernelDecayAdamW) and made.get_config()["epsilon"] == 1e-7
