"""Reads TensorFlow's checkpoints (also those inside SavedModels and TF-Hub modules) without TensorFlow.

`NAME.index` is a sorted table of blocks: variable name -> a small protocol buffer with type, shape and place.
`NAME.data-0000i-of-0000n` hold the numbers.
"""

import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from magvit_keras.protobuf import fields, varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# Of TensorFlow's DataType; others (strings, resources) are not weights.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


def read_tf_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{variable name: array} of a checkpoint.

    Args:
        path: the `.index` file, its path without the suffix, or a folder: of checkpoints, a SavedModel, or an unpacked
            module of TF-Hub.

    Raises:
        FileNotFoundError: no `.index` file there.
        ValueError: the file is not such a table, or is compressed.
    """
    index = _index_file(pathlib.Path(path))
    table = index.read_bytes()
    if len(table) < _FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError(f"{index} is not an index of a TensorFlow checkpoint.")
    _, at = _handle(table, len(table) - _FOOTER)  # of the table's own notes
    (start, size), _ = _handle(table, at)
    entries: dict[str, bytes] = {}
    for _, handle in _block(table, start, size):
        (start_, size_), _ = _handle(handle, 0)
        entries.update((key.decode(), value) for key, value in _block(table, start_, size_))
    shards = _values(entries.pop("")).get(1, 1)
    stem = index.name.removesuffix(".index")
    files = [index.with_name(f"{stem}.data-{i:05d}-of-{shards:05d}") for i in range(shards)]
    arrays = {}
    for name, entry in entries.items():
        entry = _values(entry)
        if entry.get(1) in _TYPES and 7 not in entry:  # 7: slices of a partitioned variable
            shape = tuple(_values(size).get(1, 0) for number, _, size in fields(entry.get(2, b"")) if number == 2)
            arrays[name] = _numbers(files[entry.get(3, 0)], entry, shape)
    return arrays


def _index_file(path: pathlib.Path) -> pathlib.Path:
    if path.is_dir():
        found = sorted([*path.glob("*.index"), *path.glob("variables/*.index")])
        if not found:
            raise FileNotFoundError(f"{path} holds no TensorFlow checkpoint: no .index file, nor one in variables/.")
        return found[-1]
    return path if path.suffix == ".index" else path.with_name(path.name + ".index")


def _values(message: bytes) -> dict[int, Any]:
    """The last value of each field."""
    return {number: value for number, _, value in fields(message)}


def _numbers(file: pathlib.Path, entry: dict, shape: tuple) -> np.ndarray:
    dtype = np.dtype(_TYPES[entry[1]])
    count = int(np.prod(shape, dtype=int))
    if entry.get(5, 0) != count * dtype.itemsize:
        raise ValueError(f"{file} does not hold {count} numbers of {dtype} where its index says so.")
    return np.fromfile(file, dtype, count, offset=entry.get(4, 0)).reshape(shape)


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """(start, size) of a block, and the position after."""
    start, at = varint(data, at)
    size, at = varint(data, at)
    return (start, size), at


def _block(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry; a key shares a prefix with the one before."""
    if table[start + size] != 0:
        raise ValueError("The index of the checkpoint is compressed, which TensorFlow does not do for checkpoints.")
    data = table[start : start + size]
    (restarts,) = struct.unpack("<I", data[-4:])
    end, at, key = len(data) - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = varint(data, at)
        fresh, at = varint(data, at)
        length, at = varint(data, at)
        key = key[:shared] + data[at : at + fresh]
        at += fresh
        yield key, data[at : at + length]
        at += length
