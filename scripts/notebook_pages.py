"""A hook of mkdocs (mkdocs.yml, `hooks`): the notebooks become pages of the site, formulas MathML, paths breakable.

notebooks/NN_name.ipynb -> course/NN_name.md, with the outputs that are stored in it; pictures become files beside it.
The section "Course" of the navigation is filled with the titles. Formulas are converted when the site is built, so that
pages need no script for them and load nothing from elsewhere.
"""

import base64
import html
import json
import pathlib
import posixpath
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

NOTEBOOKS = pathlib.Path(__file__).resolve().parent.parent / "notebooks"
SECTION, FOLDER, TASKS = "Course", "course", "Task notebooks"
SETUP = "# Setup, the same in every notebook"


def on_config(config):
    """Fills the section with a page for each notebook, in the order of their names; the tasks have one of their own."""
    entries = next(entry[SECTION] for entry in config.nav if isinstance(entry, dict) and SECTION in entry)
    entries += [{title(path): page(path)} for path in notebooks() if path.parent == NOTEBOOKS]
    tasks = [{title(path): page(path)} for path in notebooks() if path.parent != NOTEBOOKS]
    entries += [{TASKS: tasks}] if tasks else []
    return config


def on_files(files, config):
    """Adds the pages and their pictures."""
    for path in notebooks():
        text, pictures = to_markdown(read(path), pathlib.PurePath(page(path)).stem)
        files.append(File.generated(config, page(path), content=text))
        for name, content in pictures.items():
            place = pathlib.PurePosixPath(page(path)).parent / name
            files.append(File.generated(config, str(place), content=content))
    return files


def on_page_markdown(text, page, **_):
    """Links to notebooks, which work in the repository, lead to their pages."""
    folder = pathlib.PurePosixPath(page.file.src_uri).parent
    return re.sub(
        r"\]\((?:\.\./)+notebooks/((?:tasks/)?\w+)\.ipynb\)",
        lambda found: f"]({posixpath.relpath(f'{FOLDER}/{found[1]}.md', folder)})",
        text,
    )


def on_page_content(text, page, **_):
    """Formulas as pymdownx.arithmatex marks them, generic -> MathML."""
    text = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda found: mathml(found[1]), text, flags=re.S)
    # A path in a table may be broken after a slash.
    text = re.sub(r"<td[^>]*>.*?</td>", lambda found: breakable(found[0]), text, flags=re.DOTALL)
    # A formula that is wider than a phone scrolls by itself.
    text = re.sub(
        r'<div class="arithmatex">\\\[(.*?)\\\]</div>',
        lambda found: f'<div style="overflow-x: auto">{mathml(found[1], "block")}</div>',
        text,
        flags=re.DOTALL,
    )
    if left := raw_latex(text):
        raise PluginError(f"{page.file.src_uri}: a formula was not understood: {left}")
    return text


def raw_latex(content: str) -> str | None:
    """The first piece of LaTeX in the HTML of a page that no formula took in, such as one that Markdown tore apart."""
    prose = re.sub(r"<(code|pre|math|script|style)\b.*?</\1>", "", content, flags=re.DOTALL)
    found = re.search(r"[^<>\n]{0,30}\\(?:[a-zA-Z]{2,}|[\[(])[^<>\n]{0,30}", prose)
    return found and found[0]


def breakable(cell: str) -> str:
    """The HTML of a table's cell, where code may be broken after its slashes, and not within the name of an option."""

    def mended(code: re.Match) -> str:
        text = code[0].replace("/", "/<wbr>")
        return re.sub(r"(?<![\w-])--[a-z][a-z-]*", r'<span style="white-space: nowrap">\g<0></span>', text)

    return re.sub(r"(?<=<code>)[^<]*", mended, cell)


def mathml(latex: str, display: str = "inline") -> str:
    """One formula; `latex` is escaped for HTML."""
    return convert(html.unescape(latex).strip(), display=display)


def notebooks() -> list[pathlib.Path]:
    """The lessons, then the tasks; the quickstart first."""
    tasks = sorted(NOTEBOOKS.glob("tasks/*.ipynb"), key=lambda path: (path.stem != "quickstart", path.stem))
    return [*sorted(NOTEBOOKS.glob("*.ipynb")), *tasks]


def page(path: pathlib.Path) -> str:
    """Where the page of a notebook lies in the site's sources."""
    return (pathlib.PurePosixPath(FOLDER) / path.relative_to(NOTEBOOKS).with_suffix(".md").as_posix()).as_posix()


def title(path: pathlib.Path) -> str:
    """The first line, without its #."""
    return "".join(read(path)["cells"][0]["source"]).splitlines()[0].lstrip("# ")


def read(path: pathlib.Path) -> dict:
    """A notebook as it is stored."""
    return json.loads(path.read_text())


def to_markdown(notebook: dict, stem: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page, and its pictures by name.

    Args:
        notebook: in Jupyter's format 4.
        stem: begins the names of the pictures.
    """
    parts, pictures = [], {}
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(prose(source))
            continue
        code = fenced(source, "python")
        parts.append(folded("Setup", code) if source.startswith(SETUP) else code)
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                parts.append(fenced("".join(output["text"]), "text"))
            elif output["output_type"] in ("execute_result", "display_data"):
                name = f"{stem}_{number:02d}_{len(pictures)}.png"
                text, picture = shown(output["data"], name)
                parts.append(text)
                pictures |= {name: picture} if picture else {}
    return "\n\n".join(parts) + "\n", pictures


def shown(data: dict, name: str) -> tuple[str, bytes | None]:
    """The richest form of an output, and its picture if it has one; `name` is the picture's."""
    if "image/png" in data:
        return f"![Figure]({name})", base64.b64decode("".join(data["image/png"]))
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            # A blank line would end the HTML block.
            block = re.sub(r"\n\s*\n", "\n", "".join(data[kind]))
            return f"<div>{block}</div>", None
    if "text/markdown" in data:
        return prose("".join(data["text/markdown"])), None
    return fenced("".join(data.get("text/plain", "")), "text"), None


def prose(text: str) -> str:
    """Markdown of a cell for the site: links to pages, folded parts as mkdocs writes them, the badge as plain text."""
    text = re.sub(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)", r"[Open in Colab](\1){ .md-button }", text)
    text = re.sub(r"\]\(((?:\.\./|tasks/)?\w+)\.ipynb(#[^)]*)?\)", r"](\1.md\2)", text)
    return re.sub(
        r"^<details>\s*<summary>(.*?)</summary>(.*?)^</details>",
        lambda found: folded(found[1], found[2].strip("\n")),
        text,
        flags=re.DOTALL | re.MULTILINE,
    )


def folded(name: str, text: str) -> str:
    """A part that opens on a click (pymdownx.details)."""
    return f'??? note "{name}"\n\n' + "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def fenced(text: str, language: str) -> str:
    """A block of code; its fence is one that the text does not hold."""
    text = text.strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""
