"""The paper's optimizers."""

import keras
import numpy as np
from keras import ops

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
