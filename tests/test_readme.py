"""What a script writes into the README: the picture wall."""

import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

from magvit_keras.presets.transformers import MAGVITS

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WALL = script("write_picture_wall")


def test_the_wall_is_one_animated_picture(tmp_path):
    clip = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), "uint8")
    wall = [("a task", [("given", clip), ("made", clip), ("true", clip)]), ("another", [("made 1", clip)])]
    WALL.write_image(wall, tmp_path / "wall.webp")
    picture = Image.open(tmp_path / "wall.webp")
    assert picture.n_frames == 4 and picture.info["loop"] == 0


def test_a_page_shows_it_between_the_marks(tmp_path):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"above\n{WALL.BEGIN}\n{WALL.END}\nbelow\n")
    for _ in range(2):
        WALL.show_on(page, tmp_path / "docs" / "images" / "wall.webp")
        lines = page.read_text().splitlines()
        assert lines[0] == "above" and lines[-1] == "below"
        assert lines[2].endswith("](images/wall.webp)") and len(lines) == 7


@pytest.mark.parametrize("page", WALL.PAGES, ids=lambda path: path.name)
def test_the_pages_have_the_picture_as_soon_as_the_model_has_weights(page):
    text = page.read_text()
    assert text.count(WALL.BEGIN) == text.count(WALL.END) == 1
    shown = "ten_tasks.webp" in text.split(WALL.BEGIN)[1].split(WALL.END)[0]
    assert shown == WALL.IMAGE.exists(), "python scripts/write_picture_wall.py"
    if MAGVITS[WALL.PRESET].get("shipped"):
        assert shown, "python scripts/write_picture_wall.py"
