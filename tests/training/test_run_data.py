"""What a run trains on and holds out: broken videos are in neither part, and a run that goes on keeps its parts."""

import json
import pathlib

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, Source, UnreadableVideo, VideoFolder
from magvit_keras.training.data import check_clips, hold_out
from magvit_keras.training.recipe import Settings, recipes_of

pytestmark = pytest.mark.once

SETTINGS = Settings(num_frames=4, size=(16, 16))
RECIPE = recipes_of(SETTINGS)[0].recipe


def open_run_data(data, noted=None):
    source = VideoFolder(data, 4, 16) if isinstance(data, pathlib.Path) else data
    training, held_out, found = hold_out(source, SETTINGS.held_out, SETTINGS.seed, noted)
    check_clips(held_out, RECIPE, held_out=True)
    return training, held_out, found


class Numbered(Source):
    """Ten clips; only reading tells which are broken."""

    class_names = ("all",)

    def __init__(self, bad=()):
        self.bad = bad

    def __len__(self):
        return 10

    def read(self, index, epoch):
        if index in self.bad:
            raise UnreadableVideo(self.name(index), "cut off")
        return {"video": np.zeros((4, 16, 16, 3), np.uint8), "label": 0}


@pytest.fixture
def folder(tmp_path):
    """Ten videos, of which the one that `split` would hold out is broken; and its path."""
    root = tmp_path / "videos"
    MovingShapes(10, 6, (16, 16), shapes=["ring"], motions=["spin"]).write_videos(root)
    path = root / VideoFolder(root, 4, 16).split(SETTINGS.held_out)[1].name(0)
    path.rename(path.with_suffix(".whole"))
    path.write_bytes(b"not a video")
    return root, path


def names(*parts):
    return [[part.name(index) for index in range(len(part))] for part in parts]


def test_a_broken_video_is_in_neither_part(folder):
    root, path = folder
    *parts, noted = open_run_data(root)
    (training, held_out), left_out = names(*parts), noted["left_out"]
    assert left_out == [path.relative_to(root).as_posix()]
    assert len(training) == 8 and len(held_out) == 1 and left_out[0] not in training + held_out


@pytest.mark.parametrize("change", ["mended", "removed"])
def test_a_run_that_goes_on_keeps_its_parts(folder, change):
    root, path = folder
    *before, noted = open_run_data(root)
    path.with_suffix(".whole").replace(path) if change == "mended" else path.unlink()
    *after, again = open_run_data(root, json.loads(json.dumps(noted)))
    assert names(*after) == names(*before) and again == noted


def test_a_video_that_breaks_later_does_not_change_the_parts(folder):
    root, _ = folder
    *before, noted = open_run_data(root)
    (root / before[0].name(0)).write_bytes(b"not a video")
    assert names(*open_run_data(root, noted)[:2]) == names(*before)


def test_held_out_clips_that_broke_are_told_before_the_training(folder):
    root, path = folder
    path.with_suffix(".whole").replace(path)
    noted = open_run_data(root)[2]
    path.write_bytes(b"not a video")
    with pytest.raises(ValueError, match=f"The held-out clips cannot be read, for example .*{path.name}"):
        open_run_data(root, noted)


def test_a_source_that_was_not_scanned_is_tried_before_the_training():
    (bad,) = Numbered().split(SETTINGS.held_out)[1].indices
    with pytest.raises(ValueError, match=f"The held-out clips cannot be read, for example clip {bad}: cut off"):
        open_run_data(Numbered([bad]))


def test_what_a_source_knows_to_be_broken_is_left_out():
    source = Numbered([3])
    with pytest.warns(UserWarning, match="clip 3: cut off"):
        source.arrays()
    assert open_run_data(source)[2]["left_out"] == ["clip 3"]


def test_one_readable_video_is_trained_on_and_held_out(folder):
    root, path = folder
    for other in sorted(set(root.rglob("*.mp4")) - {path})[1:]:
        other.write_bytes(b"not a video")
    training, held_out, noted = open_run_data(root)
    assert len(noted["left_out"]) == 9 and names(training) == names(held_out) and len(training) == 1


@pytest.mark.parametrize(("count", "message"), [(9, "now 9 are there"), (11, "now 11 are there")])
def test_a_run_that_goes_on_wants_the_videos_that_it_began_with(count, message):
    """With one more or less, others would be held out, which were trained on."""

    def noted_of(count):
        source = MovingShapes(count, num_frames=4, size=(16, 16))
        return source, open_run_data(source)[2]

    source, noted = noted_of(10)
    assert len(open_run_data(source, noted)[0]) == 9
    with pytest.raises(ValueError, match=f"began with 10 videos, and {message}.*start_from"):
        open_run_data(noted_of(count)[0], noted)


def test_a_video_that_was_renamed_is_told(folder):
    root, _ = folder
    training, _, noted = open_run_data(root)
    path = root / training.name(0)
    path.rename(path.with_stem("zzz"))
    with pytest.raises(ValueError, match="now 9 are there of other names"):
        open_run_data(root, noted)


def test_clips_of_another_size_are_refused_before_the_training():
    source = MovingShapes(10, num_frames=4, size=(32, 16))
    with pytest.raises(ValueError, match="have 4 frames of 32 x 16 pixels, and the training wants 4 frames of 16 x 16"):
        open_run_data(source)
