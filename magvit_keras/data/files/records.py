"""TFRecord files with random access and without TensorFlow.

A record is its length (8 bytes, little endian), the masked CRC32C of these, the payload, and its masked CRC32C.
"""

from __future__ import annotations

import os
import pathlib
import struct
from typing import TYPE_CHECKING

from magvit_keras.data.arguments import BadFile
from magvit_keras.data.files.checksums import masked_crc32c
from magvit_keras.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_RECORD = 1 << 30  # bytes; a longer record counts as damaged
_HEADER, _FOOTER = 12, 4


class RecordError(BadFile):
    """A damaged record or file of records.

    Args:
        path: the file.
        reason: what is wrong, in words.
    """

    words = "the record file {path} is damaged: {reason}"


class RecordFile:
    """The records of one file by index; each is checked when it is read.

    The index of offsets is found by walking through the headers, whose checksums are verified; payloads are not read.

    Args:
        path: the file.
        max_record: the longest record in bytes.

    Attributes:
        damage: why the records end early: a header that is damaged, or promises more bytes than there are. None where
            the file is complete.

    Raises:
        FileNotFoundError: there is no such file.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.files.records import RecordFile, write_records
        >>> path = write_records(tempfile.mkdtemp() + "/two.tfrecord", [b"first", b"second"])
        >>> records = RecordFile(path)
        >>> len(records), bytes(records[1]), records.damage
        (2, b'second', None)

    Reference:
        https://www.tensorflow.org/tutorials/load_data/tfrecord
    """

    def __init__(self, path: str | os.PathLike, max_record: int = MAX_RECORD):
        self.path = pathlib.Path(path)
        self.offsets: list[int] = []  # of the payloads
        self.lengths: list[int] = []
        self.damage: str | None = None
        size = os.path.getsize(self.path)
        position = 0
        with open(self.path, "rb") as file:
            while position < size:
                file.seek(position)
                header = file.read(_HEADER)
                self.damage = self._header_damage(header, size - position, max_record)
                if self.damage is not None:
                    break
                (length,) = struct.unpack_from("<Q", header)
                self.offsets.append(position + _HEADER)
                self.lengths.append(length)
                position += _HEADER + length + _FOOTER

    def _header_damage(self, header: bytes, left: int, max_record: int) -> str | None:
        number = len(self.offsets)
        if len(header) < _HEADER:
            return f"it ends within record {number}"
        length, checksum = struct.unpack("<QI", header)
        if masked_crc32c(header[:8]) != checksum:
            return f"the length of record {number} does not have the checksum that is written there"
        # Compared before anything is allocated: a header may claim any number.
        if length > max_record:
            return f"record {number} claims {length} bytes; at most {max_record} are read"
        if _HEADER + length + _FOOTER > left:
            return f"record {number} claims {length} bytes, and {max(0, left - _HEADER - _FOOTER)} are left"
        return None

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> memoryview:
        """The payload of a record.

        Raises:
            IndexError: there is no such record.
            RecordError: its checksum is wrong, or the file has become shorter.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} in {self.path}")
        with open(self.path, "rb") as file:
            file.seek(self.offsets[index])
            data = memoryview(file.read(self.lengths[index] + _FOOTER))
        payload, footer = data[: self.lengths[index]], data[self.lengths[index] :]
        if len(footer) < _FOOTER:
            raise RecordError(self.path, f"it has become shorter; record {index} is cut")
        if masked_crc32c(payload) != struct.unpack("<I", footer)[0]:
            raise RecordError(self.path, f"record {index} does not have the checksum that is written there")
        return payload

    def __iter__(self) -> Iterator[memoryview]:
        return (self[index] for index in range(len(self)))


def write_records(path: str | os.PathLike, payloads: Iterable[bytes]) -> pathlib.Path:
    """Writes a TFRecord file; it appears under its name when it is complete.

    Args:
        path: the file.
        payloads: the records.

    Returns:
        The path.

    Example:
        >>> import tempfile
        >>> write_records(tempfile.mkdtemp() + "/one.tfrecord", [b"12345"]).stat().st_size
        21
    """
    path = pathlib.Path(path)
    with atomic_path(path) as partial, open(partial, "wb") as file:
        for payload in payloads:
            header = struct.pack("<Q", len(payload))
            file.write(header + struct.pack("<I", masked_crc32c(header)))
            file.write(payload)
            file.write(struct.pack("<I", masked_crc32c(payload)))
    return path
