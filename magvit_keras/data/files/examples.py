"""`tf.train.Example` messages, read and written without TensorFlow or protobuf.

Example   { Features features = 1; }
Features  { map<string, Feature> feature = 1; }
Feature   { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; }   each { value = 1 }
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.protobuf import BYTES, FIXED32, VARINT, field, fields, to_varint, varint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


def parse_example(data: bytes | memoryview, keys: Collection[str] | None = None) -> dict[str, list | np.ndarray]:
    """The features of a `tf.train.Example`.

    Args:
        data: the serialized message. Values of bytes features are views into it and are not copied.
        keys: the features that are wanted; the others are stepped over. All by default.

    Returns:
        Name -> a list of byte strings (memoryview), float32 (N,) or int64 (N,). Features that are not there are
        left out, and a feature of no kind is an empty list.

    Raises:
        ValueError: the bytes are no such message.

    Example:
        >>> features = parse_example(make_example({"label": [3], "frame": [b"png"], "action": [0.5, 1.0]}))
        >>> features["label"].tolist(), bytes(features["frame"][0]), features["action"].tolist()
        ([3], b'png', [0.5, 1.0])

    Reference:
        https://protobuf.dev/programming-guides/encoding
    """
    found: dict[str, list | np.ndarray] = {}
    for features in _messages(memoryview(data), 1):
        for entry in _messages(features, 1):
            name = b"".join(_messages(entry, 1)).decode("utf-8", "replace")
            if keys is None or name in keys:
                found[name] = _values(next(_messages(entry, 2), memoryview(b"")))
    return found


def make_example(features: Mapping[str, Sequence | np.ndarray]) -> bytes:
    """Serializes a `tf.train.Example`.

    Args:
        features: name -> a sequence of bytes, of floats, or of ints.

    Raises:
        TypeError: a value is of another kind.

    Example:
        >>> list(parse_example(make_example({"label": [3]})))
        ['label']
    """
    entries = b""
    for name, values in features.items():
        entry = field(1, name.encode()) + field(2, _feature(name, list(values)))
        entries += field(1, entry)
    return field(1, entries)


def _values(feature: memoryview) -> list | np.ndarray:
    for number, _, value in fields(feature):
        if number == 1:
            return list(_messages(value, 1))
        if number == 2:
            return _floats(value)
        if number == 3:
            return _integers(value)
    return []


def _floats(message: memoryview) -> np.ndarray:
    packed = []  # writers may pack the numbers into one field or give each its own
    for number, wire, value in fields(message):
        if number == 1 and wire in (BYTES, FIXED32):
            if len(value) % 4:
                raise ValueError(f"a list of floats has {len(value)} bytes, which 4 do not divide")
            packed.append(bytes(value))
    return np.frombuffer(b"".join(packed), "<f4").astype(np.float32)


def _integers(message: memoryview) -> np.ndarray:
    numbers = []
    for number, wire, value in fields(message):
        if number != 1:
            continue
        if wire == VARINT:
            numbers.append(value)
        else:
            position = 0
            while position < len(value):
                one, position = varint(value, position)
                numbers.append(one)
    return np.array(numbers, np.uint64).astype(np.int64)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (value for number, wire, value in fields(message) if number == wanted and wire == BYTES)


def _feature(name: str, values: list) -> bytes:
    if all(isinstance(value, (bytes, memoryview)) for value in values):
        return field(1, b"".join(field(1, bytes(value)) for value in values))
    if all(isinstance(value, (int, np.integer)) for value in values):
        return field(3, field(1, b"".join(to_varint(int(value) & 0xFFFFFFFFFFFFFFFF) for value in values)))
    if all(isinstance(value, (int, float, np.number)) for value in values):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    raise TypeError(f"feature {name!r}: expected bytes, floats or ints; received {type(values[0]).__name__}")
