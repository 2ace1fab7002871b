"""Steps of a stage: Ctrl-C ends them with a checkpoint, the remaining time is said, damaged files are named."""

import os
import signal

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.data import TokenBatches
from magvit_keras.training.steps import duration, train_steps


class Line(backend.SteppedModel):
    """A weight that learns the mean of numbers: little to compile."""

    def __init__(self):
        super().__init__()
        self.mean = self.add_weight(shape=(), initializer="zeros")
        self.built = True

    def losses_and_logs(self, data, training):
        loss = ops.mean(ops.square(self.mean - ops.cast(data["tokens"], "float32")))
        return loss, {"loss": loss}


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch, logs=None):
        self.after -= 1
        if self.after == 0:
            os.kill(os.getpid(), signal.SIGINT)


def run(folder, steps=40, interrupt=None, verbose=0, **more):
    model = Line()
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    data = TokenBatches({"tokens": np.arange(12)}, 3, steps_per_epoch=10)
    if interrupt:
        fit = model.fit
        model.fit = lambda *a, callbacks, **k: fit(*a, callbacks=[Interrupt(interrupt), *callbacks], **k)
    train_steps(model, data, steps, 10, folder, "Line", verbose, **more)
    return float(ops.convert_to_numpy(model.mean))


@pytest.fixture
def listening():
    """Ctrl-C is heard, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_saves_the_step_that_it_comes_in_and_the_training_goes_on_from_there(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match="Stopped after step 14 of 40"):
        run(tmp_path / "parts", interrupt=14)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run(tmp_path / "parts") == pytest.approx(whole, abs=1e-6)


def test_the_time_of_the_whole_run_is_said_after_ten_steps(tmp_path, capsys):
    run(tmp_path, verbose=2, later=3600.0, which="stage 1 of 2")
    said = capsys.readouterr().out
    assert "about 1 h to go; stage 1 of 2." in said and "- loss: " in said
    assert ("The first step is compiled" in said) == (backend.name() != "torch")


@pytest.mark.once
@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9, "less than a minute"), (100, "about 2 min"), (3605, "about 1 h"), (9000, "about 2 h 30 min")],
)
def test_durations_are_rounded_as_estimates_are(seconds, words):
    assert duration(seconds) == words


@pytest.mark.once
@pytest.mark.parametrize("name", ["state.json", "weights"])
def test_a_cut_checkpoint_is_named(tmp_path, name):
    run(tmp_path, steps=10)
    path = tmp_path / "state.json" if name == "state.json" else next(tmp_path.glob("epoch-*.h5"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"{path.name} is .*damaged.*Delete {tmp_path}"):
        run(tmp_path, steps=20)
