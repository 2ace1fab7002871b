"""The course runs: every lesson and every solution on JAX, some on the other backends; its notebooks are its own."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

# Each run is a process of its own, with the backend that it names.
pytestmark = [pytest.mark.once, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path.relative_to(ROOT / "tutorials").with_suffix("").as_posix() for path in (ROOT / "tutorials").rglob("*.py")
)
# One that trains by `fit`, and one that decodes with a shipped model.
ON_ALL_BACKENDS = ("02_vector_quantization", "07_decoding")
assert set(ON_ALL_BACKENDS) <= set(SOURCES), "a lesson has another name now"
NOTEBOOK_PACKAGES = all(importlib.util.find_spec(name) for name in ("ipykernel", "jupytext", "nbclient"))


def run(arguments: list[str], backend: str, folder: pathlib.Path) -> str:
    fixed = {"KERAS_BACKEND": backend, "MAGVIT_KERAS_FAST": "1", "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "2"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **fixed, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


# The whole course has a target of its own, `make test-course`; these two run with all other tests.
LESSONS = [pytest.param(name, marks=[] if name in ON_ALL_BACKENDS else pytest.mark.course) for name in SOURCES]


@pytest.mark.parametrize("name", LESSONS)
def test_source_and_its_solutions_run(name, tmp_path):
    told = run([str(ROOT / "tests/run_tutorial.py"), name], "jax", tmp_path)
    assert told.startswith("Backend: jax on ")
    assert list(tmp_path.iterdir()) == [], "files belong into a temporary folder"


@pytest.mark.course
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
@pytest.mark.parametrize("name", ON_ALL_BACKENDS)
def test_source_runs_on_the_other_backends(name, backend, tmp_path):
    told = run([str(ROOT / "tests/run_tutorial.py"), name, "--without-solutions"], backend, tmp_path)
    assert told.startswith(f"Backend: {backend} on ")


@pytest.mark.skipif(not NOTEBOOK_PACKAGES, reason="needs jupytext, nbclient and ipykernel")
def test_notebooks_are_what_their_sources_say(tmp_path):
    run([str(ROOT / "scripts/make_notebooks.py"), "--check"], "jax", tmp_path)


@pytest.mark.course
@pytest.mark.skipif(not NOTEBOOK_PACKAGES, reason="needs jupytext, nbclient and ipykernel")
def test_a_notebook_runs_from_top_to_bottom(tmp_path):
    arguments = ["--execute", "01_clips", "--fast", "--out", str(tmp_path)]
    run([str(ROOT / "scripts/make_notebooks.py"), *arguments], "jax", tmp_path)
    cells = json.loads((tmp_path / "01_clips.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert "".join(code[0]["outputs"][0]["text"]).startswith("Backend: jax on ")
    kinds = {kind for cell in code for output in cell["outputs"] for kind in output.get("data", ())}
    assert {"image/png", "text/html"} <= kinds, "a plot and a clip"


@pytest.mark.parametrize("name", [name for name in SOURCES if "/" not in name])
def test_a_lesson_has_its_parts(name):
    text = (ROOT / f"tutorials/{name}.py").read_text()
    assert re.match(rf"# %% \[markdown\]\n# # {int(name[:2])}\. ", text), "the title has the lesson's number"
    assert "**You will learn**" in text
    assert "## Further reading" in text
    exercises = text.split("# ## Exercises", 1)[1].split("# ## Further reading")[0]
    assert 3 <= exercises.count("<details><summary>Solution</summary>") <= 5
    assert exercises.count("</details>") == exercises.count("<details>")


@pytest.mark.parametrize("name", SOURCES)
def test_links_between_lessons_resolve(name):
    text = (ROOT / f"tutorials/{name}.py").read_text()
    links = re.findall(r"\]\(([^)\s]+\.ipynb)", text)
    wanted = [os.path.normpath(os.path.join(os.path.dirname(name), link))[: -len(".ipynb")] for link in links]
    assert [link for link in wanted if link not in SOURCES] == []
