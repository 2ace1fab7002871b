"""Adversarial training of a run's tokenizer."""

import json
import time

import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.data import MovingShapes
from magvit_keras.training.measure import reading_seconds
from magvit_keras.training.recipe import Settings, recipes_of

# VQGAN itself is tested on every backend; here is what a run does with it.
pytestmark = [pytest.mark.slow, pytest.mark.once]

SETTINGS = {
    "num_frames": 4,
    "size": (8, 8),
    "tokenizer": {"filters": 32, "channel_multipliers": (1, 1), "temporal_downsample": (True,), "num_res_blocks": 1},
    "transformer": {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "mlp_dim": 64},
    "batch_size": 2,
    "changes": {"transformer.batch_size": 4},
    "tokenizer_steps": 4,
    "transformer_steps": 2,
    "checkpoint_steps": 2,
    "adversarial": True,
}


def test_an_adversarial_run_goes_on_and_keeps_the_averaged_weights(tmp_path, capsys):
    source = MovingShapes(12, num_frames=4, size=(8, 8))
    tokenizer = {**SETTINGS["tokenizer"], "embedding_dim": 8, "codebook_size": 32}
    settings = {**SETTINGS, "tokenizer": tokenizer}
    mk.train(source, tmp_path / "run", verbose=0, **{**settings, "tokenizer_steps": 2})
    before = mk.load_run(tmp_path / "run").tokenizer.get_weights()
    mk.train(source, tmp_path / "run", **settings)
    assert "what was made with it before is removed (tokens, " in capsys.readouterr().out
    history = json.loads((tmp_path / "run" / "history.json").read_text())["tokenizer"]
    assert len(history["d_loss"]) == 2  # an epoch of the first call, one of the second
    assert np.isfinite(history["d_loss"]).all()
    card = (tmp_path / "run" / "magvit" / "README.md").read_text()
    assert "MovingShapes, 11 clips of 4x8x8" in card and "2 optimizer steps of the transformer" in card
    assert "| Reconstruction PSNR of the tokenizer, held-out clips |" in card and "| Licence | not stated |" in card
    after = mk.load_run(tmp_path / "run").tokenizer.get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


SMALL = {
    **{name: SETTINGS[name] for name in ("transformer", "batch_size", "changes", "checkpoint_steps")},
    "tokenizer": {**SETTINGS["tokenizer"], "embedding_dim": 8, "codebook_size": 32},
}


@pytest.fixture
def measured(monkeypatch):
    """Half a second for a step of the tokenizer, a quarter for one of the transformer, on clips of any size."""
    monkeypatch.setattr("magvit_keras.training.train._Run.measured", lambda *_, **__: (0.5, 0.25))


def test_minutes_choose_the_steps_and_sizes_that_are_given_stay(tmp_path, capsys, measured):
    source = MovingShapes(6, num_frames=4, size=(8, 8))
    mk.train(source, tmp_path / "run", minutes=0.3, num_frames=4, size=(8, 8), **SMALL)
    noted = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    # 0.6 and 0.3 of the 18 seconds
    assert (noted["tokenizer_steps"], noted["transformer_steps"]) == (21, 21)
    assert "Clips of 4x8x8; 21 steps of the tokenizer, 21 of the transformer." in capsys.readouterr().out


def test_a_run_within_minutes_is_not_measured_again_when_it_goes_on(tmp_path, measured, monkeypatch):
    source = MovingShapes(6, num_frames=4, size=(8, 8))
    settings = {"minutes": 0.1, "num_frames": 4, "size": (8, 8), "verbose": 0, **SMALL}
    mk.train(source, tmp_path / "run", **settings)
    monkeypatch.setattr("magvit_keras.training.train._Run.within_minutes", None)  # would fail when it is called
    mk.train(source, tmp_path / "run", **settings)
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())["tokenizer"]["loss"]) == 10


def test_a_dry_run_says_what_the_training_takes_and_writes_nothing(tmp_path, capsys):
    source = MovingShapes(6, num_frames=4, size=(8, 8))
    mk.train(source, tmp_path / "run", dry_run=True, num_frames=4, size=(8, 8), tokenizer_steps=4, **SMALL)
    said = capsys.readouterr().out
    assert "tokenizer: " in said and " parameters, 4 steps of 2 clips, " in said and "The whole training: " in said
    assert not (tmp_path / "run").exists()


def test_a_training_that_starts_from_another_keeps_its_tokens(tmp_path):
    source = MovingShapes(6, num_frames=4, size=(8, 8))
    short = {"num_frames": 4, "size": (8, 8), "verbose": 0, "tokenizer_steps": 2, "transformer_steps": 2}
    changes = {"quantizer": "vq_ema"}  # its codes would move without a gradient
    first = mk.train(source, tmp_path / "first", **short, **{**SMALL, "changes": {**SMALL["changes"], **changes}})
    further = mk.train(source, tmp_path / "further", start_from=str(tmp_path / "first"), **short, batch_size=2)
    clips = source.arrays()["video"]
    np.testing.assert_array_equal(*(np.asarray(model.tokenizer.encode(clips)) for model in (first, further)))
    pairs = zip(first.tokenizer.decoder.get_weights(), further.tokenizer.decoder.get_weights(), strict=True)
    assert any(not np.array_equal(a, b) for a, b in pairs)


def test_the_time_of_a_step_holds_the_reading_that_shares_the_cores():
    class Slow(MovingShapes):
        def read(self, index, epoch=0):
            time.sleep(0.01)
            return super().read(index, epoch)

    recipe = recipes_of(Settings(num_frames=4, size=(8, 8)))[0].recipe
    seconds = reading_seconds(Slow(6, num_frames=4, size=(8, 8)), recipe, workers=1)
    assert seconds > 0.01 * recipe.batch_size / 2  # a worker beside the training, on two cores or more
