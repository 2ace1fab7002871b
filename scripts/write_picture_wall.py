"""The picture wall of the README and of the first page: all ten tasks by the shipped model, as one animated picture.

    python scripts/write_picture_wall.py

Held-out clips of Moving Shapes; the first of the split "test", not chosen by hand. Each task shows what is given, what
is made, and the true clip; made from a class alone there is no true clip. Writes `docs/images/ten_tasks.webp`, and the
lines that show it between the two marks of README.md and docs/index.md.
"""

import os
import pathlib
import re
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import magvit_keras as mk
from magvit_keras.commit.conditions import condition_plan
from magvit_keras.demo import LOOK, PRESET
from magvit_keras.files import atomic_path

ROOT = pathlib.Path(__file__).resolve().parents[1]
IMAGE = ROOT / "docs" / "images" / "ten_tasks.webp"
PAGES = (ROOT / "README.md", ROOT / "docs" / "index.md")
BEGIN, END = "<!-- picture wall: scripts/write_picture_wall.py -->", "<!-- end of the picture wall -->"
DECODING = {"num_revisions": 1}
SCALE, GAP, TEXT, MARGIN = 2, 4, 20, 10
COLUMNS, FPS = 2, 8
PAPER, INK, QUIET = (255, 255, 255), (30, 30, 30), (110, 110, 110)


def ten_tasks() -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """For each task its name, and named clips (T, H, W, 3) uint8."""
    magvit = mk.Magvit.from_preset(PRESET)
    source = mk.data.MovingShapes(len(magvit.tasks), split="test", **LOOK)
    wall = []
    for index, task in enumerate(magvit.tasks.values()):
        clip, label = source[index]["video"], source[index]["label"]
        options = {**DECODING, **({"label": [label]} if task.needs_class else {})}
        name = task.name.replace("_", " ")
        if task.name == "class_conditional_generation":
            made = [magvit.generate(task.name, label=[label], seed=seed, **DECODING)[0] for seed in range(3)]
            shown = [(f"made {i + 1}", clip) for i, clip in enumerate(made)]
        else:
            made = magvit.generate(task.name, video=clip[None], seed=0, **options)[0]
            given = condition_plan(task, magvit.video_shape, magvit.latent_shape).is_condition
            shown = [("given", mk.visualize.hatched(clip, given)), ("made", made), ("true", clip)]
        name += f": {source.class_names[label].replace('_', ' ')}" if task.needs_class else ""
        wall.append((name, [(kind, mk.visualize.to_uint8(np.asarray(c))) for kind, c in shown]))
    return wall


def tile(title: str, named: list[tuple[str, np.ndarray]]) -> Image.Image:
    """Pictures of one height side by side, their names above, the title on top."""
    pictures = [Image.fromarray(p).resize((p.shape[1] * SCALE, p.shape[0] * SCALE), Image.NEAREST) for _, p in named]
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    image = Image.new("RGB", (width, 2 * TEXT + pictures[0].height), PAPER)
    pen, x = ImageDraw.Draw(image), 0
    pen.text((0, 2), title, INK, ImageFont.load_default(15))
    for (name, _), picture in zip(named, pictures, strict=True):
        pen.text((x, TEXT + 3), name, QUIET, ImageFont.load_default(12))
        image.paste(picture, (x, 2 * TEXT))
        x += picture.width + GAP
    return image


def sheet(tiles: list[Image.Image], columns: int) -> Image.Image:
    width, height = max(t.width for t in tiles), max(t.height for t in tiles)
    rows = -(-len(tiles) // columns)
    image = Image.new("RGB", (columns * (width + MARGIN * 2), rows * (height + MARGIN)), PAPER)
    for i, one in enumerate(tiles):
        image.paste(one, (MARGIN + i % columns * (width + MARGIN * 2), MARGIN // 2 + i // columns * (height + MARGIN)))
    return image


def write_image(wall: list[tuple[str, list[tuple[str, np.ndarray]]]], path: pathlib.Path) -> None:
    """The wall as an animated picture that runs for ever."""
    count = len(wall[0][1][0][1])
    frames = [sheet([tile(name, [(k, c[t]) for k, c in clips]) for name, clips in wall], COLUMNS) for t in range(count)]
    path.parent.mkdir(exist_ok=True)
    options = {"append_images": frames[1:], "duration": 1000 // FPS, "loop": 0, "quality": 75, "method": 4}
    with atomic_path(path) as partial:
        frames[0].save(partial, save_all=True, **options)


def show_on(page: pathlib.Path, image: pathlib.Path) -> None:
    """Puts the picture between the two marks of a page."""
    text = page.read_text()
    if not (BEGIN in text and END in text):
        sys.exit(f"{page} has lost the lines {BEGIN} and {END}, between which the picture is shown.")
    what = (
        f"![Ten tasks: what is given, what the model made, the true clip]({os.path.relpath(image, page.parent)})\n\n"
        f"Ten tasks by one small model that comes with the package, `{PRESET}`; "
        "clips that it has not seen, and not chosen by hand. Decoded with `num_revisions=1`."
    )
    page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{what}\n{END}", text, flags=re.DOTALL))


def main() -> None:
    write_image(ten_tasks(), IMAGE)
    for page in PAGES:
        show_on(page, IMAGE)
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
