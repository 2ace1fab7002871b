"""Makes the notebooks from their sources: tutorials/NN_name.py -> notebooks/NN_name.ipynb, tasks/ likewise.

    python scripts/make_notebooks.py                        makes all; keeps the outputs where no code has changed
    python scripts/make_notebooks.py --execute [NAMES]      runs them on KERAS_BACKEND and stores the outputs
    python scripts/make_notebooks.py --execute NAMES --fast   runs them with few steps and stores nothing
    python scripts/make_notebooks.py --check                fails where a notebook is not what its source says
    python scripts/make_notebooks.py --setup                writes the setup cell below into every source

A source is a Python script in jupytext's percent format. NAMES are those of the sources, such as 01_clips or
tasks/quickstart. Run it in an environment with the package, a backend, and the extras `notebooks` and `plots`.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile
import time
import tomllib

import jupytext
import nbformat

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tutorials"
NOTEBOOKS = ROOT / "notebooks"
MOST_BYTES = 2_000_000
CELL_SECONDS = 900

REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
COLAB = "https://colab.research.google.com"

# Until the account is known (pyproject.toml) there is nothing to clone, and nothing for Colab to open.
IS_PUBLISHED = "/OWNER/" not in REPOSITORY
GIT = f"git+{REPOSITORY}" if IS_PUBLISHED else None

SETUP = f"""\
# Setup, the same in every notebook: installs the library where it is missing (Colab) and picks the backend.
import glob
import importlib
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("magvit_keras") is None:
    # What MAGVIT_KERAS_SOURCE names (a clone, a wheel, git+https://...), a wheel beside the notebook, the index, git.
    wheels = sorted(glob.glob("magvit_keras-*.whl"), key=os.path.getmtime)[-1:]
    sources = [os.environ.get("MAGVIT_KERAS_SOURCE"), *map(os.path.abspath, wheels), "magvit-keras", {GIT!r}]
    sources = [source for source in sources if source]
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    for source in sources:
        wanted = "magvit-keras[plots,video] @ " + source if "://" in source else source + "[plots,video]"
        if subprocess.run([*pip, wanted], capture_output=True).returncode == 0:
            break
    else:
        sys.exit(
            "magvit_keras could not be installed from " + ", ".join(sources) + ". Put a wheel beside this notebook "
            "(in a clone: pip wheel --no-deps .), or set MAGVIT_KERAS_SOURCE to a clone's folder."
        )
    importlib.invalidate_caches()

import magvit_keras as mk

print("Backend:", mk.choose_backend())
FAST = os.environ.get("MAGVIT_KERAS_FAST") == "1"  # a tenth of the steps, for automatic tests
""".rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--execute", nargs="*", metavar="NAME", help="run these, or all")
    action.add_argument("--check", action="store_true", help="compare, and change nothing")
    action.add_argument("--setup", action="store_true", help="renew the setup cell of every source")
    parser.add_argument("--fast", action="store_true", help="with --execute: few steps, and nothing is stored")
    parser.add_argument("--out", type=pathlib.Path, help="with --execute: store them in this folder instead")
    chosen = parser.parse_args()
    if chosen.check:
        return report(problems())
    if chosen.setup:
        for name in names():
            renew_setup(name)
        return 0
    if chosen.execute is None:
        for name in names():
            make(name)
        return 0
    unknown = set(chosen.execute) - set(names())
    if unknown:
        parser.error(f"no source named {', '.join(sorted(unknown))}; known: {', '.join(names())}")
    # Each is tried, even if one before it fails.
    return report([text for name in chosen.execute or names() if (text := execute(name, chosen.fast, chosen.out))])


def names() -> list[str]:
    """Of all sources: "01_clips", ..., "tasks/quickstart", ..."""
    files = [*sorted(SOURCES.glob("*.py")), *sorted(SOURCES.glob("tasks/*.py"))]
    return [path.relative_to(SOURCES).with_suffix("").as_posix() for path in files]


def notebook_path(name: str) -> pathlib.Path:
    return NOTEBOOKS / f"{name}.ipynb"


def build(name: str) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs."""
    read = jupytext.reads((SOURCES / f"{name}.py").read_text(), fmt="py:percent")
    cells = []
    for number, cell in enumerate(read.cells):
        make_cell = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        # Ids by position: a notebook made twice is the same file.
        cells.append(make_cell(cell.source, id=f"cell-{number:02d}"))
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = "\n".join([title, *badge(name), rest]).rstrip()
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def badge(name: str) -> list[str]:
    if not IS_PUBLISHED:
        return []
    address = REPOSITORY.replace("https://github.com", f"{COLAB}/github") + f"/blob/main/notebooks/{name}.ipynb"
    return ["", f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({address})"]


def make(name: str) -> None:
    """Writes a notebook; its old outputs stay if all code but the setup, which shows the same, is what it was."""
    new, path = build(name), notebook_path(name)
    if path.exists():
        old = nbformat.read(path, as_version=4)
        if without_setup(old) == without_setup(new):
            for before, after in zip(code_cells(old), code_cells(new), strict=True):
                after.outputs, after.execution_count = before.outputs, before.execution_count
        else:
            print(f"{name}: the code has changed, and the outputs are dropped: --execute {name}")
    write(new, path)


def execute(name: str, fast: bool, out: pathlib.Path | None) -> str | None:
    """Runs a notebook and stores it with its outputs; returns what went wrong."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, began = build(name), time.monotonic()
    # The kernel inherits these: this checkout, the speed, and no question of a display.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ["MAGVIT_KERAS_FAST"] = "1" if fast else "0"
    os.environ.pop("MPLBACKEND", None)  # the kernel has its own, which puts figures into the notebook
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return f"{name}: {error}"
    for cell in code_cells(notebook):
        cell.outputs = [tidy(output) for output in cell.outputs if output.get("name") != "stderr"]
    # The client writes down the kernel's Python version, which says nothing here.
    notebook.metadata = build(name).metadata
    if out is not None or not fast:
        path = notebook_path(name) if out is None else out / f"{name}.ipynb"
        write(notebook, path)
    size = len(nbformat.writes(notebook))
    print(f"{name}: {time.monotonic() - began:.0f} s, {size / 1e6:.2f} MB", flush=True)
    return f"{name}: {size} bytes, above {MOST_BYTES}" if size > MOST_BYTES else None


def tidy(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output without what differs from run to run, or what only a live kernel can show."""
    data = output.get("data", {})
    data.pop("application/vnd.jupyter.widget-view+json", None)
    if "text/plain" in data:
        data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])
    output.pop("transient", None)
    return output


def write(notebook: nbformat.NotebookNode, path: pathlib.Path) -> None:
    """Writes beside and renames, so that a kill leaves the file that was there."""
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".ipynb.new")
    beside.write_text(nbformat.writes(notebook) + "\n")
    os.replace(beside, path)


def renew_setup(name: str) -> None:
    path = SOURCES / f"{name}.py"
    text = path.read_text()
    renewed, count = re.subn(
        r"# Setup, the same in every notebook.*?^FAST = [^\n]*", lambda _: SETUP, text, count=1, flags=re.S | re.M
    )
    if not count:
        sys.exit(f"{name}: no setup cell, which starts with '# Setup, the same in every notebook'")
    if renewed != text:
        path.write_text(renewed)
        print(f"{name}: setup renewed")


def problems() -> list[str]:
    """What keeps the notebooks from being those of their sources, with outputs, and small."""
    found = []
    for name in names():
        path, wanted = notebook_path(name), build(name)
        if SETUP not in code(wanted):
            found.append(f"{name}: has not the setup cell (--setup)")
        if not path.exists():
            found.append(f"{name}: no notebook (--execute {name})")
            continue
        notebook = nbformat.read(path, as_version=4)
        if [(cell.cell_type, cell.source) for cell in notebook.cells] != [
            (cell.cell_type, cell.source) for cell in wanted.cells
        ]:
            found.append(f"{name}: differs from its source (--execute {name}, or no option for changes of text alone)")
        if [cell.execution_count for cell in code_cells(notebook)] != list(range(1, len(code_cells(notebook)) + 1)):
            found.append(f"{name}: was not run from top to bottom (--execute {name})")
        if any(output.output_type == "error" for cell in code_cells(notebook) for output in cell.outputs):
            found.append(f"{name}: stores an error")
        if path.stat().st_size > MOST_BYTES:
            found.append(f"{name}: {path.stat().st_size} bytes, above {MOST_BYTES}")
    stored = {path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in NOTEBOOKS.rglob("*.ipynb")}
    return found + [f"{name}: a notebook without a source" for name in sorted(stored - set(names()))]


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in code_cells(notebook)]


def without_setup(notebook: nbformat.NotebookNode) -> list[str]:
    return ["setup" if text.startswith(SETUP.partition("\n")[0]) else text for text in code(notebook)]


def report(found: list[str]) -> int:
    for text in found:
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
