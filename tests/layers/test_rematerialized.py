"""Rematerialization changes what is kept, never a number: losses, gradients, masks of dropout, R1's double backward."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.rematerialized import REMATS
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.losses import r1_penalty
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

SMALL = {"filters": 4, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 4, "norm_groups": 2}
CLIPS = np.random.default_rng(0).random((2, 2, 4, 4, 3), "float32")
IDS = np.arange(12, dtype="int32").reshape(2, 6)


def tokenizer(**changes):
    return VideoTokenizer(temporal_downsample=(True,), codebook_size=16, **SMALL, **changes)


def discriminator(**changes):
    return VideoDiscriminator(filters=2, channel_multipliers=(2,), video_shape=(2, 4, 4), **changes)


def transformer(**changes):
    sizes = {"num_layers": 2, "hidden_size": 8, "num_heads": 2, "mlp_dim": 16, "dropout": 0.5}
    return MaskedTransformer(8, 2, (1, 2, 2), **{**sizes, **changes})


def tokenizer_loss(model, clips):
    return model.losses_and_logs(clips, training=True)[0]


def discriminator_loss(model, clips):
    penalty, logits = r1_penalty(model, clips)
    return 10.0 * penalty + ops.mean(ops.softplus(-logits))


def transformer_loss(model, ids):
    logits = model(ids, training=True)
    return ops.mean(ops.square(logits - 0.01 * ops.cast(ops.arange(27), "float32")))


def gradients(make, loss_fn, data, **changes):
    """Loss, gradients and state after a step's backward pass, from the same weights and seeds."""
    keras.utils.set_random_seed(0)
    model = make(**changes)
    random = np.random.default_rng(0)
    for v in model.weights:
        v.assign(random.normal(0, 0.5, v.shape))

    def step(data):
        state = model.non_trainable_variables
        loss, _, found = backend.value_and_gradients(
            lambda: (loss_fn(model, data), ops.zeros(())), model.trainable_variables, state
        )
        return [loss, *found, *(v.value * 1 for v in state)]

    return [ops.convert_to_numpy(x) for x in backend.run_compiled(model, "step", step, data)]


# "full" holds what "blocks" does.
CASES = {
    "tokenizer": (tokenizer, tokenizer_loss, CLIPS, ("full",)),
    "discriminator with R1": (discriminator, discriminator_loss, CLIPS, ("full",)),
    "transformer with dropout": (transformer, transformer_loss, IDS, REMATS[1:]),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_do_not_depend_on_what_is_kept(case):
    *model, remats = CASES[case]
    expected = gradients(*model)
    assert sum(np.abs(x).max() > 0 for x in expected) > len(expected) / 2
    # Some gradients are zero but for rounding, which is as small as the largest of the others says.
    rounding = 1e-6 * max(np.abs(x).max() for x in expected)
    for remat in remats:
        found = gradients(*model, remat=remat)
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=max(rounding, 1e-5 * np.abs(wanted).max()))


def test_dropout_draws_another_mask_in_the_next_step():
    keras.utils.set_random_seed(0)
    model = transformer(remat="full")
    first, second = (ops.convert_to_numpy(model(IDS, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4


def test_half_precision_is_that_of_a_model_without():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        plain = gradients(transformer, transformer_loss, IDS, dropout=0.0)
        spare = gradients(transformer, transformer_loss, IDS, dropout=0.0, remat="full")
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(spare[0], plain[0], rtol=1e-2)


@pytest.mark.parametrize("make", [tokenizer, discriminator, transformer])
def test_unknown_name_is_refused_and_known_one_is_kept(make):
    with pytest.raises(ValueError, match="expected one of none, blocks, full"):
        make(remat="all")
    model = make(remat="blocks")
    assert type(model).from_config(model.get_config()).remat == "blocks"
