"""Reads TensorFlow's checkpoints (also those inside SavedModels and TF-Hub modules) without TensorFlow.

`NAME.index` is a sorted table of blocks: variable name -> a small protocol buffer with type, shape and place.
`NAME.data-0000i-of-0000n` hold the numbers.
"""

import os
import pathlib
import struct
from collections.abc import Iterator

import numpy as np

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# Of TensorFlow's DataType; others (strings, resources) are no weights.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


def read_tf_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{variable name: array} of a checkpoint.

    Args:
        path: the `.index` file, its path without the suffix, or a folder: of checkpoints, a SavedModel, or an unpacked
            module of TF-Hub.

    Raises:
        FileNotFoundError: no `.index` file there.
        ValueError: the file is no such table, or is compressed.
    """
    index = _index_file(pathlib.Path(path))
    table = index.read_bytes()
    if len(table) < _FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError(f"{index} is no index of a TensorFlow checkpoint.")
    _, at = _handle(table, len(table) - _FOOTER)  # of the table's own notes
    (start, size), _ = _handle(table, at)
    entries: dict[str, bytes] = {}
    for _, handle in _block(table, start, size):
        (start_, size_), _ = _handle(handle, 0)
        entries.update((key.decode(), value) for key, value in _block(table, start_, size_))
    shards = dict(_fields(entries.pop(""))).get(1, 1)
    stem = index.name.removesuffix(".index")
    files = [index.with_name(f"{stem}.data-{i:05d}-of-{shards:05d}") for i in range(shards)]
    arrays = {}
    for name, entry in entries.items():
        fields = dict(_fields(entry))
        if fields.get(1) in _TYPES and 7 not in fields:  # 7: slices of a partitioned variable
            shape = tuple(dict(_fields(dim)).get(1, 0) for number, dim in _fields(fields.get(2, b"")) if number == 2)
            arrays[name] = _numbers(files[fields.get(3, 0)], fields, shape)
    return arrays


def _index_file(path: pathlib.Path) -> pathlib.Path:
    if path.is_dir():
        found = sorted([*path.glob("*.index"), *path.glob("variables/*.index")])
        if not found:
            raise FileNotFoundError(f"{path} holds no TensorFlow checkpoint: no .index file, nor one in variables/.")
        return found[-1]
    return path if path.suffix == ".index" else path.with_name(path.name + ".index")


def _numbers(file: pathlib.Path, fields: dict, shape: tuple) -> np.ndarray:
    dtype = np.dtype(_TYPES[fields[1]])
    count = int(np.prod(shape, dtype=int))
    if fields.get(5, 0) != count * dtype.itemsize:
        raise ValueError(f"{file} does not hold {count} numbers of {dtype} where its index says so.")
    return np.fromfile(file, dtype, count, offset=fields.get(4, 0)).reshape(shape)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """(start, size) of a block, and the position after."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return (start, size), at


def _block(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry; a key shares a prefix with the one before."""
    if table[start + size] != 0:
        raise ValueError("The index of the checkpoint is compressed, which TensorFlow does not do for checkpoints.")
    data = table[start : start + size]
    (restarts,) = struct.unpack("<I", data[-4:])
    end, at, key = len(data) - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(data, at)
        fresh, at = _varint(data, at)
        length, at = _varint(data, at)
        key = key[:shared] + data[at : at + fresh]
        at += fresh
        yield key, data[at : at + length]
        at += length


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at : at + width], "little"), at + width
        else:
            raise ValueError("The index of the checkpoint holds something else than protocol buffers.")
        yield number, value
