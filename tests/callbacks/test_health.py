"""The callbacks that watch a run, on a model whose logs are given."""

import types
import warnings

import numpy as np
import pytest

from magvit_keras.callbacks.health import CollapseWarning, DiscriminatorWarning, StopOnNaN


def run(callback, epochs, **model):
    """Feeds each epoch's list of logs to the callback; returns the stand-in model."""
    model = types.SimpleNamespace(stop_training=False, **model)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, steps in enumerate(epochs):
        callback.on_epoch_begin(epoch)
        for i, logs in enumerate(steps):
            callback.on_train_batch_end(i, logs)
        callback.on_epoch_end(epoch, steps[-1])
    return model


def test_stop_on_nan_names_the_step_and_the_first_loss():
    steps = [{"g_loss": 1.0, "r1_penalty": 1.0}, {"g_loss": float("nan"), "r1_penalty": float("nan")}]
    with pytest.warns(UserWarning, match="step 2: r1_penalty = nan"):
        model = run(StopOnNaN(), [steps])
    assert model.stop_training


def test_stop_on_nan_goes_by_the_order_of_the_model():
    logs = {"d_loss": np.inf, "lecam_loss": np.inf, "codebook_loss": np.nan}
    callback = StopOnNaN()
    with pytest.warns(UserWarning, match="step 1"):
        run(callback, [[logs]], log_names=("d_loss", "codebook_loss", "lecam_loss"))
    assert callback.names == ["codebook_loss", "lecam_loss"]


def test_stop_on_nan_names_a_total_where_nothing_else_is_left():
    with pytest.warns(UserWarning, match="g_loss = inf"):
        run(StopOnNaN(), [[{"g_loss": np.inf, "psnr": 1.0}]])


def test_stop_on_nan_keeps_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not run(StopOnNaN(), [[{"g_loss": 1.0}]]).stop_training


def test_collapse_warning_after_patience():
    low = [{"codebook_usage": 0.01}]
    with pytest.warns(UserWarning, match=r"Epoch 2 used 1\.0% of the codebook") as seen:
        run(CollapseWarning(threshold=0.05, patience=2), [low, low])
    assert len(seen) == 1


def test_collapse_warning_counts_the_codes_of_the_epoch():
    usage = types.SimpleNamespace(share_used_within=lambda steps: {3: 0.02}[steps])
    with pytest.warns(UserWarning, match=r"used 2\.0%"):
        run(CollapseWarning(), [[{"codebook_usage": 0.9}] * 3], code_usage=usage)


@pytest.mark.parametrize(
    ("real", "fake", "message"), [(1.0, 1.0, "won epoch 1"), (0.05, 0.1, "lost epoch 1: right on 5.0%")]
)
def test_discriminator_warning(real, fake, message):
    with pytest.warns(UserWarning, match=message):
        run(DiscriminatorWarning(), [[{"d_real_accuracy": real, "d_fake_accuracy": fake}]])


@pytest.mark.parametrize("logs", [{"d_real_accuracy": 1.0, "d_fake_accuracy": 0.7}, {}])
def test_discriminator_warning_keeps_quiet(logs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(DiscriminatorWarning(), [[logs]])


def test_discriminator_warning_waits_while_it_rests():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logs = {"d_real_accuracy": 1.0, "d_fake_accuracy": 1.0}
        at_once = types.SimpleNamespace(gradient_accumulation_steps=None)
        run(DiscriminatorWarning(), [[logs]], steps=np.array(5), generator_only_steps=5, optimizer=at_once)
        accumulates = types.SimpleNamespace(gradient_accumulation_steps=4)
        run(DiscriminatorWarning(), [[logs]], steps=np.array(20), generator_only_steps=5, optimizer=accumulates)


@pytest.mark.parametrize("make", [lambda: CollapseWarning(threshold=0), lambda: DiscriminatorWarning(high=0.1)])
def test_bad_arguments(make):
    with pytest.raises(ValueError, match="patience"):
        make()
