"""What a call costs besides arithmetic: one compiled program, no way back to the host in between, memory used again."""

import keras
import numpy as np
import pytest

from magvit_keras import backend
from magvit_keras.model import generation
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

CLIPS = np.random.default_rng(0).random((4, 4, 8, 8, 3)).astype("float32")
jax_only = pytest.mark.skipif(keras.config.backend() != "jax", reason="looks into JAX's programs")


@pytest.fixture(scope="module")
def magvit():
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(8, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64, norm_groups=4)
    sizes = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "mlp_dim": 32, "dropout": 0.0}
    model = Magvit(tokenizer, MaskedTransformer(64, 3, (2, 4, 4), **sizes), ["frame_prediction"])
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    return model


def programs_of(model, monkeypatch, **options):
    """The calls of `run_compiled` that are no part of another one, for one call of `generate`."""
    calls, depth = [], []
    whole = backend.run_compiled

    def counted(owner, key, fn, *arrays):
        if not depth:
            calls.append((key, fn, arrays))
        depth.append(key)
        try:
            return whole(owner, key, fn, *arrays)
        finally:
            depth.pop()

    monkeypatch.setattr(generation.backend, "run_compiled", counted)
    model.generate("frame_prediction", video=CLIPS, num_steps=12, **options)
    return calls


def test_generate_is_one_program(magvit, monkeypatch):
    (call,) = programs_of(magvit, monkeypatch)
    assert call[0][0] == "generate"  # tokens of the condition, twelve steps and pixels are within it


def test_a_batch_that_is_split_runs_the_same_program(magvit, monkeypatch):
    first, second = programs_of(magvit, monkeypatch, max_batch_size=3)
    assert first[0] == second[0]
    shapes = [keras.tree.map_structure(np.shape, call[2]) for call in (first, second)]
    assert shapes[0] == shapes[1]


@jax_only
def test_generate_does_not_go_back_to_the_host(magvit, monkeypatch):
    import jax

    ((_, program, arrays),) = programs_of(magvit, monkeypatch)

    def pure(values, *arrays):
        with keras.StatelessScope(state_mapping=list(zip(magvit.variables, values, strict=True))):
            return program(*arrays)

    text = jax.jit(pure).lower([v.value for v in magvit.variables], *arrays).as_text()
    assert text.count("stablehlo.while") >= 1  # the steps are a loop of the program
    for word in ("callback", "infeed", "outfeed", "stablehlo.send", "stablehlo.recv"):
        assert word not in text


@jax_only
def test_a_train_step_overwrites_weights_and_moments_in_place(magvit):
    magvit.fit(CLIPS[:1], verbose=0)
    kept = [v.value for v in (*magvit.trainable_variables, *magvit.optimizer.variables)]
    magvit.fit(CLIPS[:1], verbose=0)
    assert all(value.is_deleted() for value in kept)


def test_a_train_step_keeps_nothing_of_the_frozen_tokenizer(magvit, monkeypatch):
    before = [keras.ops.convert_to_numpy(w) for w in magvit.tokenizer.weights]
    tokens = []
    whole = magvit.tokenizer.encode
    monkeypatch.setattr(magvit.tokenizer, "encode", lambda *args, **kw: tokens.append(whole(*args, **kw)) or tokens[-1])
    magvit.losses_and_logs({"video": CLIPS}, training=True)
    assert tokens
    for made in tokens:  # integers: no gradient passes them
        assert keras.backend.standardize_dtype(made.dtype) == "int32"
        assert not getattr(made, "requires_grad", False)
        assert getattr(made, "grad_fn", None) is None
    for old, weight in zip(before, magvit.tokenizer.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(weight))
