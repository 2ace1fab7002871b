"""Weights that come with the package: what is said of them holds, and damaged ones are refused."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.data import MovingShapes
from magvit_keras.demo import DEMO_SHAPES
from magvit_keras.presets import shipped
from magvit_keras.presets.image_tokenizers import IMAGE_TOKENIZERS
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.presets.transformers import MAGVITS
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.train import load_run

NAME = "3dvq_moving_shapes"
MODEL = "magvit_tiny_moving_shapes"


def test_the_tokenizer_scores_what_is_said_of_it():
    told = json.loads((shipped.SHIPPED / NAME / "training.json").read_text())
    clips = MovingShapes(64, 8, (32, 32), split="validation", **DEMO_SHAPES).arrays()["video"]
    tokenizer = VideoTokenizer.from_preset(NAME)
    tokenizer.compile()
    assert tokenizer.evaluate(clips, batch_size=8, verbose=0, return_dict=True)["psnr"] == pytest.approx(
        told["psnr_db"], abs=0.02
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "kind, name, look",
    [
        (ImageTokenizer, "2dvq_tiny_moving_shapes", "plain"),
        (VideoTokenizer, "3dvq_tiny_moving_shapes", "plain"),
        (VideoTokenizer, "3dvq_grid_shapes", "grid"),
        (ImageTokenizer, "2dvq_fast_natural", "textured"),
        (VideoTokenizer, "3dvq_fast_natural", "textured"),
    ],
)
def test_the_tokenizers_of_16x64x64_score_what_is_said_of_them(kind, name, look):
    told = json.loads((shipped.SHIPPED / name / "training.json").read_text())
    clips = MovingShapes(8, split="validation", look=look).arrays()["video"]
    tokenizer = kind.from_preset(name)
    tokenizer.compile()
    found = tokenizer.evaluate(clips[:, 0] if kind.rank == 2 else clips, batch_size=8, verbose=0, return_dict=True)
    assert found["psnr"] == pytest.approx(told["psnr_of_the_first_8_db"], abs=0.02)


@pytest.mark.once
def test_without_weights_it_is_the_architecture_alone():
    trained, fresh = (VideoTokenizer.from_preset(NAME, load_weights=load) for load in (True, False))
    assert trained.get_config() | {"name": ""} == fresh.get_config() | {"name": ""}
    assert not np.array_equal(trained.get_weights()[0], fresh.get_weights()[0])


@pytest.mark.once
def test_every_photograph_has_an_author_and_a_licence_on_the_page():
    told = json.loads((shipped.SHIPPED / "3dvq_fast_natural" / "training.json").read_text())
    page = (pathlib.Path(__file__).parents[2] / "docs" / "model_zoo.md").read_text()
    assert len(told["photographs"]) > 40
    for about in told["photographs"]:
        assert f"| {about['author']} | {about['licence']} | {about['package']} |" in page


@pytest.mark.once
def test_the_natural_tokenizer_was_judged_on_real_clips_and_is_ahead_of_four_times_as_many_block_means():
    told = json.loads((shipped.SHIPPED / "3dvq_fast_natural" / "training.json").read_text())
    assert len(told["real_clips"]) >= 30 and len({about["source"] for about in told["real_clips"]}) >= 10
    assert told["psnr_db"] > told["psnr_of_means_db"]["blocks of 4x4x4"]


@pytest.mark.once
def test_what_is_shipped_is_a_preset_and_small():
    folders = {path.name for path in shipped.SHIPPED.iterdir()}
    known = {**VIDEO_TOKENIZERS, **IMAGE_TOKENIZERS, **MAGVITS}
    names = {name for name, entry in known.items() if "shipped" in entry}
    assert folders == {"shapes_classifier", *names}
    assert max(shipped.shipped_weights(name).stat().st_size for name in names) < 20e6


@pytest.mark.once
def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    shutil.copytree(shipped.SHIPPED, tmp_path / "shipped")
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped")
    path = tmp_path / "shipped" / NAME / shipped.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged: its SHA-256 is"):
        VideoTokenizer.from_preset(NAME)


@pytest.mark.once
@pytest.mark.parametrize(
    "name",
    [
        NAME,
        "2dvq_tiny_moving_shapes",
        "3dvq_tiny_moving_shapes",
        "3dvq_grid_shapes",
        "2dvq_fast_natural",
        "3dvq_fast_natural",
    ],
)
def test_the_page_says_what_was_measured(name):
    told = json.loads((shipped.SHIPPED / name / "training.json").read_text())
    page = (pathlib.Path(__file__).parents[2] / "docs" / "model_zoo.md").read_text()
    section = page.split(f"## `{name}`")[1].split("\n## ")[0]
    assert f"| {told['psnr_db']} dB |" in section and f"| {told['codes_used']} |" in section
    assert all(command in page for command in told.get("commands", {"only": told.get("command")}).values())


def test_the_model_of_ten_tasks_makes_what_it_made_when_it_was_shipped():
    told = json.loads((shipped.SHIPPED / MODEL / "training.json").read_text())
    sample = MovingShapes(1, split="validation", look="grid")[0]
    magvit = mk.Magvit.from_preset(MODEL)
    found = magvit.generate("frame_prediction", video=sample["video"][None], seed=0, return_details=True)
    # Backends round differently: a token that is nearly as likely as another may be the other one.
    same = np.mean(np.asarray(found.tokens)[0] == np.array(told["tokens_of_a_prediction"]))
    assert same > 0.95


@pytest.mark.once
def test_the_page_says_how_well_each_task_is_done():
    told = json.loads((shipped.SHIPPED / MODEL / "training.json").read_text())
    page = (pathlib.Path(__file__).parents[2] / "docs" / "model_zoo.md").read_text()
    page = page.split(f"<!-- {MODEL}: ")[1].split("<!-- end of ")[0]
    for task, found in told["tasks"].items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {task.replace('_', ' ')} |"))
        assert f"| {found['accuracy']:.0%} | {found['shapes_fvd']:.1f} |" in row


@pytest.mark.once
def test_a_whole_model_that_is_shipped_is_loaded_by_its_name(tmp_path, monkeypatch):
    tokenizer = mk.VideoTokenizer(8, (1, 1), (True,), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    sizes = {"latent_shape": (2, 4, 4), "num_layers": 1, "hidden_size": 8, "num_heads": 2, "mlp_dim": 8}
    magvit = mk.Magvit(tokenizer, mk.MaskedTransformer(16, num_classes=2, **sizes), class_names=["waves", "clouds"])
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    entry = {"description": "", "config": magvit.get_config()}
    monkeypatch.setitem(MAGVITS, "for_this_test", entry)
    with pytest.raises(ValueError, match="is an architecture without weights"):
        load_run("for_this_test")  # without weights a name is no trained model
    shipped.write_shipped(magvit, "for_this_test")
    entry["shipped"] = True
    loaded = load_run("for_this_test")
    assert loaded.class_names == ["waves", "clouds"]
    for before, after in zip(magvit.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-4)  # float16
