"""Checkpoints: a stopped training goes on, whatever the moment of the stop."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.callbacks import Checkpoint
from magvit_keras.devices import distribution

POINTS = np.random.default_rng(0).random((4, 3)).astype("float32")


class Noisy(backend.SteppedModel):
    """A layer that learns to undo noise: weights, an optimizer and random state, and little to compile."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.dense.build((None, 3))
        self.dropout = keras.layers.Dropout(0.5)
        self.seed_generator = keras.random.SeedGenerator(3)
        self.built = True

    def losses_and_logs(self, data, training):
        noise = keras.random.normal((2, 3), seed=self.seed_generator)
        loss = ops.mean(ops.square(self.dense(self.dropout(data + noise, training=training)) - data))
        return loss, {"loss": loss}


def model():
    keras.utils.set_random_seed(1)
    noisy = Noisy()
    noisy.compile(optimizer=keras.optimizers.Adam(1e-2))
    return noisy


def fit(noisy, checkpoint, epochs, done=0):
    return noisy.fit(
        POINTS, batch_size=2, epochs=epochs, initial_epoch=done, callbacks=[checkpoint], verbose=0, shuffle=False
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
    (tmp_path / ".0123abcd.epoch-000002.weights.h5").write_bytes(b"half")
    (tmp_path / ".0123abcd.state.json").write_text("{")
    assert Checkpoint(tmp_path).restore(model()) == 1


def test_only_the_last_checkpoint_is_kept(tmp_path):
    fit(model(), Checkpoint(tmp_path), epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-000002.weights.h5", "state.json"]


def test_weights_of_others_stay(tmp_path):
    (tmp_path / "best.weights.h5").write_bytes(b"weights that another callback saved")
    fit(model(), Checkpoint(tmp_path), epochs=1)
    assert (tmp_path / "best.weights.h5").exists()


def test_half_written_weights_of_an_earlier_start_are_removed(tmp_path):
    (tmp_path / ".0123abcd.epoch-000007.weights.h5").write_bytes(b"half")
    fit(model(), Checkpoint(tmp_path), epochs=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-000001.weights.h5", "state.json"]


def test_state_is_plain_json(tmp_path):
    fit(model(), Checkpoint(tmp_path), epochs=1)
    assert json.loads((tmp_path / "state.json").read_text())["epoch"] == 1


def test_nothing_to_restore(tmp_path):
    assert Checkpoint(tmp_path / "none").restore(model()) == 0


def test_of_several_processes_the_first_one_writes(tmp_path, monkeypatch):
    for index in (1, 0):
        monkeypatch.setattr(distribution, "_CURRENT", distribution.Distribution("data", index, 2))
        fit(model(), Checkpoint(tmp_path), 1)
        assert any(tmp_path.iterdir()) == (index == 0)
