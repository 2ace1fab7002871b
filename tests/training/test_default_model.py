"""What a training on one's own videos starts from when nothing is said of it."""

import pathlib

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, Source
from magvit_keras.presets.resolver import resolve
from magvit_keras.training.recipe import DEFAULT_MODEL, Settings, plan, recipes_of

pytestmark = pytest.mark.once


class Clips(Source):
    video_shape, class_names = (16, 64, 64), ("all",)

    def __len__(self):
        return 1

    def read(self, index, rng=None):
        return {"video": np.zeros((16, 64, 64, 3), np.uint8), "label": 0}


def start(tmp_path, **given):
    return plan(Clips(), tmp_path / "run", given).settings.start_from


@pytest.mark.parametrize("given", [{}, {"fps": 12.0}, {"adversarial": True}, {"changes": {"learning_rate": 1e-4}}])
def test_clips_of_its_size_start_from_the_model_that_has_learned(tmp_path, given):
    assert start(tmp_path, **given) == DEFAULT_MODEL


@pytest.mark.parametrize(
    "given",
    [
        {"size": (32, 32)},
        {"num_frames": 8},
        {"transformer": "base"},
        {"tokenizer": "3dvq_tiny"},
        {"changes": {"num_layers": 2}},
        {"changes": {"tokenizer.codebook_size": 64}},
    ],
)
def test_other_sizes_and_parts_start_without_it(tmp_path, given):
    assert start(tmp_path, **given) is None


def test_fresh_weights_are_had_by_saying_none(tmp_path):
    assert start(tmp_path, start_from="none") == "none"


@pytest.mark.parametrize(("start", "rate"), [(DEFAULT_MODEL, 1e-4), ("none", 5e-4)])
def test_what_has_learned_learns_on_in_smaller_steps(start, rate):
    assert recipes_of(Settings(start_from=start))[1].recipe.learning_rate == rate


def test_it_comes_with_weights_and_has_the_size_of_the_defaults():
    config = resolve(DEFAULT_MODEL, "Magvit")
    assert config.preset == DEFAULT_MODEL
    assert recipes_of(Settings(start_from=DEFAULT_MODEL))[0].recipe.video_shape == (16, 64, 64)


def test_the_folder_names_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MovingShapes(1, num_frames=4, size=(8, 8)).write_videos(tmp_path / "mine")
    assert plan(tmp_path / "mine", None, {}).out == pathlib.Path("runs", "mine")


@pytest.mark.parametrize(
    ("given", "alone"), [({}, True), ({"keep_tokens": False}, False), ({"start_from": "none"}, False)]
)
def test_the_decoder_alone_trains_where_a_transformer_knows_the_tokens(tmp_path, given, alone):
    assert plan(Clips(), tmp_path / "run", given).settings.decoder_only is alone
