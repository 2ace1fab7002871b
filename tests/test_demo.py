"""`make demo` in small: the whole path, from files to the page."""

import re

import pytest

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    from magvit_keras.demo import run_demo

    out = tmp_path_factory.mktemp("demo")
    return out, run_demo(out, fast=True, verbose=0).read_text()


@pytest.mark.parametrize("title", ["Videos in", "Tokens and back", "Frame prediction", "Decoding", "Class-conditional"])
def test_the_page_has_every_part(demo, title):
    assert re.search(f"<h2>{title}", demo[1])


def test_the_page_stands_alone(demo):
    assert not re.search(r'(src|href)="(?!data:|#)', demo[1])


@pytest.mark.parametrize("name", ["reconstruction.gif", "frame_prediction.gif", "generated.gif", "run/history.json"])
def test_files_beside_the_page(demo, name):
    assert (demo[0] / name).stat().st_size > 0
