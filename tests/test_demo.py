"""`make demo` with a tiny model of the same form: ten tasks, a fine-tuning, and the page that shows both."""

import json
import re

import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.demo import PRESET, run_demo
from magvit_keras.presets.transformers import MAGVITS

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    tokenizer = mk.VideoTokenizer(4, (1, 1, 1), (True, True), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    sizes = {"num_layers": 1, "hidden_size": 16, "num_heads": 1, "mlp_dim": 16, "dropout": 0.0}
    transformer = mk.MaskedTransformer(16, num_classes=36, latent_shape=(4, 16, 16), **sizes)
    names = mk.data.MovingShapes(1).class_names
    mk.Magvit(tokenizer, transformer, class_names=names, class_dropout=0.1).save_to_preset(out / "before")
    return out, run_demo(out, fast=True, verbose=0, preset=out / "before").read_text()


def test_the_shipped_model_has_this_form():
    config = MAGVITS[PRESET]["config"]
    assert config["class_names"] == mk.data.MovingShapes(1).class_names and len(config["tasks"]) == len(mk.TASKS)


@pytest.mark.parametrize("title", ["Ten tasks", "Tokens and back", "Decoding", "A short fine-tuning"])
def test_the_page_has_every_part(demo, title):
    assert re.search(f"<h2>{title}", demo[1])


def test_the_page_stands_alone(demo):
    assert not re.search(r'(src|href)="(?!data:|#)', demo[1])


@pytest.mark.parametrize("name", [*mk.TASKS, "fine_tuning"])
def test_a_clip_of_every_task_beside_the_page(demo, name):
    assert (demo[0] / f"{name}.gif").read_bytes()[:3] == b"GIF"


def test_the_tasks_are_on_the_page(demo):
    for name in mk.TASKS:
        assert f"<figcaption>{name.replace('_', ' ')}" in demo[1], name


def test_the_fine_tuned_model_is_a_preset_of_other_weights(demo):
    config = json.loads((demo[0] / "model" / "config.json").read_text())
    assert config["class"] == "Magvit" and "Fine-tuned" in config["card"]["data"]
    before, after = (mk.load_run(demo[0] / name) for name in ("before", "model"))
    assert after.class_names == before.class_names

    def same(part: str) -> list[bool]:
        weights = (getattr(model, part).get_weights() for model in (before, after))
        return [np.array_equal(a, b) for a, b in zip(*weights, strict=True)]

    assert all(same("tokenizer")) and not all(same("transformer"))
