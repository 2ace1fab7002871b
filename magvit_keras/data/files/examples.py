"""`tf.train.Example` messages, read and written without TensorFlow or protobuf.

Example   { Features features = 1; }
Features  { map<string, Feature> feature = 1; }
Feature   { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; }   each { value = 1 }
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


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
        entry = _field(1, name.encode()) + _field(2, _feature(name, list(values)))
        entries += _field(1, entry)
    return _field(1, entries)


def _values(feature: memoryview) -> list | np.ndarray:
    for number, _, value in _fields(feature):
        if number == 1:
            return list(_messages(value, 1))
        if number == 2:
            return _floats(value)
        if number == 3:
            return _integers(value)
    return []


def _floats(message: memoryview) -> np.ndarray:
    packed = []  # writers may pack the numbers into one field or give each its own
    for number, wire, value in _fields(message):
        if number == 1 and wire in (_BYTES, _FIXED32):
            if len(value) % 4:
                raise ValueError(f"a list of floats has {len(value)} bytes, which 4 do not divide")
            packed.append(bytes(value))
    return np.frombuffer(b"".join(packed), "<f4").astype(np.float32)


def _integers(message: memoryview) -> np.ndarray:
    numbers = []
    for number, wire, value in _fields(message):
        if number != 1:
            continue
        if wire == _VARINT:
            numbers.append(value)
        else:
            position = 0
            while position < len(value):
                one, position = _varint(value, position)
                numbers.append(one)
    return np.array(numbers, np.uint64).astype(np.int64)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (value for number, wire, value in _fields(message) if number == wanted and wire == _BYTES)


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """(field number, wire type, value) of each field: an int for varints, otherwise the bytes."""
    if not isinstance(message, memoryview):
        raise ValueError("a number stands where a message is expected; this is no tf.train.Example")
    position, size = 0, len(message)
    while position < size:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} at byte {position}; this is no tf.train.Example")
        if length > size - position:
            raise ValueError(f"a field claims {length} bytes, and {size - position} are left")
        yield number, wire, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("the message ends within a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise ValueError("a number has more than 10 bytes")


def _feature(name: str, values: list) -> bytes:
    if all(isinstance(value, (bytes, memoryview)) for value in values):
        return _field(1, b"".join(_field(1, bytes(value)) for value in values))
    if all(isinstance(value, (int, np.integer)) for value in values):
        return _field(3, _field(1, b"".join(_to_varint(int(value) & 0xFFFFFFFFFFFFFFFF) for value in values)))
    if all(isinstance(value, (int, float, np.number)) for value in values):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    raise TypeError(f"feature {name!r}: expected bytes, floats or ints; received {type(values[0]).__name__}")


def _field(number: int, content: bytes) -> bytes:
    return _to_varint(number << 3 | _BYTES) + _to_varint(len(content)) + content


def _to_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
