"""Damaged and missing data, the same facts for every format."""

import pytest

from magvit_keras.data import RecordFile, UnreadableVideo, UnreadableVideoWarning, open_source
from magvit_keras.data.readers.formats import FORMATS
from magvit_keras.data.readers.samples import write_sample

pytestmark = pytest.mark.once

LISTS = ["ucf101", "kinetics600", "ssv2", "objectron", "web"]
RECORDS = {"bair": "**/*.tfrecords", "ucf101_tfds": "ucf101/ucf101_1/**/*-train.*", "tfds": "*-train.*"}
NEEDED = {"web": {"table": "list.csv"}, "tfds": {"split": "train"}}


def reader(name, root, **options):
    return open_source(name, root, num_frames=4, size=16, **{**NEEDED.get(name, {}), **options})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_back(tmp_path, name):
    source = reader(name, write_sample(name, tmp_path, 2))
    clips = [source.sample(i)[0] for i in range(2)]
    assert all(clip["video"].shape == (4, 16, 16, 3) and clip["video"].std() > 5 for clip in clips)
    assert all(0 <= clip["label"] < source.num_classes for clip in clips) and not source.unreadable


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_file_is_counted_or_raises(tmp_path, name):
    gone = reader(name, write_sample(name, tmp_path, 3)).paths[1]
    gone.unlink()
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 3 listed videos(.|\n)*other 2 are read(.|\n)*no such file"):
        source = reader(name, tmp_path)
    # What is there, once each, in training and in evaluation.
    assert gone not in source.paths and len(source) == len(source.arrays()["label"]) == 2
    assert len(source.for_evaluation(windows=2, crops=3)) == 12 and len(source.labels) == 2
    with pytest.raises(FileNotFoundError, match="1 of 3 listed videos"):
        reader(name, tmp_path, on_error="raise")


@pytest.mark.parametrize("name", ["folder", *LISTS])
def test_a_truncated_video_is_counted_or_raises(tmp_path, name):
    path = reader(name, write_sample(name, tmp_path, 3)).paths[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = reader(name, tmp_path)
    with pytest.warns(UnreadableVideoWarning, match="1 of 3 videos"):
        assert len(source.arrays()["label"]) == 3
    with pytest.raises(UnreadableVideo, match=path.stem):
        reader(name, tmp_path, on_error="raise").sample(1)


@pytest.mark.parametrize("name", RECORDS)
def test_a_corrupt_record_is_counted_or_raises(tmp_path, name):
    path = next(write_sample(name, tmp_path, 3).glob(RECORDS[name]))
    content = bytearray(path.read_bytes())
    content[RecordFile(path).offsets[1] + 1000] ^= 1
    path.write_bytes(content)
    options = {"split": "test"} if "test" in path.parts else {}
    source = reader(name, tmp_path, **options)
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 3 videos(.|\n)*checksum"):
        assert len(source.arrays()["label"]) == 3
    with pytest.raises(UnreadableVideo, match="checksum"):
        reader(name, tmp_path, on_error="raise", **options).sample(1)


@pytest.mark.parametrize("identity", ["../../elsewhere", "/etc/elsewhere", "C:\\elsewhere"])
def test_ids_of_something_cannot_lead_out(tmp_path, identity):
    path = write_sample("ssv2", tmp_path, 2) / "train.json"
    path.write_text(path.read_text().replace('"id": "1"', f'"id": "{identity}"'.replace("\\", "\\\\")))
    with pytest.raises(ValueError, match="leads out of the data folder"):
        reader("ssv2", tmp_path)


def test_an_array_header_that_claims_terabytes_is_refused(tmp_path):
    path = write_sample("moving_mnist", tmp_path, 2) / "mnist_test_seq.npy"
    content = path.read_bytes()
    claim = b"(20, 900000000, 64, 64), }"
    start = content.index(b"(20, 2, 64, 64), }")
    path.write_bytes(content[:start] + claim + content[start + len(claim) :])
    with pytest.raises(ValueError, match="is damaged"):
        reader("moving_mnist", tmp_path)
