"""Every recipe end to end: two steps on small clips in the published formats."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from magvit_keras.cli import app
from magvit_keras.data import read_shards, write_sample
from magvit_keras.magvit import Magvit
from magvit_keras.presets.recipes import RECIPES
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

pytestmark = pytest.mark.slow

CLIP = (8, 8, 8)
TOKENIZER = {
    "filters": 4,
    "channel_multipliers": [1, 1],
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


@pytest.mark.once
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs(name, tmp_path, folder, tokenizer):
    of_tokenizer = ("--tokenizer", tokenizer) if RECIPES[name].kind == "transformer" else ()
    result = train(name, tmp_path / "run", folder, *of_tokenizer)
    assert result.exit_code == 0, result.output
    check(name, tmp_path / "run")
