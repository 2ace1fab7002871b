import io
import json
import zipfile

import numpy as np
import pytest

from magvit_keras.data import DamagedShard, TokenShards
from magvit_keras.data.token_shards import read_npz

pytestmark = pytest.mark.once

DESCRIPTION = {"tasks": ["frame_prediction"], "tokenizer": "a"}


def arrays(number):
    return {"tokens": np.full((3, 2, 2), number, "uint16"), "label": np.arange(3, dtype="int32")}


@pytest.fixture
def shards(tmp_path):
    """Two passes of two shards."""
    made = TokenShards(tmp_path / "tokens")
    made.describe(DESCRIPTION, passes=2, shards_per_pass=2)
    for number_of_pass in range(2):
        for number in range(2):
            made.write(number_of_pass, number, arrays(10 * number_of_pass + number))
    return made


def file_of(shards, number_of_pass=0, number=1):
    return shards.folder / f"pass-{number_of_pass:05d}-{number:06d}.npz"


def test_shards_come_back_in_order(shards):
    read = shards.read()
    assert read["tokens"][:, 0, 0].tolist() == [0] * 3 + [1] * 3 + [10] * 3 + [11] * 3
    assert read["tokens"].dtype == "uint16" and read["label"].tolist() == [0, 1, 2] * 4


def test_a_changed_byte_is_detected_and_the_shard_made_anew(shards):
    path = file_of(shards)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedShard, match=r"pass-00000-000001\.npz is damaged: its content"):
        shards.read()
    assert shards.missing() == [(0, 1)]
    shards.write(0, 1, arrays(5))
    assert shards.missing() == [] and shards.read()["tokens"][3, 0, 0] == 5


def test_a_half_written_shard_is_never_read(shards):
    path = file_of(shards)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedShard, match=r"bytes; \d+ were written"):
        shards.read()
    assert shards.missing() == [(0, 1)]


def test_a_shard_without_its_checksum_does_not_count(shards):
    file_of(shards).with_suffix(".json").unlink()
    with pytest.raises(DamagedShard, match="it has no checksum; its writer was stopped"):
        shards.load(0, 1)
    assert shards.missing() == [(0, 1)]


@pytest.mark.parametrize("text", ["", "{}", '{"bytes": 1', "[]"])
def test_an_unreadable_checksum_does_not_count(shards, text):
    file_of(shards).with_suffix(".json").write_text(text)
    with pytest.raises(DamagedShard, match="checksum is unreadable"):
        shards.read()


def test_files_of_a_killed_writer_are_not_seen(shards):
    (shards.folder / ".pass-00000-000000.123.npz").write_bytes(b"half")
    assert len(shards.read()["tokens"]) == 12


def test_a_missing_shard_is_named(shards):
    file_of(shards, 1, 0).unlink()
    with pytest.raises(ValueError, match=r"1 of 4 token shards are not in .* yet, the first is pass-00001-000000\.npz"):
        shards.read()
    assert shards.missing() == [(1, 0)]


def test_passes_may_be_added_and_nothing_else_changed(shards):
    shards.describe(DESCRIPTION, passes=3, shards_per_pass=2)
    assert shards.missing() == [(2, 0), (2, 1)]
    shards.describe(DESCRIPTION, passes=1, shards_per_pass=2)
    assert len(shards.missing()) == 2  # fewer passes take nothing away
    with pytest.raises(ValueError, match='tokenizer was "a" and is now "b"'):
        shards.describe({**DESCRIPTION, "tokenizer": "b"}, passes=3, shards_per_pass=2)


def test_a_folder_without_tokens_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no token cache"):
        TokenShards(tmp_path).read()


def test_another_version_is_refused(shards):
    path = shards.folder / "cache.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(ValueError, match="version 1"):
        shards.read()


def archive(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("tokens.npy", content)
    return path


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def test_pickled_objects_are_refused(tmp_path):
    path = archive(tmp_path / "a.npz", npy(np.array([{}], object), allow_pickle=True))
    with pytest.raises(DamagedShard, match=r"claims object|claims \|O"):
        read_npz(path)


def test_an_array_that_claims_more_than_it_has_is_refused(tmp_path):
    content = npy(np.zeros(100, "uint16")).replace(b"(100,)", b"(9999999999999,)").replace(b" " * 10 + b"\n", b"\n")
    with pytest.raises(DamagedShard, match="claims uint16"):
        read_npz(archive(tmp_path / "a.npz", content))


def test_compressed_arrays_are_refused(tmp_path):
    with pytest.raises(DamagedShard, match="compressed"):
        read_npz(archive(tmp_path / "a.npz", npy(np.zeros(10**4, "uint16")), zipfile.ZIP_DEFLATED))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not an archive")
    with pytest.raises(DamagedShard, match="not a zip"):
        read_npz(tmp_path / "a.npz")
