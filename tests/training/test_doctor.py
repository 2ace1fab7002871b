"""A look at a folder before a training: what is said, and the command that comes of it."""

import shlex

import keras
import pytest
from typer.testing import CliRunner

from magvit_keras.cli import app
from magvit_keras.data import MovingShapes
from magvit_keras.training import doctor

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of one's own")
    MovingShapes(2, 20, (64, 96), shapes=["star"], motions=["orbit"]).write_videos(folder)
    (folder / "star_orbit" / "broken.mp4").write_bytes(b"no video")
    return folder


def seconds(settings, source):
    """Half a second for a step of the tokenizer, a quarter for one of the transformer; in bfloat16 half of that."""
    return (0.25, 0.125) if keras.config.dtype_policy().name == "mixed_bfloat16" else (0.5, 0.25)


@pytest.fixture(scope="module")
def report(videos, tmp_path_factory):
    """Picture, lines and command, with one tokenizer."""
    said, picture = [], tmp_path_factory.mktemp("report") / "doctor.png"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "seconds_of_steps", seconds)
        rows = [{"class": "VideoTokenizer", "name": "3dvq_fast_natural"}]
        patch.setattr(doctor, "list_presets", lambda weights: rows)
        command = doctor.examine(videos, picture, minutes=30, say=said.append)
    return picture, "\n".join(said), command


def test_the_scan_names_what_cannot_be_read(report):
    assert "broken.mp4" in report[1]


def test_it_says_how_long_and_large_the_videos_are(report):
    assert "Half of them have 20 frames or more; 96 x 64 pixels" in report[1]


def test_each_tokenizer_is_compared_with_block_means_of_as_many_tokens(report):
    assert " dB with 256 tokens; block means " in report[1] and report[0].stat().st_size > 1000


def test_the_command_takes_the_time_that_there_is(report):
    words = shlex.split(report[2])
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:2] == ["magvit-keras", "train"]
    assert 15 * 60 < int(given["--tokenizer-steps"]) * 0.25 + int(given["--transformer-steps"]) * 0.125 <= 30 * 60
    assert (given["--frames"], given["--size"], given["--stride"]) == ("16", "64x64", "1")


def test_half_precision_is_recommended_where_it_is_faster(report):
    assert "A step of each stage: 0.75 s; with --precision bfloat16 0.38 s." in report[1]
    assert "--precision bfloat16" in report[2] and keras.config.dtype_policy().name == "float32"


def test_the_command_parses(report, monkeypatch):
    asked = {}
    monkeypatch.setattr(keras.config, "set_dtype_policy", lambda policy: None)  # it would hold for other tests, too
    monkeypatch.setattr("magvit_keras.training.train.train", lambda *_, **given: asked.update(given))
    result = CliRunner().invoke(app, shlex.split(report[2])[1:])
    assert result.exit_code == 0 and asked["num_frames"] == 16, result.output


def test_a_folder_of_broken_files_ends_before_any_tokenizer(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="None of the 1 videos can be read"):
        doctor.examine(tmp_path, tmp_path / "doctor.png")
