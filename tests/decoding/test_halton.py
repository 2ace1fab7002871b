import numpy as np
import pytest

from magvit_keras.decoding.halton import halton_order

pytestmark = pytest.mark.once


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 16, 16), (3, 5, 7), (1, 1, 9)])
def test_it_is_a_permutation(shape):
    assert sorted(halton_order(shape).tolist()) == list(range(np.prod(shape)))


def test_30_points_fill_30_cells():
    """Halton's property: 2 * 3 * 5 points in a row have each combination of lowest digits once."""
    order = halton_order((2, 3, 5)).reshape(2, 3, 5)
    assert [order[i % 2, i % 3, i % 5] for i in range(1, 31)] == list(range(30))
