import numpy as np
import pytest
from keras import ops

from magvit_keras.decoding.noise import gumbel, hash_uniform
from magvit_keras.decoding.sampling import filter_logits, sample_tokens


@pytest.mark.parametrize("p", ["0.3", "0.9"])
def test_top_p_equals_the_reference(reference, p):
    ref = reference("decode")
    ref.assert_close(filter_logits(ref["table/base"][:6], top_p=float(p)), f"top_p/{p}")


def test_top_k_keeps_k():
    logits = np.random.default_rng(0).normal(size=(5, 30)).astype("float32")
    kept = np.asarray(filter_logits(logits, top_k=4)) == logits
    assert (kept.sum(-1) == 4).all()
    assert (np.asarray(filter_logits(logits, top_k=100)) == logits).all()


@pytest.mark.parametrize("bad", [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_bad_filters_raise(bad):
    with pytest.raises(ValueError, match="Expected top_"):
        filter_logits(np.zeros((1, 4), "float32"), **bad)


def test_frequencies_follow_the_softmax():
    logits = np.array([0.0, 1.0, 2.0, -1.0], "float32")
    noise = gumbel(hash_uniform(3, 0, (1, 40000, 4)))
    drawn = np.asarray(sample_tokens(np.tile(logits, (1, 40000, 1)), 2.0, noise))
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=4) / 40000, expected, atol=0.01)


def test_temperature_0_takes_the_most_likely():
    logits = np.random.default_rng(0).normal(size=(2, 9, 5)).astype("float32")
    noise = gumbel(hash_uniform(3, 0, (2, 9, 5)))
    drawn = sample_tokens(ops.convert_to_tensor(logits), 0.0, noise)
    np.testing.assert_array_equal(np.asarray(drawn), logits.argmax(-1))
