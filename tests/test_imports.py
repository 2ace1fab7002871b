"""The shape of the code: imports point one way, one room asks for the backend.

`docs/architecture.md` draws the picture that these tests hold. They read the source and import nothing of it.
"""

import ast
import functools
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "magvit_keras"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each room may import of the package, besides itself, `_lazy`, `files` and `early_checks`. Whatever is not listed
# (the command line, training runs, pictures) stands on top: it may import everything, and no room may import it.
MODELS = {"backend", "layers", "tokenizer", "transformer"}
MAY_IMPORT = {
    "files": set(),
    "early_checks": set(),
    "protobuf": set(),
    "data": {"protobuf"},
    "checks": set(),
    "backend": {"checks"},
    "devices": {"_select_backend", "backend", "checks"},
    "metrics": {"backend", "checks", "presets"},
    "layers": {"backend", "checks"},
    "commit": {"backend", "checks", "layers"},
    "presets": {"checks", "commit"},
    "tokenizer": {"backend", "checks", "layers", "presets"},
    "transformer": {"backend", "checks", "layers", "presets"},
    "decoding": {"backend", "checks", "commit", "layers"},
    "model": {*MODELS, "checks", "commit", "data", "decoding", "presets"},
    "convert": {*MODELS, "checks", "commit", "metrics", "model", "presets", "protobuf"},
}


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: pathlib.Path) -> set[str]:
    """Full dotted names of everything that a file imports, inside functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def room(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def rooms() -> set[str]:
    return {room(path) for path in FILES}


def imported_rooms(path: pathlib.Path) -> set[str]:
    """Rooms that a file imports; the whole package, or one of its public names, counts as the room "__init__"."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "magvit_keras":
            found.add(parts[1] if len(parts) > 1 and parts[1] in rooms() else "__init__")
    return found - {room(path)}


def test_there_is_something_to_check():
    assert {"backend", "commit", "data", "layers", "tokenizer"} <= rooms()


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_imports_point_one_way(name):
    wrong = {
        f"{path.relative_to(ROOT)} imports {other}"
        for path in FILES
        if room(path) == name
        for other in imported_rooms(path) - MAY_IMPORT[name] - {"_lazy", "files", "early_checks"}
    }
    assert not wrong, f"{name} may import: {', '.join(sorted(MAY_IMPORT[name])) or 'nothing of the package'}"


def test_rules_have_no_cycle():
    left = dict(MAY_IMPORT)
    while left:
        ready = [name for name, others in left.items() if not others & left.keys()]
        assert ready, f"a cycle among {sorted(left)}"
        for name in ready:
            del left[name]


def test_only_backend_asks_which_backend_runs():
    for path in FILES:
        if room(path) in ("backend", "_select_backend"):
            continue
        # keras.backend.backend() and keras.config.backend(), under whatever name they were imported
        calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        assert not [ast.unparse(call) for call in calls if ast.unparse(call).split(".")[-1] == "backend"], path
        assert not imports(path) & {"keras.backend.backend", "keras.config.backend"}, path


def test_only_backend_imports_a_backend():
    for path in FILES:
        if room(path) != "backend":
            top = {name.split(".")[0] for name in imports(path)}
            assert not top & {"jax", "jaxlib", "tensorflow", "torch"}, path.relative_to(ROOT)


# Put together here, so that this file does not name them either.
REGISTRY_HOSTS = ["".join(parts) for parts in (("pypi", ".org"), ("files.python", "hosted"), ("registry.", "npmjs"))]
MACHINE_PATHS = ["".join(parts) for parts in (("/wo", "rk/"), ("/fa", "rm/"), ("/ro", "ot/"), (".lib", "rary"))]


@pytest.mark.parametrize("text", REGISTRY_HOSTS + MACHINE_PATHS)
def test_no_file_depends_on_one_machine(text):
    """Where packages come from, and where a checkout lies, is each machine's own business."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert len(files) > 20
    # Bytes, so that notebooks, locks and anything else are read alike.
    assert [str(path) for path in files if path.is_file() and text.encode() in path.read_bytes().lower()] == []


def test_test_files_have_different_names():
    """pytest imports them by name alone, so of two the second one fails."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
