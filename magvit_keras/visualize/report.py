"""One HTML page that shows a run: sections of text, clips, pictures and tables, all inside the file."""

from __future__ import annotations

import base64
import html
import io
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from magvit_keras.data.files.encode import gif_bytes
from magvit_keras.files import write_text
from magvit_keras.visualize.clips import clip_list, grid, to_uint8, upscale

_WIDE = 640  # pixels on the screen to which small pictures are enlarged, by whole factors
_MEDIA = {".gif": "image/gif", ".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml", ".mp4": "video/mp4"}


class Figure(NamedTuple):
    """Something to look at, with a caption.

    Args:
        content: a clip (T, H, W, 3), several (N, T, H, W, 3) or a list of them, shown as one GIF; a picture (H, W, 3),
            shown as PNG; the path of a .gif, .png, .jpg, .svg or .mp4 file; or a mapping, shown as a table.
        caption: one sentence below it.
        fps: frames per second of a GIF made here.
        columns: clips in a row, where there are several.
        labels: a caption for each clip, where there are several.
    """

    content: np.ndarray | Sequence[np.ndarray] | str | os.PathLike | Mapping
    caption: str = ""
    fps: float = 8
    columns: int | None = None
    labels: Sequence[str] | None = None


class Section(NamedTuple):
    """A part of the report.

    Args:
        title: a few words.
        text: a sentence or two.
        figures: what it shows.
    """

    title: str
    text: str = ""
    figures: Sequence[Figure] = ()


def write_report(path: str | os.PathLike, sections: Sequence[Section], title: str) -> pathlib.Path:
    """Writes one HTML page that needs no other file and no network.

    It follows the reader's light or dark mode and fits a phone. The same input gives the same bytes.

    Args:
        path: ends in .html.
        sections: `Section`s, or plain tuples with the same entries; likewise the `Figure`s in them.
        title: the heading of the page.

    Returns:
        The path.

    Raises:
        ValueError: a figure's content is none of the kinds that `Figure` lists.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras.visualize import Figure, Section, write_report
        >>> clips = np.random.rand(4, 8, 32, 32, 3)
        >>> page = [Section("Input", "Four clips of the training set.", [Figure(clips, "Noise.")])]
        >>> path = write_report(tempfile.mkdtemp() + "/report.html", page, "A run")
    """
    path = pathlib.Path(path)
    if path.suffix.lower() != ".html":
        raise ValueError(f"path={str(path)!r}: expected a name that ends in .html")
    sections = [Section(*section) for section in sections]
    body = "\n".join(_section(section, number) for number, section in enumerate(sections, 1))
    links = "".join(f'<a href="#s{n}">{html.escape(s.title)}</a>' for n, s in enumerate(sections, 1))
    page = _PAGE.format(title=html.escape(title), style=_STYLE, links=links, body=body)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def _section(section: Section, number: int) -> str:
    figures = "\n".join(_figure(Figure(*figure)) for figure in section.figures)
    text = f"<p>{html.escape(section.text)}</p>" if section.text else ""
    body = f'<div class="figures">{figures}</div>' if figures else ""
    return f'<section id="s{number}"><h2>{html.escape(section.title)}</h2>\n{text}\n{body}</section>'


def _figure(figure: Figure) -> str:
    caption = html.escape(figure.caption)
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{_content(figure, caption)}{below}</figure>"


def _content(figure: Figure, alt: str) -> str:
    content = figure.content
    if isinstance(content, Mapping):
        rows = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{_value(v)}</td></tr>" for k, v in content.items())
        return f'<div class="scroll"><table>{rows}</table></div>'
    if isinstance(content, (str, os.PathLike)):
        return _file(pathlib.Path(content), alt)
    if not isinstance(content, (list, tuple)) and np.ndim(content) == 3:
        picture, file = to_uint8(content), io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        return _image("image/png", file.getvalue(), picture.shape[1], alt)
    clips = clip_list(content)
    if len(clips) > 1 or figure.labels is not None:
        columns = figure.columns or math.ceil(math.sqrt(len(clips)))
        # Enlarged before the captions are drawn, so that these are sharp; dark paper suits both modes of the page.
        # One GIF, not one a clip: clips that are compared keep in step.
        factor = max(1, _WIDE // (columns * clips[0].shape[2])) if figure.labels is not None else 1
        clips = [grid([upscale(clip, factor) for clip in clips], columns, figure.labels, dark=True)]
    return _image("image/gif", gif_bytes(clips[0], figure.fps), clips[0].shape[2], alt)


def _file(path: pathlib.Path, alt: str) -> str:
    kind = _MEDIA.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: expected a file that ends in one of {', '.join(_MEDIA)}")
    data = path.read_bytes()
    if kind.startswith("video"):
        return f'<video src="{_uri(kind, data)}" autoplay loop muted playsinline controls></video>'
    width = None if kind.endswith("svg+xml") else Image.open(io.BytesIO(data)).width
    return _image(kind, data, width, alt)


def _image(kind: str, data: bytes, width: int | None, alt: str) -> str:
    shown = f' style="width:{width * max(1, _WIDE // width)}px"' if width else ""
    return f'<img src="{_uri(kind, data)}" alt="{alt}"{shown}>'


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _value(value) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else html.escape(str(value))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><nav>{links}</nav></header>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1d2129; --soft: #5b6472; --paper: #fcfcfb; --line: #e3e5e8; --card: #fff; --link: #1f5fbf; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a3abb8; --paper: #15171b; --line: #2e333b; --card: #1c1f24; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 88rem; padding: 2.5rem 1.1rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: clamp(1.6rem, 5vw, 2.2rem); line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 .8rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .4rem; }
p { margin: 0 0 1rem; max-width: 38rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding-bottom: 1rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 38rem), 1fr)); gap: 1.2rem;
  align-items: start; margin: 1.2rem 0; }
figure { margin: 0; max-width: 46rem; padding: .8rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
img, video { display: block; max-width: 100%; height: auto; margin: 0 auto;
  image-rendering: pixelated; border-radius: .25rem; }
figcaption { margin-top: .65rem; color: var(--soft); font-size: .9rem; line-height: 1.45; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid var(--line); font-weight: 400; }
tr:last-child > * { border-bottom: 0; }
th { color: var(--soft); }
td { text-align: right; }
"""
