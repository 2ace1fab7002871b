"""The pictures of docs/how_to/studio.md: the studio in a headless Chromium, at 1400 and at 390 pixels.

    python scripts/write_studio_pictures.py

Needs chromium on the PATH. A stroke is painted with the mouse over a clip of Moving Shapes, the shipped model fills it,
and one of the steps is shown beside the end.
"""

import pathlib
import sys
import threading

from browser import Page, browser, find

import magvit_keras as mk
from magvit_keras.demo import PRESET
from magvit_keras.studio.server import StudioServer
from magvit_keras.studio.work import Studio

IMAGES = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"
STEP, FRAME = 7, 8


def main() -> None:
    program = find()
    if program is None:
        sys.exit("chromium is not on the PATH.")
    with StudioServer(studio=Studio(mk.Magvit.from_preset(PRESET), PRESET)) as server, browser(program) as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for width, height, phone in ((1400, 960, False), (390, 844, True)):
            page.open(server.address, width, height, phone=phone)
            page.wait("document.body && document.body.dataset.ready === 'yes'")
            fill(page)
            if phone:
                page.js("$('made').scrollIntoView({block: 'center'})")
            path = IMAGES / f"studio_{width}.png"
            path.write_bytes(page.picture())
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
        server.shutdown()


def fill(page: Page) -> None:
    """A stroke, the model's answer, and a look at one of its steps."""
    page.js(f"play(false); frame = {FRAME}; draw()")
    page.click("#clear")
    page.js("$('clip').scrollIntoView({block: 'center'})")
    x, y, side, _ = page.middle("#clip")
    page.drag([(x + side * dx, y + side * dy) for dx, dy in ((-0.3, -0.2), (-0.1, 0.05), (0.12, -0.02), (0.3, 0.2))])
    page.js("painter.brush.at = null; window.scrollTo(0, 0); generate()")
    page.wait("run && run.done", 600)
    page.js(f"frame = {FRAME}; document.querySelectorAll('#steps button')[{STEP - 1}].click(); draw()")


if __name__ == "__main__":
    main()
