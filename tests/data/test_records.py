import struct
import sys

import numpy as np
import pytest

from magvit_keras.data import RecordError, RecordFile, make_example, parse_example, write_records
from magvit_keras.data.files.checksums import masked_crc32c

pytestmark = pytest.mark.once

PAYLOADS = [b"", b"short", bytes(range(256)) * 20]


@pytest.fixture
def path(tmp_path):
    return write_records(tmp_path / "a.tfrecord", PAYLOADS)


def test_the_checksum_is_masked():
    crc = 0xE3069283  # of these bytes, RFC 3720
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_without_its_library_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ImportError, match=r"pip install 'magvit-keras\[video\]'"):
        RecordFile(path)


def test_a_file_that_tensorflow_wrote_is_read(tmp_path):
    # tf.io.TFRecordWriter(path).write(b"abc")
    (tmp_path / "abc").write_bytes(bytes.fromhex("0300000000000000b099490e6162636e57f121"))
    assert [bytes(record) for record in RecordFile(tmp_path / "abc")] == [b"abc"]


def test_a_file_has_the_bytes_that_tensorflow_writes(tmp_path):
    path = write_records(tmp_path / "abc", [b"abc"])
    assert path.read_bytes().hex() == "0300000000000000b099490e6162636e57f121"


def test_records_are_read_in_any_order(path):
    records = RecordFile(path)
    assert len(records) == 3 and records.damage is None
    assert [bytes(records[i]) for i in (2, 0, 1)] == [PAYLOADS[2], PAYLOADS[0], PAYLOADS[1]]


def test_a_changed_byte_is_found(path):
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    records = RecordFile(path)
    assert bytes(records[1]) == b"short"
    with pytest.raises(RecordError, match="record 2 does not have the checksum"):
        records[2]


def test_a_truncated_file_keeps_the_records_before(path):
    path.write_bytes(path.read_bytes()[:-50])
    records = RecordFile(path)
    assert len(records) == 2 and "record 2 claims 5120 bytes, and 5070 are left" in records.damage


def test_a_file_cut_within_a_header_says_so(path):
    path.write_bytes(path.read_bytes()[:20])
    assert RecordFile(path).damage == "it ends within record 1"


def test_a_damaged_length_ends_the_file(path):
    data = bytearray(path.read_bytes())
    data[16] ^= 1  # the length of the second record
    path.write_bytes(data)
    records = RecordFile(path)
    assert len(records) == 1 and "length of record 1" in records.damage


@pytest.mark.parametrize("claim", [1 << 60, (1 << 64) - 1, 1 << 29])
def test_a_record_that_claims_too_much_is_refused_before_it_is_read(tmp_path, claim):
    header = struct.pack("<Q", claim)
    (tmp_path / "big").write_bytes(header + struct.pack("<I", masked_crc32c(header)) + b"x" * 50)
    records = RecordFile(tmp_path / "big")
    assert len(records) == 0 and f"claims {claim} bytes" in records.damage


def test_a_file_that_shrinks_later_is_an_error(path):
    records = RecordFile(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordError, match="become shorter"):
        records[2]


def test_examples_survive_the_round_trip():
    features = parse_example(make_example({"b": [b"x", b""], "f": [0.5, -2.0], "i": [-1, 1 << 40], "n": []}))
    assert [bytes(value) for value in features["b"]] == [b"x", b""]
    np.testing.assert_array_equal(features["f"], np.float32([0.5, -2]))
    np.testing.assert_array_equal(features["i"], [-1, 1 << 40])
    assert features["n"] == []


def test_an_example_that_tensorflow_wrote_is_parsed():
    # {"a": int64 [7, -1], "b": bytes ["hi"], "c": float [0.5]}
    message = "0a320a140a0161120f1a0d0a0b07ffffffffffffffffff010a0b0a016212060a040a0268690a0d0a0163120812060a040000003f"
    features = parse_example(bytes.fromhex(message))
    assert features["a"].tolist() == [7, -1] and bytes(features["b"][0]) == b"hi" and features["c"].tolist() == [0.5]
    assert make_example({"a": [7, -1], "b": [b"hi"], "c": [0.5]}).hex() == message


def test_numbers_may_be_packed_or_not():
    unpacked_floats = b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 2.5)
    entry = b"\x0a\x01f\x12" + bytes([len(unpacked_floats) + 2]) + b"\x12" + bytes([len(unpacked_floats)])
    entry += unpacked_floats
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert parse_example(b"\x0a" + bytes([len(features)]) + features)["f"].tolist() == [1.5, 2.5]


def test_only_the_wanted_features_are_parsed():
    assert list(parse_example(make_example({"a": [1], "b": [2]}), keys={"b"})) == ["b"]


@pytest.mark.parametrize(
    "message, reason",
    [
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "claims"),
        (b"\x0a\x05ab", "claims 5 bytes, and 2 are left"),
        (b"\xff" * 12, "more than 10 bytes"),
        (b"\x0a", "ends within a number"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_bytes_that_are_no_example_are_refused(message, reason):
    with pytest.raises(ValueError, match=reason):
        parse_example(message)


def test_features_of_other_kinds_are_refused():
    with pytest.raises(TypeError, match="feature 'a'"):
        make_example({"a": ["text"]})
