"""Checkpoints: a stopped training goes on, whatever the moment of the stop."""

import json

import keras
import numpy as np
import pytest

from magvit_keras.callbacks import Checkpoint
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

CLIPS = np.random.default_rng(0).random((2, 2, 8, 8, 3)).astype("float32")


def model():
    keras.utils.set_random_seed(1)
    tokenizer = VideoTokenizer(32, (1,), (), 1, embedding_dim=8, codebook_size=16)
    tokenizer.compile(optimizer=keras.optimizers.Adam(1e-3))
    return tokenizer


def fit(tokenizer, checkpoint, epochs, done=0):
    return tokenizer.fit(
        CLIPS, batch_size=2, epochs=epochs, initial_epoch=done, callbacks=[checkpoint], verbose=0, shuffle=False
    ).history["loss"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(model(), Checkpoint(tmp_path_factory.mktemp("whole")), epochs=4)


def test_going_on_equals_not_stopping(tmp_path, whole):
    first = fit(model(), Checkpoint(tmp_path), epochs=2)
    again = model()
    checkpoint = Checkpoint(tmp_path)
    done = checkpoint.restore(again)
    assert done == 2
    np.testing.assert_allclose(first + fit(again, checkpoint, epochs=4, done=done), whole, rtol=1e-5)


def test_history_spans_the_restart(tmp_path, whole):
    fit(model(), Checkpoint(tmp_path), epochs=1)
    again = model()
    checkpoint = Checkpoint(tmp_path)
    fit(again, checkpoint, epochs=2, done=checkpoint.restore(again))
    np.testing.assert_allclose(Checkpoint(tmp_path).read()["history"]["loss"], whole[:2], rtol=1e-5)


def test_a_half_written_checkpoint_is_not_read(tmp_path):
    fit(model(), Checkpoint(tmp_path), epochs=1)
    (tmp_path / "partial-epoch-000002.weights.h5").write_bytes(b"half")
    (tmp_path / "state.json.partial").write_text("{")
    assert Checkpoint(tmp_path).restore(model()) == 1


def test_only_the_last_checkpoint_is_kept(tmp_path):
    fit(model(), Checkpoint(tmp_path), epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-000002.weights.h5", "state.json"]


def test_state_is_plain_json(tmp_path):
    fit(model(), Checkpoint(tmp_path), epochs=1)
    assert json.loads((tmp_path / "state.json").read_text())["epoch"] == 1


def test_nothing_to_restore(tmp_path):
    assert Checkpoint(tmp_path / "none").restore(model()) == 0
