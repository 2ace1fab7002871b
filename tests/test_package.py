"""What a person meets first: the version, the choice of a backend and its errors, and the built distribution."""

import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest

import magvit_keras

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def import_package(tmp_path):
    """Imports magvit_keras in a process of its own that sees only the given backends; returns what it printed.

    The process runs without site-packages (-S), and empty packages stand in for the backends.
    """

    def run(*, installed=(), keras_backend=None, keras_json=None, loaded_keras=None):
        for name in installed:
            (tmp_path / "stand_ins" / name).mkdir(parents=True)
            (tmp_path / "stand_ins" / name / "__init__.py").touch()
        if loaded_keras:
            (tmp_path / "stand_ins" / "keras").mkdir(parents=True)
            (tmp_path / "stand_ins" / "keras" / "__init__.py").write_text(
                f"class config:\n    backend = staticmethod(lambda: {loaded_keras!r})\n"
            )
        if keras_json is not None:
            (tmp_path / "keras.json").write_text(keras_json)
        env = {key: value for key, value in os.environ.items() if not key.startswith(("KERAS_", "PYTHON"))}
        env |= {"KERAS_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path / "stand_ins"), str(ROOT)])}
        if keras_backend is not None:
            env["KERAS_BACKEND"] = keras_backend
        code = ("import keras; " if loaded_keras else "") + (
            "import magvit_keras, os; print(os.environ.get('KERAS_BACKEND'))"
        )
        done = subprocess.run([sys.executable, "-S", "-c", code], env=env, capture_output=True, text=True)
        return (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]

    return run


def test_version_is_that_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert magvit_keras.__version__ == project["version"]


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_missing_backend_names_its_extra(import_package, backend):
    message = import_package(keras_backend=backend)
    assert message.startswith("ImportError")
    assert f"pip install 'magvit-keras[{backend}]'" in message
    assert "Installed here" not in message


def test_missing_backend_names_those_that_are_there(import_package):
    message = import_package(keras_backend="tensorflow", installed=["jax", "torch"])
    assert "pip install 'magvit-keras[tensorflow]'" in message
    assert "Installed here: jax, torch; choose one with KERAS_BACKEND." in message


def test_no_backend_at_all(import_package):
    message = import_package()
    assert message.startswith("ImportError")
    assert "JAX, TensorFlow or PyTorch" in message
    assert "pip install 'magvit-keras[jax]'" in message


def test_left_over_folder_is_no_backend(import_package, tmp_path):
    (tmp_path / "stand_ins" / "jax" / "__pycache__").mkdir(parents=True)
    assert "none is installed" in import_package()


def test_unknown_backend_lists_the_known_ones(import_package):
    message = import_package(keras_backend="theano", installed=["jax"])
    assert message.startswith("ValueError")
    assert "'theano'" in message
    assert "jax, tensorflow, torch" in message


def test_loaded_keras_with_an_unsupported_backend(import_package):
    message = import_package(loaded_keras="numpy", installed=["jax"])
    assert message.startswith("ValueError")
    assert "already loaded" in message
    assert "'numpy'" in message


@pytest.mark.parametrize(
    ("installed", "keras_backend", "keras_json", "expected"),
    [
        (["jax", "tensorflow", "torch"], None, None, "jax"),
        (["tensorflow", "torch"], None, None, "tensorflow"),
        (["torch"], "", None, "torch"),
        (["jax", "tensorflow", "torch"], "torch", json.dumps({"backend": "jax"}), "torch"),
        (["jax", "tensorflow", "torch"], None, json.dumps({"backend": "torch"}), "torch"),
        # The file that Keras writes by itself says "tensorflow", so that is nobody's choice.
        (["jax", "tensorflow"], None, json.dumps({"backend": "tensorflow"}), "jax"),
        (["jax"], None, json.dumps({"backend": "torch"}), "jax"),
        (["jax"], None, "not json", "jax"),
        (["jax"], None, "[]", "jax"),
    ],
)
def test_choice_of_backend(import_package, installed, keras_backend, keras_json, expected):
    assert import_package(installed=installed, keras_backend=keras_backend, keras_json=keras_json) == expected


def test_import_loads_neither_keras_nor_a_backend():
    code = (
        "import magvit_keras, sys; print(sorted({'keras', 'jax', 'tensorflow', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'VideoTokeniser'.*VideoTokenizer"):
        _ = magvit_keras.VideoTokeniser


@pytest.mark.parametrize("room", ["commit", "decoding", "layers", "presets", "tokenizer"])
def test_rooms_show_what_they_offer(room):
    """Completion lists the names, and each is there."""
    names = dir(getattr(magvit_keras, room))
    assert len(names) > 5
    assert [name for name in names if not hasattr(getattr(magvit_keras, room), name)] == []


def test_locks_agree():
    """The small environments hold the versions that the tests run with."""
    tested = _locked("lock.txt")
    assert tested["torch"] == "2.13.0"
    for other in ("demo.txt", "docs.txt", "uv.txt"):
        differing = {name: (version, tested[name]) for name, version in _locked(other).items() if name in tested}
        assert all(here == there for here, there in differing.values()), (other, differing)


def _locked(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return dict(line.split(" ;")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.fixture(scope="module")
def distribution(tmp_path_factory):
    """The folder with wheel and sdist, as `python -m build` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.mark.slow
def test_wheel_holds_the_package(distribution):
    """The wheel installs everything under magvit_keras/ that git or the sdist would carry, and nothing else."""
    (sdist,) = distribution.glob("*.tar.gz")
    (wheel,) = distribution.glob("*.whl")
    assert sdist.name == f"magvit_keras-{magvit_keras.__version__}.tar.gz"
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "magvit_keras").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == expected
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    for extra in ("jax", "tensorflow", "torch", "video", "plots", "notebooks", "docs", "test", "hub"):
        assert f"Provides-Extra: {extra}\n" in text


@pytest.fixture(scope="module")
def installed(distribution, tmp_path_factory):
    """An environment into which only the wheel was installed.

    It finds the packages that the wheel depends on in the environment of the tests, but not those of extras that the
    README's example does without, and not this checkout.
    """
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (wheel,) = distribution.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, and .pth files there, such as that of an editable install, are not read.
    (packages / "of_the_tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    missing = ("av", "cv2", "matplotlib", "tensorflow", "torch", "IPython", "huggingface_hub")
    (packages / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({missing}))\n")
    return environment


def _in_environment(environment: pathlib.Path, *arguments: str, folder: pathlib.Path) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KERAS_"))}
    variables |= {"KERAS_HOME": str(folder / "keras"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(arguments, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_the_readme_runs_from_the_wheel_alone(installed, tmp_path):
    readme = (ROOT / "README.md").read_text()
    first = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[1]
    assert "from_preset" in first and len([line for line in first.splitlines() if line.strip()]) <= 10
    script = tmp_path / "readme.py"
    script.write_text(first + "\nprint(mk.__file__, made.shape, continued.shape)\n")
    told = _in_environment(installed, str(installed / "bin" / "python"), str(script), folder=tmp_path)
    assert told.startswith(str(installed))
    assert told.endswith("(2, 16, 64, 64, 3) (4, 16, 64, 64, 3)\n")
    assert all((tmp_path / name).read_bytes()[:3] == b"GIF" for name in ("made.gif", "continued.gif"))


@pytest.mark.slow
def test_the_command_runs_from_the_wheel_alone(installed, tmp_path):
    told = _in_environment(installed, str(installed / "bin" / "magvit-keras"), "--version", folder=tmp_path)
    assert told.startswith(f"magvit_keras {magvit_keras.__version__}, ") and "backend jax" in told
