"""LFQ and FSQ: ids and codes, losses, gradients, and the tokenizers that use them."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.tokenizer.finite_scalar_quantizer import FiniteScalarQuantizer
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.lookup_free_quantizer import LookupFreeQuantizer, sign_entropy_loss
from magvit_keras.tokenizer.quantizer import VectorQuantizer, entropy_loss
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

LEVELS = [(8, 5, 5, 5), (2, 3), (7,), (8, 8, 8, 6, 5)]


def numpy(x):
    return np.asarray(ops.convert_to_numpy(ops.stop_gradient(x)))


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def all_ids(size):
    return ops.convert_to_tensor(np.arange(size, dtype="int32").reshape((1, -1)))


def small(cls=VideoTokenizer, **kwargs):
    time = {"temporal_downsample": (True,)} if cls is VideoTokenizer else {}
    return cls(**{"filters": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1, **time, **kwargs})


def test_vq_distances_are_exact_under_half_precision(monkeypatch):
    """Their product is the one that accelerators do not round to bfloat16 or TF32, and takes float32."""
    types = []

    def recorded(a, b, exact=backend.exact_matmul):
        types.append({keras.backend.standardize_dtype(x.dtype) for x in (a, b)})
        return exact(a, b)

    monkeypatch.setattr(backend, "exact_matmul", recorded)
    quantizer = VectorQuantizer(64, 8, dtype="mixed_bfloat16")
    quantizer.build((None, 8))
    x = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    found = numpy(quantizer.distances(tensor(x)))
    expected = np.square(x[:, None].astype("float64") - numpy(quantizer.codebook)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    quantizer(ops.cast(tensor(x), "bfloat16"))
    assert types == [{"float32"}] * len(types) and len(types) >= 2


def test_vq_ids_of_all_codes():
    quantizer = VectorQuantizer(64, 8)
    quantizer.build((None, 8))
    np.testing.assert_array_equal(numpy(quantizer.ids(quantizer.lookup(all_ids(64)))), numpy(all_ids(64)))


@pytest.mark.parametrize("bits", [1, 5, 10, 18])
def test_lfq_ids_of_all_codes(bits):
    quantizer = LookupFreeQuantizer(2**bits)
    codes = quantizer.lookup(all_ids(2**bits))
    assert set(np.unique(numpy(codes))) == {-1.0, 1.0}
    np.testing.assert_array_equal(numpy(quantizer.ids(codes)), numpy(all_ids(2**bits)))


@pytest.mark.parametrize("levels", LEVELS)
def test_fsq_ids_of_all_codes(levels):
    quantizer = FiniteScalarQuantizer(levels)
    codes = quantizer.lookup(all_ids(quantizer.codebook_size))
    assert len(np.unique(numpy(codes)[0], axis=0)) == quantizer.codebook_size == np.prod(levels)
    np.testing.assert_array_equal(numpy(quantizer.ids_of_codes(codes)), numpy(all_ids(quantizer.codebook_size)))


@pytest.mark.parametrize("levels", LEVELS)
def test_fsq_latents_reach_every_code(levels):
    quantizer = FiniteScalarQuantizer(levels)
    ids = all_ids(quantizer.codebook_size)
    count = np.asarray(levels)
    # Undo the bound: level k of n lies at tanh(x + shift) * reach - offset.
    reach, offset = (count - 1) * 1.001 / 2, np.where(count % 2 == 0, 0.5, 0.0)
    digits = numpy(quantizer.lookup(ids)) * (count // 2)
    x = np.arctanh((digits + offset) / reach) - np.arctanh(offset / reach)
    np.testing.assert_array_equal(numpy(quantizer.ids(tensor(x))), numpy(ids))


def test_fsq_codes_of_the_paper():
    """Three levels in two values: the nine codes of the paper's Fig. 1, the first value counting fastest."""
    codes = numpy(FiniteScalarQuantizer((3, 3)).lookup(all_ids(9)))[0]
    np.testing.assert_array_equal(codes[:4], [[-1, -1], [0, -1], [1, -1], [-1, 0]])


@pytest.mark.parametrize("quantizer", [LookupFreeQuantizer(2**6), FiniteScalarQuantizer((8, 5, 5))], ids=["lfq", "fsq"])
def test_call_gives_the_code_of_the_ids(quantizer):
    x = tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 4, quantizer.embedding_dim)))
    quantized, ids, losses = quantizer(x)
    assert set(losses) == {"commitment", "codebook", "entropy"}
    np.testing.assert_array_equal(numpy(ids), numpy(quantizer.ids(x)))
    np.testing.assert_allclose(numpy(quantized), numpy(quantizer.lookup(ids)), atol=1e-6)


def test_lfq_takes_the_nearest_sign_vector():
    quantizer = LookupFreeQuantizer(2**5)
    x = np.random.default_rng(0).normal(size=(1, 50, 5))
    codes = numpy(quantizer.lookup(all_ids(32)))[0]
    nearest = np.argmin(((x[..., None, :] - codes) ** 2).sum(-1), axis=-1)
    np.testing.assert_array_equal(numpy(quantizer.ids(tensor(x))), nearest)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_lfq_entropy_is_that_of_the_listed_codes(temperature):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32") * 0.3
    codes = numpy(LookupFreeQuantizer(2**6).lookup(all_ids(64)))[0]
    logits = -((x[:, None].astype("float64") - codes) ** 2).sum(-1) / temperature
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    mean = p.mean(0)
    exact = -(p * np.log(p)).sum(-1).mean() + (mean * np.log(mean)).sum()
    assert abs(numpy(sign_entropy_loss(tensor(x), temperature, group_bits=6)) - exact) < 1e-5
    distances = ((x[:, None] - codes) ** 2).sum(-1)
    assert abs(numpy(entropy_loss(tensor(distances), temperature)) - exact) < 5e-3  # that one adds 1e-5 in the log


def test_lfq_entropy_of_groups_bounds_the_exact_one():
    x = tensor(np.random.default_rng(0).normal(size=(40, 6)))
    exact, pairs, bits = (float(numpy(sign_entropy_loss(x, 1.0, g))) for g in (6, 2, 1))
    assert bits <= pairs + 1e-5 <= exact + 2e-5


def test_lfq_of_18_bits_has_finite_losses_and_gradients():
    quantizer = LookupFreeQuantizer(2**18)
    x = keras.Variable(np.random.default_rng(0).normal(size=(2, 16, 18)).astype("float32"))

    def loss():
        _, _, losses = quantizer(ops.convert_to_tensor(x))
        return losses["commitment"] + losses["entropy"], losses

    total, losses, (gradient,) = backend.value_and_gradients(loss, [x], [])
    assert np.isfinite(numpy(total)) and np.all(np.isfinite(numpy(gradient)))
    assert numpy(losses["codebook"]) == 0


def test_fsq_gradient_is_that_of_the_bound():
    quantizer = FiniteScalarQuantizer((8, 5))
    x = keras.Variable(np.array([[0.3, -0.2]], "float32"))

    def loss():
        quantized, _, _ = quantizer(ops.convert_to_tensor(x))
        return ops.sum(quantized), {}

    _, _, (gradient,) = backend.value_and_gradients(loss, [x], [])
    reach, offset, half = np.array([7, 4]) * 1.001 / 2, np.array([0.5, 0.0]), np.array([4, 2])
    slope = 1 - np.tanh(np.array([0.3, -0.2]) + np.arctanh(offset / reach)) ** 2
    np.testing.assert_allclose(numpy(gradient)[0], slope * reach / half, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "codes", "width"),
    [
        ({}, 1024, 256),
        ({"quantizer": "lfq"}, 1024, 10),
        ({"quantizer": "lfq", "codebook_size": 2**18}, 2**18, 18),
        ({"quantizer": "fsq"}, 1000, 4),
        ({"quantizer": "fsq", "fsq_levels": (8, 6, 5)}, 240, 3),
    ],
)
def test_sizes_follow_from_the_quantizer(options, codes, width):
    tokenizer = small(ImageTokenizer, **options)
    assert (tokenizer.codebook_size, tokenizer.embedding_dim) == (codes, width)
    again = ImageTokenizer.from_config(tokenizer.get_config())
    assert again.get_config() == tokenizer.get_config()
    assert (again.codebook_size, again.embedding_dim) == (codes, width)


@pytest.mark.parametrize(
    "options", [{"quantizer": "lfq", "codebook_size": 64}, {"quantizer": "fsq"}], ids=["lfq", "fsq"]
)
def test_video_tokens(options):
    tokenizer = small(**options)
    clip = np.random.default_rng(0).random((1, 4, 8, 8, 3), "float32")
    ids = numpy(tokenizer.encode(clip))
    assert ids.shape == (1, 2, 4, 4) and ids.min() >= 0 and ids.max() < tokenizer.codebook_size
    np.testing.assert_allclose(numpy(tokenizer(clip)), numpy(tokenizer.decode(ids, clip=False)), atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"quantizer": "lfq", "codebook_size": 64}, {"quantizer": "fsq"}], ids=["lfq", "fsq"]
)
def test_a_tokenizer_learns_with_them(options):
    keras.utils.set_random_seed(0)
    tokenizer = small(ImageTokenizer, **options)
    tokenizer.compile(optimizer=keras.optimizers.Adam(2e-3))
    ramp = np.linspace(0, 1, 8, dtype="float32")[:, None, None] * np.ones((8, 8, 3), "float32")
    history = tokenizer.fit(np.broadcast_to(ramp, (4, 8, 8, 3)), batch_size=2, epochs=8, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert history["reconstruction_loss"][-1] < 0.5 * history["reconstruction_loss"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantizer": "rvq"}, "expected one of vq, vq_ema, lfq, fsq"),
        ({"quantizer": "lfq", "codebook_size": 1000}, "power of two"),
        ({"quantizer": "lfq", "embedding_dim": 256}, "implies embedding_dim=10; received 256"),
        ({"quantizer": "fsq", "codebook_size": 1024}, "implies codebook_size=1000; received 1024"),
        ({"fsq_levels": (8, 5)}, 'is for quantizer="fsq"'),
        ({"quantizer": "fsq", "fsq_levels": (1, 5)}, "2 or more levels"),
        ({"codebook_size": -1}, "codebook_size must be an integer of at least 1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
