"""Attention maps and the decoding animation, of tiny models."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import visualize
from magvit_keras.transformer.masked_transformer import MaskedTransformer

SHAPE = (2, 2, 3)
IDS = np.random.default_rng(0).integers(0, 16, SHAPE)


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = {"num_layers": 2, "hidden_size": 8, "num_heads": 2, "mlp_dim": 16}
    model = MaskedTransformer(16, 3, SHAPE, **sizes, **options)
    # Larger than at the start: attention then differs clearly from place to place.
    model.set_weights([weight * 6 for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return build()


def sequence(model, ids=IDS):
    """[prompt of frame prediction, no class, latents]."""
    prefix = [model.vocabulary_size - 4, model.codebook_size + model.num_classes]
    return np.concatenate([prefix, ids.ravel()])[None].astype("int32")


def reference(model, layer, position):
    """(heads,N) by the definition of attention, in NumPy."""
    x = model.embedding(sequence(model), training=False)
    for block in model.blocks[:layer]:
        x = block(x, training=False)
    attention = model.blocks[layer].attention
    query, key = (ops.convert_to_numpy(part(x))[0] for part in (attention.query, attention.key))  # (N,h,k)
    affinity = np.einsum("hk,mhk->hm", query[position], key) / np.sqrt(query.shape[-1])
    weights = np.exp(affinity - affinity.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("layer", [0, 1])
def test_maps_are_the_weights_of_the_query(model, layer):
    weights = reference(model, layer, position=2 + 7)  # (1, 0, 1) is token 7 of 2 x 2 x 3
    by_head = [visualize.attention_maps(model, IDS, (1, 0, 1), layer, head) for head in (0, 1)]
    np.testing.assert_allclose(np.stack(by_head).reshape(2, -1), weights[:, 2:], atol=1e-5)
    assert np.ptp(weights) > 0.05  # else all places would be alike, and nothing shown
    mean = visualize.attention_maps(model, IDS, 7, layer)
    np.testing.assert_allclose(mean, np.mean(by_head, axis=0), atol=1e-6)


def test_all_weights_of_a_token_sum_to_1(model):
    weights = ops.convert_to_numpy(model.attention_weights(sequence(model), 5))
    assert weights.shape == (2, 1, 2, 14)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


def test_layers_average(model):
    maps = [visualize.attention_maps(model, IDS, 0, layer) for layer in (0, 1)]
    np.testing.assert_allclose(visualize.attention_maps(model, IDS, 0, None), np.mean(maps, axis=0), atol=1e-6)


def test_clips_of_a_batch_do_not_mix(model):
    both = visualize.attention_maps(model, np.stack([IDS, IDS[::-1]]), (0, 1, 2))
    np.testing.assert_allclose(both[1], visualize.attention_maps(model, IDS[::-1], (0, 1, 2)), atol=1e-5)


def test_a_causal_token_does_not_look_ahead(model):
    weights = visualize.attention_maps(build(causal=True), IDS, 7).ravel()
    assert (weights[8:] == 0).all() and (weights[:8] > 0).any()
    assert (visualize.attention_maps(model, IDS, 7).ravel()[8:] > 0).any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"query": (2, 0, 0)}, "from 0 to 1"),
        ({"query": 12}, "from 0 to 11"),
        ({"query": 0, "layer": 2}, "layer: expected an index from 0 to 1"),
        ({"query": 0, "head": 2}, "head: expected"),
        ({"query": 0, "token_ids": IDS[:1]}, r"received int64 \(1, 2, 3\)"),
        ({"query": 0, "token_ids": IDS + 100}, "expected 0 to 35"),
    ],
)
def test_what_is_out_of_range_is_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        visualize.attention_maps(model, **{"token_ids": IDS, **options})


@pytest.mark.once
def test_attention_lies_over_the_frames():
    pytest.importorskip("matplotlib")
    maps = np.arange(8.0).reshape(2, 2, 2)
    figure = visualize.plot_attention(np.zeros((8, 8, 8, 3)), {"a": maps, "b": maps}, query=(1, 0, 1))
    assert len(figure.axes) == 4
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["frames 1-4", "frames 5-8"]
    heat = figure.axes[1].images[1].get_array()
    # from the median 3.5 to the maximum 7
    assert heat.shape == (8, 8) and heat[7, 7] == 1
    np.testing.assert_allclose(heat[0, 0], 0.5 / 3.5, atol=1e-6)
    assert (figure.axes[0].images[1].get_array() == 0).all()
    assert [len(axes.patches) for axes in figure.axes] == [0, 2, 0, 2]  # the query's frame, in its own step only


# --- Algorithm 1 ---


def generation():
    """Two steps over 1 x 1 x 2 tokens, two clips alike; token 0 becomes known first, place 1 shows a condition."""

    def tokens(*rows):
        return np.array(rows).reshape(2, 1, 1, 1, 2).repeat(2, axis=1)  # (K,B,t,h,w)

    steps = SimpleNamespace(
        inputs=tokens([19, 5], [3, 5]),
        predicted=tokens([3, 7], [3, 6]),
        unknown=tokens([True, True], [False, True]),
    )
    return SimpleNamespace(steps=steps)


def colours(frames):
    """The two tokens' colours in each frame, from the middle of their squares."""
    return frames[:, -32, [32, 96]]


@pytest.mark.once
def test_tokens_become_known_step_by_step():
    left, right = colours(visualize.decoding_animation(generation(), 16)).transpose(1, 0, 2)
    known = visualize.token_map([3, 6], 16)
    np.testing.assert_array_equal(left, [[128] * 3, known[0], known[0]])
    np.testing.assert_array_equal(right[2], known[1])


@pytest.mark.once
def test_condition_tokens_tint_the_unknown():
    right = colours(visualize.decoding_animation(generation(), 16))[:2, 1]
    expected = visualize.token_map(5, 16) * 0.3 + 128 * 0.7
    np.testing.assert_allclose(right, [expected, expected], atol=1)


@pytest.mark.once
def test_pixels_are_those_of_the_predicted_tokens():
    def decode(ids):  # (1,1,1,2) -> (1,2,6,8,3): a frame as bright as the sum of the tokens
        return np.full((1, 2, 6, 8, 3), ids.sum() / 20, "float32")

    frames = visualize.decoding_animation(generation(), 16, SimpleNamespace(decode=decode))
    plain = visualize.decoding_animation(generation(), 16)
    np.testing.assert_array_equal(frames[:, : plain.shape[1]], plain)
    assert frames.shape[1] == plain.shape[1] + 4 + 6 * 16
    assert frames[:, -5, 5, 0].tolist() == [128, round(10 / 20 * 255 + 0.01), round(9 / 20 * 255 + 0.01)]


@pytest.mark.once
def test_a_clip_outside_the_batch_is_named():
    with pytest.raises(ValueError, match="clip=2: expected 0 to 1"):
        visualize.decoding_animation(generation(), 16, clip=2)


@pytest.mark.once
def test_details_are_wanted():
    with pytest.raises(ValueError, match="return_details=True"):
        visualize.decoding_animation(np.zeros((1, 2, 4, 4, 3)), 16)
