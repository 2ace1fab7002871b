"""The examples of this room, and each format written small, read, batched."""

import ast
import doctest
import importlib
import inspect
import json
import pathlib

import numpy as np
import pytest

from magvit_keras import data
from magvit_keras.data import Subset
from magvit_keras.data.readers.formats import FORMATS, open_source
from magvit_keras.data.readers.samples import SAMPLES, write_sample

pytestmark = pytest.mark.once

ROOM = pathlib.Path(data.__file__).parent
FILES = sorted(ROOM.rglob("*.py"))
# tests/visualize/ runs the examples of these.
ELSEWHERE = {"moving_shapes", "source", "encode", "decode", "video_folder", "loader"}
MODULES = [
    ".".join(file.relative_to(ROOM).with_suffix("").parts)
    for file in FILES
    if ">>> " in file.read_text() and file.stem not in ELSEWHERE
]
OPTIONS = {"tfds": {"video": "video"}, "web": {"table": "list.csv", "label": "label", "caption": "caption"}}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"magvit_keras.data.{name}"))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_and_read(name, tmp_path, recwarn):
    source = open_source(name, write_sample(name, tmp_path), num_frames=16, size=(24, 24), **OPTIONS.get(name, {}))
    batch = source.loader(len(source), shuffle=False)[0]
    assert batch["video"].shape[1:] == (16, 24, 24, 3) and batch["video"].std() > 10
    assert not recwarn and set(batch["label"].tolist()) == set(range(source.num_classes))


@pytest.mark.parametrize("name", FORMATS)
def test_a_clip_of_every_format_depends_on_seed_and_epoch_alone(name, tmp_path):
    options = {"num_frames": 4, "size": (24, 24), "horizontal_flip": True, **OPTIONS.get(name, {})}
    folder = write_sample(name, tmp_path, num_videos=2)
    a, b = (open_source(name, folder, seed=3, **options) for _ in range(2))
    a.sample(0, 5)
    videos = [source.sample(0, 7)[0]["video"] for source in (a, b)]
    np.testing.assert_array_equal(*videos)
    assert len({a.sample(0, epoch)[0]["video"].tobytes() for epoch in range(6)}) > 1


# What the names and labels of the clips tell, or what does not change them.
TOLD = {"root", "folder", "on_error", "extensions", "class_names", "csv", "table", "path", "caption", "version"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_description_tells_every_argument_of_the_reader(name, tmp_path):
    source = open_source(name, write_sample(name, tmp_path, 2), **OPTIONS.get(name, {}))
    described = source.description()
    missing = inspect.signature(type(source)).parameters.keys() - TOLD - described.keys()
    # A column of labels shows in their checksum.
    assert missing <= ({"label"} if name == "web" else set())
    assert json.loads(json.dumps(described)) == json.loads(json.dumps(source.take(len(source)).description()))
    assert Subset(source, [0, 0, 0]).description()["names"] != described["names"]
    assert source.for_evaluation(windows=2).description()["windows"] == 2 and described["windows"] == "centre"


def test_no_file_of_this_room_imports_another_in_a_circle():
    imports = {}
    for file in FILES:
        name = ".".join(file.relative_to(ROOM.parent).with_suffix("").parts)
        nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        imports["magvit_keras." + name] = {node.module for node in nodes} | {
            f"{node.module}.{alias.name}" for node in nodes for alias in node.names
        }
    imports.pop("magvit_keras.data.__init__", None)
    while imports:
        free = [name for name, others in imports.items() if not others & imports.keys()]
        assert free, f"a circle among {sorted(imports)}"
        for name in free:
            del imports[name]


def test_every_format_has_a_sample():
    assert SAMPLES.keys() == FORMATS.keys()


@pytest.mark.parametrize("arguments, message", [(("vhs",), "Unknown format"), (("bair", 1), "num_videos=1")])
def test_samples_refuse(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_sample(arguments[0], tmp_path, *arguments[1:])


def test_workers_read_records_and_arrays_the_same(tmp_path):
    source = open_source("bair", write_sample("bair", tmp_path))
    plain, parallel = source.loader(2, seed=1), source.loader(2, seed=1, workers=1)
    expected, got = list(plain), list(parallel)
    parallel.close()
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a["video"], b["video"])
