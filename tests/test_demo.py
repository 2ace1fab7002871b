"""`make demo` in small: ten tasks of the shipped model, a short fine-tuning, and the page that shows both."""

import json
import re

import numpy as np
import pytest

import magvit_keras as mk
from magvit_keras.demo import PRESET, run_demo

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    mk.Magvit.from_preset(PRESET).save_to_preset(out / "before")
    return out, run_demo(out, fast=True, verbose=0, preset=out / "before").read_text()


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
