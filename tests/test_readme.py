"""What scripts write into the README: the table of what is supported where, and the picture wall."""

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


# --- the support table ---

TABLE = script("write_support_table")


def junit(path: pathlib.Path, tests: dict[str, str]) -> None:
    """A JUnit file as pytest writes it: module -> "passed", "failed", "error" or "skipped" for each of its tests."""
    tags = {"passed": "", "failed": "<failure/>", "error": "<error/>", "skipped": "<skipped/>"}
    cases = [
        f'<testcase classname="{module}" name="test_{i}">{tags[kind]}</testcase>'
        for module, kinds in tests.items()
        for i, kind in enumerate(kinds.split())
    ]
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")


@pytest.fixture
def results(tmp_path):
    """Every part of the table passes one test on every backend."""
    everything = {f"{prefixes[0].rstrip('.')}.test_x": "passed" for prefixes in TABLE.PARTS.values()}
    for backend in TABLE.BACKENDS:
        junit(tmp_path / f"{backend}.xml", everything)
    junit(tmp_path / "once.xml", {})
    (tmp_path / "README.md").write_text(f"before\n\n{TABLE.BEGIN}\nold\n{TABLE.END}\n\nafter\n")
    return tmp_path, everything


def rows(readme: pathlib.Path) -> dict[str, list[str]]:
    cells = [line.strip("|").split("|") for line in readme.read_text().splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def test_tests_that_start_a_backend_count_for_it(results):
    folder, _ = results
    case = '<testcase classname="tests.test_distribution" name="test_losses[{}]"/>'
    cases = "".join(case.format(name) for name in ("jax-data-vqgan", "torch", "no_backend"))
    (folder / "once.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    TABLE.main(folder, folder / "README.md")
    assert rows(folder / "README.md")["Several devices"] == ["2 passed", "1 passed", "2 passed"]


def test_the_table_counts_what_passed_failed_and_was_left_out(results):
    folder, everything = results
    junit(folder / "jax.xml", {**everything, "tests.decoding.test_y": "passed passed skipped"})
    junit(folder / "torch.xml", {**everything, "tests.decoding.test_y": "failed error passed"})
    TABLE.main(folder, folder / "README.md")
    found = rows(folder / "README.md")
    assert found[""] == ["JAX", "TensorFlow", "PyTorch"]
    assert found["Decoding: Algorithm 1, MaskGIT, autoregressive"] == ["3 passed", "1 passed", "2 passed, 2 failed"]
    assert set(found) == {"", *TABLE.PARTS}
    text = (folder / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    TABLE.main(folder, folder / "README.md")
    assert (folder / "README.md").read_text() == text


def test_a_part_that_one_backend_skips_is_named_so(results):
    folder, everything = results
    junit(folder / "tensorflow.xml", {**everything, "tests.test_distribution.test_x": "skipped"})
    TABLE.main(folder, folder / "README.md")
    assert rows(folder / "README.md")["Several devices"] == ["1 passed", "not tested", "1 passed"]


def test_results_of_a_part_of_the_tests_are_refused(results):
    folder, _ = results
    for backend in TABLE.BACKENDS:
        junit(folder / f"{backend}.xml", {"tests.decoding.test_x": "passed"})
    with pytest.raises(SystemExit, match="Not the results of a whole"):
        TABLE.main(folder, folder / "README.md")
    (folder / "jax.xml").unlink()
    with pytest.raises(SystemExit, match=r"jax\.xml: run `make test` first"):
        TABLE.main(folder, folder / "README.md")


def test_every_part_has_tests():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "tests").rglob("test_*.py")}
    lost = [name for names in TABLE.PARTS.values() for name in names if not any(m.startswith(name) for m in modules)]
    assert lost == []


def test_the_readme_has_a_place_for_the_table():
    text = (ROOT / "README.md").read_text()
    assert text.count(TABLE.BEGIN) == text.count(TABLE.END) == 1 and text.index(TABLE.BEGIN) < text.index(TABLE.END)


# --- the picture wall ---

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
