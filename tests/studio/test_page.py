"""The studio's page in a headless Chromium, where there is one: draw, generate, compare frames."""

import base64
import importlib.util
import json
import pathlib
import time

import pytest

import magvit_keras as mk

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "browser.py"
SPEC = importlib.util.spec_from_file_location("browser", SCRIPT)
BROWSER = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(BROWSER)

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER.find() is None, reason="needs chromium on the PATH"),
]

# Shares of the pixels that differ between two films: where the hole is, and elsewhere.
DIFFERING = """(() => {
  const pixels = (film) => {
    const pen = canvasOf(W, T * H).getContext("2d");
    pen.drawImage(film, 0, 0);
    return pen.getImageData(0, 0, W, T * H).data;
  };
  const a = pixels(clip.film), b = pixels(run.steps.at(-1).film), found = [[0, 0], [0, 0]];
  hole.forEach((on, i) => { found[on][0] += [0, 1, 2].some((c) => a[4 * i + c] !== b[4 * i + c]); found[on][1]++; });
  return found.map(([differ, all]) => differ / all);
})()"""


@pytest.fixture(scope="module")
def tab():
    with BROWSER.browser(BROWSER.find()) as tab:
        yield tab


@pytest.fixture
def page(server, tab):
    tab.open(server.address)
    tab.wait("document.body && document.body.dataset.ready === 'yes'")
    tab.js("document.getElementById('num_steps').value = 3")
    return tab


def settled(page):
    page.wait("!job && document.getElementById('say').textContent !== ''", 120)
    return page.js("document.getElementById('say').textContent")


def test_a_painted_hole_is_filled_and_the_rest_stays(page):
    page.click("#clear")
    assert page.js("hole.some(Boolean)") is False
    x, y, width, height = page.middle("#clip")
    page.drag([(x - width / 4, y), (x, y - height / 8), (x + width / 4, y)])
    assert 0.05 < page.js("hole.reduce((a, b) => a + b) / hole.length") < 0.7
    page.click("#go")
    assert settled(page).startswith("Made in ")
    elsewhere, inside = page.js(DIFFERING)
    assert elsewhere == 0 and inside > 0.5
    assert page.js("document.querySelectorAll('#steps button').length") == 5
    assert page.js("document.getElementById('save').href").startswith("data:image/gif;base64,")


def test_it_can_be_done_by_keys_alone(page):
    page.click("#clear")
    page.js("document.getElementById('clip').focus()")
    for key in ("ArrowLeft", "ArrowUp", " "):
        page.key(key)
    assert page.js("hole.some(Boolean)")
    page.key("g")
    assert settled(page).startswith("Made in ")


def test_undo_takes_a_stroke_back(page):
    page.js("window.before = packed(hole)")
    x, y, width, _ = page.middle("#clip")
    page.drag([(x - width / 3, y - width / 3), (x + width / 3, y - width / 3)])
    assert page.js("packed(hole) !== before")
    page.click("#undo")
    assert page.js("packed(hole) === before")


def test_stopping(page):
    page.js("document.getElementById('num_steps').value = 60")
    page.click("#go")
    page.wait("job && run && run.steps.length >= 1", 120)
    page.key("Escape")
    assert settled(page).startswith("Stopped after step ")
    assert page.js("document.getElementById('go').textContent") == "Generate"


def test_every_task_can_be_chosen(page):
    names = page.js("about.tasks.map((task) => task.name)")
    assert names == list(mk.TASKS)
    for number in range(len(names) + 1):
        page.js(f"document.getElementById('tasks').children[{number}].click()")
        assert page.js("document.getElementById('classes').hidden") == (not page.js("task.needs_class"))
    page.click("#go")
    assert settled(page).startswith("Made in ")


def test_a_dropped_video_is_the_clip(page, tmp_path):
    path = mk.data.MovingShapes(1, num_frames=10, size=(32, 32)).write_videos(tmp_path)[0]
    data = json.dumps(base64.b64encode(path.read_bytes()).decode())
    page.js(f"dropped(new File([Uint8Array.from(atob({data}), (c) => c.charCodeAt(0))], '../../<b>.mp4'))")
    assert page.js("document.getElementById('say').textContent").startswith("../../<b>.mp4 is here")
    assert page.js("clip.name") == "your video"
    page.js("dropped(new File(['#EXTM3U'], 'list.mp4'))")
    assert page.js("document.getElementById('say').textContent").startswith("This is no video")


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_window(server, tab, width):
    tab.open(server.address, width, 844, phone=width < 500)
    tab.wait("document.body && document.body.dataset.ready === 'yes'")
    time.sleep(0.2)
    assert tab.js("document.documentElement.scrollWidth") <= width


def test_a_server_that_has_ended_is_told(tab, opened, tiny):
    with opened(tiny) as server:
        tab.open(server.address)
        tab.wait("document.body && document.body.dataset.ready === 'yes'")
    tab.click("#go")
    assert settled(tab).startswith("The studio does not answer")
