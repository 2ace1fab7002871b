"""After an error or Ctrl-C a model is as after its last finished step, on every backend."""

import os
import signal

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import VQGAN, Magvit, MaskedTransformer, VideoTokenizer
from magvit_keras.backend.whole_steps import whole_step
from magvit_keras.tokenizer.discriminator import VideoDiscriminator

CLIPS = np.random.default_rng(0).integers(0, 256, (6, 4, 8, 8, 3), "uint8")
DATA = {"video": CLIPS, "label": np.zeros(6, "int32")}


def tokenizer():
    return VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)


def magvit():
    sizes = {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "mlp_dim": 64, "dropout": 0.1}
    made = Magvit(tokenizer(), MaskedTransformer(64, 3, (2, 4, 4), **sizes), ("class_conditional_generation",))
    made.compile(optimizer=keras.optimizers.Adam(1e-3))
    made.optimizer.build(made.trainable_variables)
    return made


def vqgan():
    made = VQGAN(tokenizer(), VideoDiscriminator(8, (2,), video_shape=(4, 8, 8)), perceptual_loss=None)
    made.compile()
    return made


def state(model):
    """Weights, optimizer, averages and seeds."""
    seeds = [g.state for layer in model._flatten_layers() for g in layer._seed_generators]
    metrics = {id(v) for v in model.metrics_variables}
    variables = [v for v in [*model.variables, *model.optimizer.variables, *seeds] if id(v) not in metrics]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


class Stop(keras.callbacks.Callback):
    """Ctrl-C in a callback: after the second step, in evaluation, or after it."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_end(self, batch, logs=None):
        if self.at == "train" and batch == 1:
            raise KeyboardInterrupt

    def on_test_batch_begin(self, batch, logs=None):
        if self.at == "test":
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.at == "epoch":
            raise KeyboardInterrupt


def let_steps_fail(model):
    """From now on; where a step is traced, as soon as it is traced."""

    def fail(*_, **__):
        raise RuntimeError("no memory")

    object.__setattr__(model, "_loss_and_logs" if isinstance(model, Magvit) else "_discriminator_loss", fail)


def like(model):
    """Another model in the same state."""
    made = magvit()
    made.set_weights(model.get_weights())
    seeds = [[g.state for layer in m._flatten_layers() for g in layer._seed_generators] for m in (made, model)]
    for mine, theirs in zip(*seeds, strict=True):
        mine.assign(ops.convert_to_numpy(theirs))
    return made


@pytest.mark.parametrize("make", [magvit, vqgan])
def test_a_step_that_fails_changes_nothing(make):
    model = make()
    before = state(model)
    let_steps_fail(model)
    with pytest.raises(RuntimeError, match="no memory"):
        model.fit(DATA, batch_size=2, verbose=0)
    assert_same(state(model), before)


OPTIONS = {"batch_size": 2, "shuffle": False, "verbose": 0}


@pytest.fixture(scope="module")
def used():
    """A model for the tests that ask no more than how many steps it has taken."""
    return magvit()


def steps(model):
    assert all(np.isfinite(x).all() for x in state(model))
    return int(ops.convert_to_numpy(model.optimizer.iterations))


def test_a_stop_after_a_step_keeps_the_steps_done(used):
    whole = like(used)
    keras.utils.set_random_seed(0)
    whole.fit({k: v[:4] for k, v in DATA.items()}, **OPTIONS)
    keras.utils.set_random_seed(0)
    with pytest.raises(KeyboardInterrupt):
        used.fit(DATA, callbacks=[Stop("train")], **OPTIONS)
    for a, b in zip(state(used), state(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="others change variables in place")
def test_a_device_that_fails_within_a_step_leaves_an_earlier_state(used):
    before, calls = steps(used), []
    used.make_train_function()
    step = used.train_function

    def fails(values, iterator):
        calls.append(1)
        if len(calls) < 3:
            return step(values, iterator)
        for value in keras.tree.flatten(values):
            value.delete()
        raise RuntimeError("out of memory")

    used.train_function = fails
    try:
        with pytest.raises(RuntimeError, match="out of memory") as raised:
            used.fit(DATA, **OPTIONS)
    finally:
        used.train_function = step
    assert "the model is as it was 0 seconds ago" in raised.value.__notes__[0]
    assert steps(used) == before  # as of the first step of this `fit`, less than a minute ago


@pytest.mark.parametrize("at", ["test", "epoch"])
def test_a_stop_in_validation_or_after_it_keeps_the_epoch(used, at):
    before = steps(used)
    with pytest.raises(KeyboardInterrupt):
        used.fit(DATA, validation_data=DATA, callbacks=[Stop(at)], **OPTIONS)
    assert steps(used) == before + 3


def test_ctrl_c_in_a_step_waits_for_its_end(used):
    ended = []
    step = whole_step(used, lambda _: os.kill(os.getpid(), signal.SIGINT) or ended.append(1))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            step(None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [1]


def test_data_that_fail_keep_the_steps_done(used):
    def batches():
        for _ in range(4):
            yield {k: v[:2] for k, v in DATA.items()}
        raise OSError("the disk is gone")

    before = steps(used)
    with pytest.raises(Exception, match="the disk is gone"):
        used.fit(batches(), steps_per_epoch=10, verbose=0)
    assert before < steps(used) <= before + 4
    assert np.isfinite(used.fit(DATA, **OPTIONS).history["loss"][0])
