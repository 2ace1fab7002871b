"""Initial weights: the distributions of Keras' initializers, and one seed gives the same weights on all backends."""

import keras
import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.layers.initial_values import TruncatedNormal, drawn_by_numpy

SHAPE = (3, 3, 3, 16, 24)


@pytest.mark.parametrize(
    ("name", "spread", "limit"),
    [
        # Of a unit's 432 inputs and, for Glorot, 648 outputs.
        ("lecun_normal", 432**-0.5, 2 * 432**-0.5 / 0.8796),
        ("glorot_uniform", (2 / (432 + 648)) ** 0.5, (6 / (432 + 648)) ** 0.5),
        ("he_uniform", (2 / 432) ** 0.5, (6 / 432) ** 0.5),
    ],
)
def test_spread_and_limit_are_those_of_the_initializer(name, spread, limit):
    values = drawn_by_numpy(keras.initializers.get(name))(SHAPE)
    assert values.dtype == np.float32 and values.shape == SHAPE
    assert values.std() == pytest.approx(spread, rel=0.02)
    assert limit * 0.98 < np.abs(values).max() <= limit * 1.0001


def test_berts_normal_is_cut_at_two_deviations_and_not_rescaled():
    values = TruncatedNormal(stddev=0.02, seed=1)((300, 300))
    assert np.abs(values).max() <= 0.04
    assert values.std() == pytest.approx(0.02 * 0.8796, rel=0.01)


def test_a_seed_gives_the_same_values_and_another_one_others():
    draw = drawn_by_numpy(keras.initializers.LecunNormal(seed=1))
    other = drawn_by_numpy(keras.initializers.LecunNormal(seed=2))
    np.testing.assert_array_equal(draw(SHAPE), draw(SHAPE))
    assert np.abs(draw(SHAPE) - other(SHAPE)).max() > 0.01


def test_other_initializers_are_left_as_they_are():
    zeros = keras.initializers.Zeros()
    assert drawn_by_numpy(zeros) is zeros


def test_one_seed_gives_the_same_models_on_every_backend():
    keras.utils.set_random_seed(0)
    tokenizer = mk.VideoTokenizer(8, (1, 2), (True,), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    transformer = mk.MaskedTransformer(16, 0, (2, 4, 4), num_layers=1, hidden_size=8, num_heads=2, mlp_dim=16)
    sums = [sum(float(np.abs(w).sum()) for w in model.get_weights()) for model in (tokenizer, transformer)]
    # As printed on every backend.
    np.testing.assert_allclose(sums, SUMS, rtol=1e-5)


SUMS = [3328.17895, 47.788204]
