"""The callback that writes reconstructions."""

import types

import numpy as np
import pytest
from PIL import Image

from magvit_keras.callbacks.samples import SampleReconstructions, reconstructions


def tokenizer(shade):
    """Reconstructs everything as one shade."""
    return types.SimpleNamespace(encode=np.shape, decode=lambda shape: np.full(shape, shade, "float32"))


def run(callback, epochs, model):
    callback.set_model(model)
    for epoch in range(epochs):
        callback.on_epoch_end(epoch)


def test_a_file_every_second_epoch(tmp_path):
    clips = np.zeros((3, 4, 8, 8, 3), "uint8")
    run(SampleReconstructions(clips, tmp_path / "samples", every=2), 5, tokenizer(1.0))
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [
        "reconstruction_0002.gif",
        "reconstruction_0004.gif",
    ]


def test_originals_stand_above_reconstructions(tmp_path):
    clips = np.zeros((2, 4, 8, 8, 3), "uint8")
    run(SampleReconstructions(clips, tmp_path), 1, tokenizer(1.0))
    frame = np.asarray(Image.open(tmp_path / "reconstruction_0001.gif").convert("RGB"))
    assert frame.shape == (16, 16, 3)
    assert frame[:8].max() < 10 and frame[8:].min() > 245


@pytest.mark.parametrize(("average", "shade"), [(True, 1.0), (False, 0.0)])
def test_averaged_weights_where_there_are_some(average, shade):
    model = types.SimpleNamespace(tokenizer=tokenizer(0.0), ema_tokenizer=tokenizer(1.0))
    made = reconstructions(model, np.zeros((3, 2, 8, 8, 3), "float32"), average, batch_size=2)
    np.testing.assert_array_equal(made, np.full((3, 2, 8, 8, 3), shade))


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        SampleReconstructions(np.zeros((1, 2, 8, 8, 3), "uint8"), tmp_path, every=0)
