"""Adversarial training of a run's tokenizer."""

import json

import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.data import MovingShapes

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
