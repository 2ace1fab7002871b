"""What the pages say is there: paths, links, options of the commands, and names in the examples."""

import ast
import functools
import importlib
import inspect
import pathlib
import re

import pytest

import magvit_keras as mk

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "magvit_keras"
PAGES = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))}
KERAS_ARGUMENTS = {"name", "dtype", "trainable"}


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_blocks(text))


def python_blocks() -> list[tuple[str, str]]:
    found = []
    for name, path in PAGES.items():
        found += [(name, block) for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)]
    return found


BLOCKS = python_blocks()


def test_the_pages_are_there():
    assert {"README.md", "docs/index.md", "docs/architecture.md", "docs/paper_map.md", "docs/differences.md"} <= set(
        PAGES
    )
    assert sum(name.startswith("docs/how_to/") for name in PAGES) >= 3
    assert len(BLOCKS) >= 5


# --- paths ---


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/paper_map.md", "docs/differences.md"])
def test_every_path_exists(page):
    """A path is one from the root, from the package, or a file named within the row of its room."""
    missing, seen = [], 0
    for line in without_blocks(PAGES[page].read_text()).splitlines():
        paths = [span for span in code_spans(line) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(/|\.py|\.md|\.npz)", span)]
        rooms = [PACKAGE / path for path in paths if path.endswith("/")]
        seen += len(paths)
        missing += [path for path in paths if not any((at / path).exists() for at in (ROOT, PACKAGE, *rooms))]
    assert missing == []
    assert seen > 3


def test_every_room_is_described():
    named = set(code_spans(PAGES["docs/architecture.md"].read_text()))
    rooms = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= named, "docs/architecture.md has a row for each room"


def test_the_paper_map_names_a_test_in_every_row():
    rows = [line for line in PAGES["docs/paper_map.md"].read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| Paper")]
    assert len(rows) > 15
    assert [row for row in rows if "`tests/" not in row] == []


def test_the_paper_map_names_the_lessons():
    """The last column: numbers of lessons; every lesson is somewhere."""
    rows = [line for line in PAGES["docs/paper_map.md"].read_text().splitlines() if line.startswith("| ")]
    cells = [row.strip("| ").split("|")[-1].strip() for row in rows if not row.startswith("| Paper")]
    assert [cell for cell in cells if not re.fullmatch(r"-|(\[\d+\]\(\S+\)(, )?)+", cell)] == []
    named = {(int(n), path) for cell in cells for n, path in re.findall(r"\[(\d+)\]\(\.\./(\S+)\)", cell)}
    assert named == {(int(path.name[:2]), f"notebooks/{path.name}") for path in (ROOT / "notebooks").glob("*.ipynb")}


# --- links ---


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_resolve(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(PAGES[page].read_text()))
    relative = [target.split("#")[0] for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in relative if target and not (PAGES[page].parent / target).exists()] == []


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    pages = [name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")]
    # Tables by themselves, which are also on the page "Reproducing".
    pages = [page for page in pages if not page.startswith("reproduce/")]
    assert [page for page in pages if not re.search(rf": {re.escape(page)}$", nav, re.M)] == []


def test_every_public_name_is_on_an_api_page():
    shown = set()
    for name, path in PAGES.items():
        if name.startswith("docs/api/"):
            shown |= set(re.findall(r"^::: (\S+)", path.read_text(), re.M))
    rooms = [mk] + [
        importlib.import_module(f"magvit_keras.{room}") for room in ("callbacks", "convert", "data", "metrics")
    ]
    missing = [f"{n} of {module}" for room in rooms for n, module in room._PUBLIC.items() if module not in shown]
    assert missing == []


# --- commands ---


@functools.cache
def options() -> dict[str, set[str]]:
    """Command -> its options."""
    from typer.main import get_command

    from magvit_keras.cli import app

    commands = get_command(app).commands
    return {name: {"--help", *(o for p in command.params for o in p.opts)} for name, command in commands.items()}


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page):
    text = PAGES[page].read_text().replace("\\\n", " ")
    for command, rest in re.findall(r"magvit-keras ([a-z]+)\b([^`\n]*)", text):
        assert command in options(), f"magvit-keras {command}"
        unknown = set(re.findall(r"--[a-z][a-z-]*", rest)) - options()[command]
        assert not unknown, f"magvit-keras {command} has no {', '.join(unknown)}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/how_to/")])
def test_options_named_alone_exist(page):
    known = set().union(*options().values())
    spans = [span.split()[0] for span in code_spans(PAGES[page].read_text()) if span.startswith("--")]
    assert set(spans) <= known


def test_tasks_on_the_command_line_exist():
    for page, path in PAGES.items():
        for task in re.findall(r"--task ([a-z_]+)", path.read_text()):
            assert task in mk.TASKS, page


# --- examples ---


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(BLOCKS)])
def test_examples_compile_and_their_names_exist(page, block):
    compile(block, page, "exec")
    tree = ast.parse(block)
    known = {"mk": mk}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("magvit_keras"):
            module = importlib.import_module(node.module)
            known |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mk":
            assert node.attr in mk.__all__, f"mk.{node.attr}"
        if isinstance(node, ast.Call) and (function := named(node.func, known)) is not None:
            given = {keyword.arg for keyword in node.keywords} - {None}
            assert given <= accepted(function, given), f"{ast.unparse(node.func)}: {given - accepted(function, given)}"


def named(node: ast.expr, known: dict) -> object | None:
    """What a dotted name of this library stands for; None for other names."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = named(node.value, known)
        return None if owner is None else getattr(owner, node.attr)
    return None


def accepted(function: object, given: set[str]) -> set[str]:
    """Keyword arguments that a class or function names; all of them for a function of **kwargs."""
    parameters = inspect.signature(function).parameters.values()
    names = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return names | KERAS_ARGUMENTS if inspect.isclass(function) else names | given
    return names
