import numpy as np
import pytest

from magvit_keras.decoding.halton import halton_order

pytestmark = pytest.mark.once


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 16, 16), (3, 5, 7), (1, 1, 9)])
def test_it_is_a_permutation(shape):
    assert sorted(halton_order(shape).tolist()) == list(range(np.prod(shape)))


def test_the_first_points_are_those_of_the_sequence():
    """1/2, 1/4, 3/4 in base 2; 1/3, 2/3, 1/9 in base 3; 1/5, 2/5, 3/5 in base 5."""
    order = halton_order((2, 3, 5)).reshape(2, 3, 5)
    assert [order[1, 1, 1], order[0, 2, 2], order[1, 0, 3]] == [0, 1, 2]


def test_early_tokens_are_spread_evenly():
    """Every quarter of the clip gets its share of the first quarter of the tokens, within two."""
    early = halton_order((4, 8, 8)).reshape(4, 8, 8) < 64
    halves = [early[:, :4, :4], early[:, 4:, :4], early[:, :4, 4:], early[:, 4:, 4:]]
    assert all(abs(int(part.sum()) - 16) <= 2 for part in halves)
