"""Protocol buffers, field by field, without their library: what TensorFlow's records and checkpoints are made of.

Reference: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
_WIDTH = {FIXED64: 8, FIXED32: 4}


def fields(message: bytes | memoryview | int) -> Iterator[tuple[int, int, memoryview | int]]:
    """(field number, wire type, value) of each field: an int for varints, otherwise the bytes, which are not copied.

    Raises:
        ValueError: they are no protocol buffer, or the value of a field that is a number.

    Example:
        >>> [(number, bytes(value)) for number, _, value in fields(field(1, b"a") + field(3, b"bc"))]
        [(1, b'a'), (3, b'bc')]
    """
    if isinstance(message, int):
        raise ValueError("a number stands where a message is expected")
    message = memoryview(message)
    position, size = 0, len(message)
    while position < size:
        key, position = varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = varint(message, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, position = varint(message, position)
        elif wire in _WIDTH:
            length = _WIDTH[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {position}; this is no protocol buffer")
        if length > size - position:
            raise ValueError(f"a field claims {length} bytes, and {size - position} are left")
        yield number, wire, message[position : position + length]
        position += length


def varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    """The number at a position, 0 to 2^64 - 1, and the position after it.

    Raises:
        ValueError: the message ends within it, or it has more than 10 bytes.

    Example:
        >>> varint(to_varint(300), 0)
        (300, 2)
    """
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


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, serialized."""
    return to_varint(number << 3 | BYTES) + to_varint(len(content)) + content


def to_varint(value: int) -> bytes:
    """A number from 0 to 2^64 - 1, serialized."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
