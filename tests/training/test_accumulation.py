"""Several batches for one update of the weights: the same as one large batch."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.two_optimizers import TwoOptimizers, batches_per_update
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN
from magvit_keras.training.optimizers import tokenizer_optimizer, transformer_optimizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

CLIPS = np.random.default_rng(0).random((4, 2, 4, 4, 3), "float32")
# The entropy loss and LeCam are of a batch's mean, not means over examples: parts of a batch have others.
SMALL = {"filters": 4, "channel_multipliers": (1,), "num_res_blocks": 1, "embedding_dim": 4, "norm_groups": 2}


def tokenizer():
    return VideoTokenizer(temporal_downsample=(), codebook_size=8, entropy_loss_weight=0.0, **SMALL)


def weights_after(make_optimizer, parts, updates=2):
    """Weights of tokenizer, discriminator and average after updates by the same four clips in so many parts."""
    keras.utils.set_random_seed(0)
    discriminator = VideoDiscriminator(filters=2, channel_multipliers=(1,), video_shape=(2, 4, 4))
    model = VQGAN(tokenizer(), discriminator, perceptual_loss=None, lecam_weight=0.0, ema_decay=0.5)
    model.compile(make_optimizer(parts), make_optimizer(parts))
    model.fit(CLIPS, batch_size=4 // parts, epochs=updates, shuffle=False, verbose=0)
    return model, [ops.convert_to_numpy(w) for w in (*model.tokenizer.weights, *model.discriminator.weights)]


def paper(parts):
    return tokenizer_optimizer(10, learning_rate=0.01, warmup_steps=1, gradient_accumulation_steps=parts)


def test_two_parts_of_a_batch_train_a_tokenizer_as_the_whole():
    (whole, expected), (parted, found) = (weights_after(paper, parts) for parts in (1, 2))
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)
    for got, wanted in zip(parted.ema_tokenizer.get_weights(), whole.ema_tokenizer.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)
    assert int(ops.convert_to_numpy(parted.optimizer.iterations)) == 2


def test_two_parts_of_a_batch_train_a_transformer_as_the_whole():
    found = []
    for parts in (1, 2):
        keras.utils.set_random_seed(0)
        transformer = MaskedTransformer(8, 2, (2, 4, 4), 1, 8, 2, 16, dropout=0.0)
        # Nothing random: everything is masked, so that parts draw no other masks than the whole.
        model = Magvit(tokenizer(), transformer, tasks=["class_conditional_generation"], schedule="pow1000")
        model.compile(transformer_optimizer(10, 0.01, warmup_steps=1, gradient_accumulation_steps=parts))
        tokens = np.random.default_rng(0).integers(0, 8, (4, 2, 4, 4)).astype("int32")
        batch = {"tokens": tokens, "condition_tokens": tokens[:, None], "label": np.zeros(4, "int32")}
        model.fit(batch, batch_size=4 // parts, epochs=2, shuffle=False, verbose=0)
        found.append(transformer.get_weights())
    for got, wanted in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


def test_the_learning_rate_follows_updates_and_not_batches():
    rate = transformer_optimizer(100, 2.0, 10, gradient_accumulation_steps=4)._learning_rate
    np.testing.assert_allclose([float(rate(step)) for step in (0, 3, 20, 40, 220, 400)], [0, 0, 1, 2, 1, 0], atol=1e-5)
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert float(copy(20)) == 1.0


def test_parts_that_accumulate_differently_are_refused():
    parts = (tokenizer_optimizer(10, gradient_accumulation_steps=n) for n in (2, 4))
    with pytest.raises(ValueError, match="received 2 for the generator's and 4"):
        TwoOptimizers(*parts)


def test_batches_of_an_update_are_known_through_wrappers():
    scaled = [keras.optimizers.LossScaleOptimizer(tokenizer_optimizer(10, gradient_accumulation_steps=3)) for _ in "ab"]
    assert batches_per_update(TwoOptimizers(*scaled)) == 3
    assert batches_per_update(tokenizer_optimizer(10, gradient_accumulation_steps=1)) == 1
