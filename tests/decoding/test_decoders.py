"""The rivals' decoders: cached steps equal whole passes, oracles are followed, orders are kept."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.commit.conditions import condition_plan
from magvit_keras.commit.tasks import TASKS
from magvit_keras.decoding.autoregressive import decode_autoregressive
from magvit_keras.decoding.commit_decoding import decode
from magvit_keras.decoding.halton import halton_order
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 4)
TRUTH = RNG.integers(0, 40, (2, 64)).astype("int32")
PREFIX = np.array([[70, 41], [70, 42]], "int32")


def sure(truth):
    return 200.0 * ops.one_hot(truth, 40)


def oracle_next(ids, position, cache):
    """Logits of the token after `position`, which is right whatever came before."""
    return ops.take(sure(TRUTH), ops.maximum(position - 1, 0), axis=1), cache


def ispad_of(task):
    return np.broadcast_to(condition_plan(task, (16, 16, 16), SHAPE).ispad.reshape(1, 64), (2, 64))


def decoded_by_an_oracle(decoder, condition_ids, ispad):
    if decoder == "autoregressive":
        ids = decode_autoregressive(oracle_next, (), PREFIX, condition_ids, ~ispad, mask_id=77)
    else:
        mode = "latent" if decoder == "maskgit" else "commit"
        order = halton_order(SHAPE) if decoder == "halton" else None
        options = {"mask_id": 77, "condition_mode": mode, "order": order, "num_steps": 5}
        ids = decode(lambda _: sure(TRUTH), condition_ids, ispad, **options)
    return ops.convert_to_numpy(ids)


def marked(tasks):
    """Tasks are data: one is decoded on every backend, the others once."""
    return [name if name == "frame_prediction" else pytest.param(name, marks=pytest.mark.once) for name in tasks]


@pytest.mark.parametrize("decoder", ["commit", "maskgit", "halton", "autoregressive"])
@pytest.mark.parametrize("task", marked(TASKS))
def test_an_oracle_is_followed_in_every_task(task, decoder):
    np.testing.assert_array_equal(decoded_by_an_oracle(decoder, TRUTH, ispad_of(task)), TRUTH)


@pytest.mark.parametrize("decoder", ["commit", "halton", "maskgit", "autoregressive"])
@pytest.mark.parametrize("task", marked(name for name, task in TASKS.items() if not task.is_unconditional))
def test_wrong_condition_tokens_are_corrected_by_commit_and_kept_by_the_others(task, decoder):
    ispad, wrong = ispad_of(task), (TRUTH + 7) % 40
    expected = TRUTH if decoder in ("commit", "halton") else np.where(ispad, TRUTH, wrong)
    np.testing.assert_array_equal(decoded_by_an_oracle(decoder, wrong, ispad), expected)


def test_an_order_is_kept():
    order = RNG.permutation(64)
    steps = decode(
        lambda _: sure(TRUTH), TRUTH, np.ones((2, 64)), mask_id=77, num_steps=8, order=order, return_steps=True
    )
    for unknown in np.asarray(steps.unknown)[1:]:
        assert order[unknown[0]].min() > order[~unknown[0]].max()


@pytest.fixture(scope="module")
def causal():
    keras.utils.set_random_seed(0)
    model = MaskedTransformer(16, 3, (2, 2, 2), 2, 8, 2, 16, dropout=0.0, causal=True)
    for weight in model.weights:  # far from the small initial values, where every logit is alike
        weight.assign(ops.convert_to_tensor(RNG.normal(size=weight.shape).astype("float32")))
    return model


def test_a_causal_transformer_does_not_see_ahead(causal):
    ids = RNG.integers(0, 16, (1, 10)).astype("int32")
    changed = ids.copy()
    changed[:, 6:] = (changed[:, 6:] + 3) % 16
    a, b = (ops.convert_to_numpy(causal.codebook_logits(x)) for x in (ids, changed))
    # The latent at sequence position 6 is predicted from those before it, so the change does not show before 7.
    np.testing.assert_allclose(a[:, :5], b[:, :5], atol=1e-5)
    assert np.abs(a[:, 5:] - b[:, 5:]).max() > 1e-2


def test_cached_steps_equal_the_whole_pass(causal):
    ids = RNG.integers(0, 16, (2, 10)).astype("int32")
    whole, cache = ops.convert_to_numpy(causal.codebook_logits(ids)), causal.empty_cache(2)
    for position in range(9):
        logits, cache = causal.next_logits(ids[:, position], np.int32(position), cache)
        if position >= 1:
            np.testing.assert_allclose(ops.convert_to_numpy(logits), whole[:, position - 1], atol=1e-4)


def test_greedy_decoding_with_the_cache_equals_decoding_without(causal):
    prefix = np.array([[33, 17]], "int32")
    known = np.zeros((1, 8), bool)
    options = {"mask_id": 20, "token_temperature": 0.0, "return_steps": True}
    steps = decode_autoregressive(causal.next_logits, causal.empty_cache(1), prefix, np.zeros((1, 8)), known, **options)
    sequence = np.concatenate([prefix, np.zeros((1, 8), "int32")], axis=1)
    for i in range(8):
        sequence[:, 2 + i] = ops.convert_to_numpy(causal.codebook_logits(sequence))[:, i].argmax(-1)
    np.testing.assert_array_equal(ops.convert_to_numpy(steps.ids), sequence[:, 2:])
    assert ops.convert_to_numpy(steps.unknown).sum(-1).ravel().tolist() == list(range(8, 0, -1))


def test_guidance_of_the_cached_decoder_pushes_away_from_the_unconditional():
    def predict(ids, position, cache):
        conditional = ops.cast(cache > 0, "float32")[:, None]
        logits = conditional * ops.array([[2.0, 1.5, 0.0]]) + (1 - conditional) * ops.array([[2.0, 0.0, 0.0]])
        return ops.cast(logits, "float32"), cache

    def final(scale):
        ids = decode_autoregressive(
            predict,
            ops.ones((2,)),
            PREFIX,
            np.zeros((2, 5)),
            np.zeros((2, 5)),
            mask_id=9,
            token_temperature=0.0,
            guidance_scale=scale,
            unconditional_prefix=PREFIX,
            unconditional_cache=-ops.ones((2,)),
        )
        return np.unique(ops.convert_to_numpy(ids)).tolist()

    assert final(0.0) == [0]
    assert final(1.0) == [1]


def build(causal):
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
    transformer = MaskedTransformer(64, 3, (2, 4, 4), 1, 32, 2, 64, dropout=0.0, causal=causal)
    mode = "autoregressive" if causal else "commit"
    tasks = ["frame_prediction", "class_conditional_generation"]
    return Magvit(tokenizer, transformer, tasks, condition_mode=mode, class_dropout=0.1)


CLIPS = RNG.random((2, 4, 8, 8, 3)).astype("float32")


def test_a_causal_model_learns_and_generates():
    magvit = build(causal=True)
    magvit.compile(optimizer=keras.optimizers.Adam(3e-3))
    tokens = magvit.tokenize({"video": CLIPS, "label": np.array([0, 1])})
    tokens = {k: np.repeat(v, 8, axis=0) for k, v in tokens.items()}
    history = magvit.fit(tokens, batch_size=16, epochs=30, verbose=0).history
    assert history["mask_loss"][-1] < 0.7 * history["mask_loss"][0]
    made = magvit.generate("frame_prediction", video=CLIPS, return_details=True)
    given = tokens["condition_tokens"][[0, 8], 0]
    np.testing.assert_array_equal(made.tokens[:, 0], given[:, 0])  # the first latent frame is kept
    guided = magvit.generate("class_conditional_generation", label=[0, 1], guidance_scale=2.0)
    assert guided.shape == (2, 4, 8, 8, 3)


@pytest.mark.parametrize("decoder", ["maskgit", "halton"])
def test_rivals_decode_from_the_same_weights(decoder):
    magvit = build(causal=False)
    made = magvit.generate("frame_prediction", video=CLIPS, decoder=decoder, num_steps=2)
    assert made.shape == CLIPS.shape


@pytest.mark.once
@pytest.mark.parametrize(
    ("causal", "decoder", "message"),
    [
        (False, "autoregressive", "masked transformer"),
        (True, "commit", "causal transformer"),
        (False, "beam", "Unknown decoder 'beam'"),
    ],
)
def test_a_decoder_that_does_not_fit_is_refused(causal, decoder, message):
    with pytest.raises(ValueError, match=message):
        build(causal).generate("frame_prediction", video=CLIPS, decoder=decoder)


@pytest.mark.once
@pytest.mark.parametrize(("causal", "num_revisions"), [(True, 1), (False, -1)])
def test_revisions_that_cannot_be_made_are_refused(causal, num_revisions):
    with pytest.raises(ValueError, match=f"received {num_revisions}"):
        build(causal).generate("frame_prediction", video=CLIPS, num_revisions=num_revisions)


@pytest.mark.once
def test_causal_and_autoregressive_belong_together():
    transformer = MaskedTransformer(64, 3, (2, 4, 4), 1, 32, 2, 64, causal=True)
    with pytest.raises(ValueError, match="belong together"):
        Magvit(VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64), transformer)
