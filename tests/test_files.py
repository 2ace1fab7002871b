"""Files are whole or not there; checksums and versions."""

import hashlib

import pytest

from magvit_keras.files import atomic_path, sha256, version, write_text

pytestmark = pytest.mark.once


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_name_until_then_is_hidden_keeps_the_ending_and_is_never_used_twice(tmp_path):
    with atomic_path(tmp_path / "a.weights.h5") as first, atomic_path(tmp_path / "a.weights.h5") as second:
        assert first != second
        for partial in (first, second):
            assert partial.parent == tmp_path and partial.name.startswith(".") and partial.name.endswith(".weights.h5")
            partial.touch()


def test_text_is_written_in_utf_8(tmp_path):
    write_text(tmp_path / "a.txt", "Größe")
    assert (tmp_path / "a.txt").read_bytes() == "Größe".encode()


def test_sha256_of_a_file_and_of_a_folder(tmp_path):
    (tmp_path / "b").write_bytes(b"second")
    (tmp_path / "a").write_bytes(b"first")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"first").hexdigest()
    assert sha256(tmp_path) == hashlib.sha256(b"firstsecond").hexdigest()


def test_versions():
    assert version("keras") == __import__("keras").__version__ and version("no-such-package") is None
