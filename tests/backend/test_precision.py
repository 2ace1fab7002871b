"""Products and networks in full float32 on hardware that would round."""

import numpy as np
import pytest
from keras import ops

from magvit_keras import backend

A, B = np.random.default_rng(0).normal(size=(2, 33, 33)).astype("float32")


def test_an_exact_product_is_that_of_float64():
    found = ops.convert_to_numpy(backend.exact_matmul(ops.convert_to_tensor(A), ops.convert_to_tensor(B)))
    np.testing.assert_allclose(found, A.astype("float64") @ B, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(backend.name() != "jax", reason="TensorFlow and PyTorch sum in float64")
def test_an_exact_product_asks_the_compiler_for_full_precision():
    """A processor computes in float32 either way: the program tells what an accelerator would do."""
    import jax

    assert "Precision.HIGHEST" in str(jax.make_jaxpr(backend.exact_matmul)(A, B))
    assert "Precision.HIGHEST" not in str(jax.make_jaxpr(ops.matmul)(A, B))
