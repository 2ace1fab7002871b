"""Every recipe end to end: two steps on small clips in the published formats."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

from magvit_keras.cli import app
from magvit_keras.data import read_shards, write_sample
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.recipes import RECIPES
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

pytestmark = pytest.mark.slow
# A recipe is data, and the stages run on every backend below: all rows are tried where nothing is compiled.
one_backend = pytest.mark.skipif(keras.config.backend() != "torch", reason="compiling fifty models takes minutes")

CLIP = (6, 8, 8)
TOKENIZER = {
    "filters": 4,
    "channel_multipliers": [1],
    "num_res_blocks": 1,
    "norm_groups": 1,
    "embedding_dim": 4,
    "codebook_size": 16,
    "padding": "same",
    "discriminator.filters": 4,
    "discriminator.channel_multipliers": [1],
}
TRANSFORMER = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "mlp_dim": 16, "dropout": 0.0}


def small(recipe):
    """What makes a trial of a recipe small."""
    sizes = TRANSFORMER if recipe.kind == "transformer" else TOKENIZER
    frames = 1 if recipe.kind == "image_tokenizer" else CLIP[0]
    return {"video_shape": [frames, *CLIP[1:]], "batch_size": 2, **sizes}


def invoke(command, recipe, *arguments, **changes):
    pairs = {**(small(recipe) if command == "train" else {"video_shape": CLIP}), **changes}
    sets = [text for name, value in pairs.items() for text in ("--set", f"{name}={json.dumps(value)}")]
    arguments = [command, "--recipe", recipe.name, *arguments, *sets, "--workers", 0, "--verbose", 0]
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(name, out, folder, *arguments, **changes):
    recipe = RECIPES[name]
    data = () if folder is None or recipe.data_format == "moving_shapes" else ("--data", folder(recipe.data_format))
    steps = () if "--max-steps" in arguments else ("--max-steps", 2)
    return invoke("train", recipe, *data, "--out", out, *steps, *arguments, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a small data set in a published format, made once."""
    made = {}

    def of(data_format):
        if data_format not in made:
            made[data_format] = write_sample(data_format, tmp_path_factory.mktemp(data_format), 2)
        return made[data_format]

    return of


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, folder):
    """The run of a small 3D-VQ."""
    out = tmp_path_factory.mktemp("runs") / "tokenizer"
    result = train("bair-3dvq-base", out, folder)
    assert result.exit_code == 0, result.output
    return out


def check(name, out):
    history = json.loads((out / "history.json").read_text())
    if RECIPES[name].kind == "transformer":
        magvit = Magvit.from_preset(out / "magvit")
        assert list(magvit.tasks) == list(RECIPES[name].tasks)
        losses = history["transformer"]["loss"]
    else:
        kind = VideoTokenizer if RECIPES[name].kind == "tokenizer" else ImageTokenizer
        assert kind.from_preset(out / "tokenizer").filters == TOKENIZER["filters"]
        losses = history["tokenizer"]["d_loss"]
    assert len(losses) == 1 and np.isfinite(losses).all()
    of = "magvit" if RECIPES[name].kind == "transformer" else "tokenizer"
    card = (out / of / "README.md").read_text()
    assert f"Trained by the recipe {name}, changed: 2 of" in card and f"| Data | {RECIPES[name].data}: " in card


@one_backend
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs(name, tmp_path, folder, tokenizer):
    of_tokenizer = ("--tokenizer", tokenizer) if RECIPES[name].kind == "transformer" else ()
    result = train(name, tmp_path / "run", folder, *of_tokenizer)
    assert result.exit_code == 0, result.output
    check(name, tmp_path / "run")


# --- on every backend ---


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The run of a small tokenizer of Moving Shapes."""
    out = tmp_path_factory.mktemp("runs") / "shapes"
    result = train("moving-shapes-3dvq-tiny", out, None, "--reader", "num_clips=4")
    assert result.exit_code == 0, result.output
    return out


def test_a_tokenizer_trains_on_every_backend(shapes):
    check("moving-shapes-3dvq-tiny", shapes)


def test_a_transformer_trains_from_cached_tokens_of_all_ten_tasks(shapes, tmp_path):
    recipe = RECIPES["moving-shapes-mt10-tiny"]
    arguments = ("--reader", "num_clips=4", "--tokenizer", shapes, "--out", tmp_path / "tokens")
    made = invoke("tokenize", recipe, *arguments)
    assert made.exit_code == 0, made.output
    assert read_shards(tmp_path / "tokens")["condition_tokens"].shape == (4, 10, 6, 8, 8)
    given = ("--tokenizer", shapes, "--tokens", tmp_path / "tokens", "--max-steps", 3, "--set", "checkpoint_steps=2")
    result = train(recipe.name, tmp_path / "run", None, *given)
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())["transformer"]["loss"]) == 2
    assert list(Magvit.from_preset(tmp_path / "run" / "magvit").tasks) == list(recipe.tasks)


# --- one backend, and none ---


@one_backend
def test_a_tokenizer_goes_on_and_is_its_averaged_weights(tmp_path):
    def weights(steps):
        more = ("--reader", "num_clips=4", "--max-steps", steps)
        result = train("moving-shapes-3dvq-tiny", tmp_path / "run", None, *more)
        assert result.exit_code == 0, result.output
        return VideoTokenizer.from_preset(tmp_path / "run" / "tokenizer").get_weights()

    before, after = weights(2), weights(3)
    state = json.loads((tmp_path / "run" / "checkpoints" / "tokenizer" / "state.json").read_text())
    assert len(state["history"]["g_loss"]) == 2
    # A step of Adam moves a weight by about the learning rate, an average of decay 0.99 by a hundredth of the way.
    moved = max(np.abs(a - b).max() for a, b in zip(before, after, strict=True))
    assert 0 < moved < 1e-5


@one_backend
def test_a_run_that_was_stopped_ends_where_a_whole_one_does(shapes, tmp_path):
    def weights(out, *steps):
        for count in steps:
            more = (
                "--reader",
                "num_clips=5",
                "--tokenizer",
                shapes,
                "--max-steps",
                count,
                "--set",
                "checkpoint_steps=2",
            )
            result = train("moving-shapes-mt10-tiny", out, None, *more)
            assert result.exit_code == 0, result.output
        return Magvit.from_preset(out / "magvit").transformer.get_weights()

    whole, parts = weights(tmp_path / "whole", 5), weights(tmp_path / "parts", 1, 4, 5)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@one_backend
def test_a_3d_tokenizer_starts_from_a_2d_run(folder, tmp_path):
    assert train("k600-2dvq-base", tmp_path / "2d", folder).exit_code == 0
    still = {"learning_rate": 0.0}
    result = train("k600-3dvq-base", tmp_path / "3d", folder, "--inflate-from", tmp_path / "2d", **still)
    assert result.exit_code == 0, result.output
    image = ImageTokenizer.from_preset(tmp_path / "2d" / "tokenizer")
    video = VideoTokenizer.from_preset(tmp_path / "3d" / "tokenizer")
    deep, flat = (ops.convert_to_numpy(model.encoder.conv_in.kernel) for model in (video, image))
    # The averaged weights are sums of rounded products.
    np.testing.assert_allclose(deep, [np.zeros_like(flat), flat, np.zeros_like(flat)], rtol=0, atol=1e-6)


@one_backend
def test_kinetics_gives_five_frames_and_decodes_by_its_recipe(folder, tokenizer, tmp_path):
    recipe = RECIPES["k600-fp-base"]
    arguments = ("--data", folder("kinetics600"), "--tokenizer", tokenizer, "--out", tmp_path / "tokens")
    assert invoke("tokenize", recipe, *arguments).exit_code == 0
    assert json.loads((tmp_path / "tokens" / "cache.json").read_text())["given_frames"] == {"frame_prediction": 5}
    given = ("--tokenizer", tokenizer, "--tokens", tmp_path / "tokens")
    assert train(recipe.name, tmp_path / "run", None, *given).exit_code == 0
    assert Magvit.from_preset(tmp_path / "run" / "magvit").tasks["frame_prediction"].num_condition_frames == 5
    video = ("--video", next(folder("kinetics600").rglob("*.mp4")), "--out", tmp_path / "out.gif")
    for run, steps, said in (
        ("run", (), "num_steps 12, schedule uniform, temperature 7.5"),
        ("run/magvit", ("--num-steps", 2), "num_steps 2, schedule cosine, temperature 4.5"),
    ):
        made = CliRunner().invoke(app, [str(a) for a in ("generate", "--run", tmp_path / run, *video, *steps)])
        assert made.exit_code == 0 and said in made.output, made.output
    result = train("bair-fp-base", tmp_path / "other", None, *given)
    assert result.exit_code == 2
    assert "given_frames {'frame_prediction': 5}, expected {}" in result.output


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ucf101-3dvq", (), "Unknown recipe 'ucf101-3dvq'"),
        ("ucf101-3dvq-base", (), "needs --data, the folder of UCF-101"),
        ("ucf101-3dvq-base", ("--frames", 8), "--frames: the recipe ucf101-3dvq-base says it; to change it, see --set"),
        ("ucf101-3dvq-base", ("--tokenizer", "x"), "--tokenizer is not for ucf101-3dvq-base, which trains a tokenizer"),
        ("ucf101-cg-base", (), "the run of `magvit-keras train --recipe ucf101-3dvq-base`"),
        ("ucf101-cg-base", ("--inflate-from", "x"), "--inflate-from is not for ucf101-cg-base"),
        (
            "ucf101-cg-base",
            ("--tokenizer", "nowhere"),
            "nowhere is not the folder of a run or of a trained VideoTokenizer",
        ),
        ("ucf101-cg-base", ("--tokenizer", "x", "--tokens", "y", "--format", "bair"), "leave --data, --format"),
        ("moving-shapes-3dvq-tiny", ("--data", "videos"), "makes its own clips; leave --data off"),
        ("moving-shapes-3dvq-tiny", ("--set", "perceptual_weights=x"), "has no perceptual loss"),
        ("moving-shapes-3dvq-tiny", ("--reader", "nope=1"), "has no nope; expected some of num_clips"),
        ("moving-shapes-3dvq-tiny", ("--reader", "texture=much"), "texture='much': expected a number from 0 to 1"),
        ("ucf101-cg-base", ("--tokenizer", "3dvq_tiny"), "The preset 3dvq_tiny is an architecture without weights"),
        ("moving-shapes-3dvq-tiny", ("--max-steps", 0), "--max-steps must be an integer of at least 1"),
        ("moving-shapes-3dvq-tiny", ("--set", "fitlers=3"), "did you mean filters?"),
        ("ucf101-3dvq-base", ("--set", "filters=16"), "use 32, or set norm_groups, too, for example to 16"),
        ("moving-shapes-3dvq-tiny", ("--set", "channel_multipliers=2"), "channel_multipliers must be like [1,"),
        ("moving-shapes-3dvq-tiny", ("--set", "video_shape=[7,32,32]"), "Clips of 7x32x32 do not divide"),
        ("moving-shapes-mt10-tiny", ("--tokenizer", "3dvq_moving_shapes", "--set", "num_layers=x"), "received 'x'"),
    ],
)
def test_train_refuses_before_any_work(tmp_path, name, arguments, message):
    arguments = ["train", "--recipe", name, "--out", tmp_path / "run", *arguments]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_a_file_in_the_place_of_a_run_is_answered_in_a_line(tmp_path):
    (tmp_path / "run").write_text("")
    arguments = ["train", "--recipe", "moving-shapes-3dvq-tiny", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "--out must be a folder" in result.output


@pytest.mark.once
def test_options_of_recipes_are_refused_without_one(tmp_path):
    result = CliRunner().invoke(app, ["train", "--data", str(tmp_path), "--out", "x", "--tokens", "y"])
    assert result.exit_code == 2 and "--tokens: for a training by a recipe" in result.output
    result = CliRunner().invoke(app, ["train"])
    assert result.exit_code == 2 and "--data must be given" in result.output


@one_backend
def test_another_recipe_in_the_same_folder_is_refused(shapes, tmp_path):
    result = train("moving-shapes-3dvq-tiny", shapes, None, "--reader", "num_clips=4", epochs=3)
    assert result.exit_code == 2
    assert "holds a run with other settings (epochs was 10 and is now 3)" in result.output
    (tmp_path / "settings.json").write_text((shapes / "settings.json").read_text())
    result = train("moving-shapes-3dvq-tiny", tmp_path, None, "--reader", "num_clips=4", epochs=3)
    assert result.exit_code == 0, result.output  # no checkpoint there, nothing to go on with
    result = CliRunner().invoke(app, ["generate", "--run", str(shapes), "--out", "x.gif"])
    assert result.exit_code == 2 and "trained a tokenizer" in result.output


@one_backend
def test_tokens_of_another_tokenizer_are_refused(shapes, tokenizer, folder, tmp_path):
    arguments = ("--data", folder("bair"), "--tokenizer", tokenizer, "--out", tmp_path / "tokens")
    assert invoke("tokenize", RECIPES["bair-fp-base"], *arguments).exit_code == 0
    given = ("--tokenizer", shapes, "--tokens", tmp_path / "tokens")
    result = train("bair-fp-base", tmp_path / "run", None, *given)
    assert result.exit_code == 2
    assert "does not hold the tokens of bair-fp-base: tokenizer" in result.output
