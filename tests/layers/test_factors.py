"""Factored codebooks: digits, the transformer's table, loss, decoding, and a model of 2^18 codes."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.commit.losses import commit_loss
from magvit_keras.decoding.commit_decoding import decode
from magvit_keras.decoding.sampling import log_probability, sample_tokens
from magvit_keras.layers.factors import check_factors, join_ids, split_ids
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

FACTORS = (4, 3, 2)
RNG = np.random.default_rng(0)


def one_hot_digits(ids, scale):
    """Logits that are sure of the digits of these tokens."""
    parts = [scale * np.eye(f, dtype="float32")[d] for f, d in zip(FACTORS, split_ids(ids, FACTORS), strict=True)]
    return np.concatenate(parts, axis=-1)


def test_joining_undoes_splitting():
    ids = np.arange(24, dtype="int32")
    digits = split_ids(ids, FACTORS)
    assert len({tuple(d) for d in zip(*digits, strict=True)}) == 24
    np.testing.assert_array_equal(join_ids(digits, FACTORS), ids)


@pytest.mark.parametrize("bad", [(), (24, 1), (5, 5)])
def test_wrong_factors_raise(bad):
    with pytest.raises(ValueError, match="product 24"):
        check_factors(bad, 24)


def test_log_probability_is_that_of_the_product_distribution():
    logits = RNG.normal(size=(2, 9)).astype("float32")
    everything = np.stack([ops.convert_to_numpy(log_probability(logits, np.full(2, i), FACTORS)) for i in range(24)])
    np.testing.assert_allclose(np.exp(everything).sum(0), 1, atol=1e-5)


def test_the_most_likely_token_has_the_most_likely_digits():
    ids = RNG.integers(0, 24, (2, 5)).astype("int32")
    drawn = sample_tokens(one_hot_digits(ids, 1.0), 0.0, None, FACTORS)
    np.testing.assert_array_equal(ops.convert_to_numpy(drawn), ids)


def test_loss_of_flat_logits_is_the_log_of_the_codebook_size():
    targets = RNG.integers(0, 24, (1, 5)).astype("int32")
    out = commit_loss(np.zeros((1, 5, 9), "float32"), targets, np.zeros((1, 5)), np.ones((1, 5)), 0.0, FACTORS)
    assert float(out.loss) == pytest.approx(np.log(24), rel=1e-5)


def test_accuracy_needs_every_digit():
    targets = np.array([[0, 1]], "int32")
    logits = one_hot_digits(np.array([[0, 1 + 4]]), 9.0)  # the second token differs in its second digit
    out = commit_loss(logits, targets, np.zeros((1, 2)), np.ones((1, 2)), 0.0, FACTORS)
    assert float(np.sum(ops.convert_to_numpy(out.part_correct))) == 1


def test_an_oracle_is_decoded_exactly():
    truth = RNG.integers(0, 24, (2, 7)).astype("int32")
    options = {"mask_id": 30, "num_steps": 3, "codebook_factors": FACTORS}
    ids = decode(lambda _: ops.convert_to_tensor(one_hot_digits(truth, 50.0)), 0 * truth, truth >= 0, **options)
    np.testing.assert_array_equal(ops.convert_to_numpy(ids), truth)


def test_the_transformer_has_rows_for_digits_and_knows_every_token_apart():
    model = MaskedTransformer(24, 3, (2, 2, 2), 1, 8, 2, 16, dropout=0.0, codebook_factors=FACTORS)
    assert model.embedding.tokens.shape[0] == 9 + 4 + 16
    ids = np.tile(np.arange(model.vocabulary_size, dtype="int32")[:, None], (1, 10))
    embedded = ops.convert_to_numpy(model.embedding(ids))[:, 0]
    distances = np.abs(embedded[:, None] - embedded[None]).max(-1) + np.eye(len(ids))
    assert distances.min() > 1e-3
    assert tuple(model.codebook_logits(ids).shape) == (44, 8, 9)


def test_a_model_of_2_to_the_18_codes_trains_generates_and_is_restored():
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, quantizer="lfq", codebook_size=2**18, embedding_dim=18)
    transformer = MaskedTransformer(2**18, 2, (2, 4, 4), 1, 32, 2, 64, codebook_factors=(512, 512))
    assert transformer.count_params() < 100_000  # not 8 million, as with a row for each code
    magvit = Magvit(tokenizer, transformer, ["class_conditional_generation"])
    magvit.compile(optimizer=keras.optimizers.Adam(1e-2))
    tokens = RNG.integers(0, 2**18, (4, 2, 4, 4)).astype("int32")
    batch = {"tokens": tokens, "condition_tokens": tokens[:, None], "label": np.array([0, 1, 0, 1])}
    history = magvit.fit(batch, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert history[0] == pytest.approx(18 * np.log(2), rel=0.1)
    assert history[-1] < history[0] - 1
    made = magvit.generate(label=[0], num_steps=2, return_details=True)
    assert made.tokens.max() > 2**10
    again = MaskedTransformer.from_config(transformer.get_config())
    assert again.codebook_factors == (512, 512)
