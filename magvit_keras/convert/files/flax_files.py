"""Reads Flax's files into NumPy without Flax: MessagePack, and the checkpoint folders around it.

read_msgpack(path)            what `flax.serialization` wrote: nested dicts of arrays
read_flax_checkpoint(path)    the same of what `flax.training.checkpoints` wrote: a file, or a folder of some
"""

import math
import mmap
import os
import pathlib
import re
import struct
from typing import Any

import numpy as np

from magvit_keras.convert.files.weight_files import array_of

_EXPORT = """Export it with the flax and jax that wrote it, and convert the file:
    import pathlib
    from flax import serialization
    from flax.training import checkpoints
    state = checkpoints.restore_checkpoint("{path}", target=None)
    pathlib.Path("exported.msgpack").write_bytes(serialization.msgpack_serialize(state))"""


def read_flax_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """The nested dict of arrays in a checkpoint of `flax.training.checkpoints`.

    Args:
        path: a file `checkpoint_N` (Flax's own format); a folder `checkpoint_N` with a file `checkpoint` in it (the
            same through Orbax, as Flax 0.7 writes it); or a folder of these, of which the latest is taken.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the file is none of Flax's, or the folder holds Orbax's array stores, which this reader does not
            know; the message says how to export them.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return read_msgpack(path)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    if (path / "checkpoint").is_file():
        return read_msgpack(path / "checkpoint")
    if any((path / name).exists() for name in ("manifest.ocdbt", "_METADATA", "_CHECKPOINT_METADATA")):
        raise ValueError(f"{path} is a checkpoint in Orbax's array store (OCDBT or Zarr). {_EXPORT.format(path=path)}")
    steps = {int(match[1]): item for item in path.iterdir() if (match := re.fullmatch(r"checkpoint_(\d+)", item.name))}
    if not steps:
        raise ValueError(f"{path} holds no checkpoint: expected a file or a folder named checkpoint_N, N its step.")
    return read_flax_checkpoint(steps[max(steps)])


def read_msgpack(path: str | os.PathLike) -> dict[str, Any]:
    """The nested dict of arrays that `flax.serialization` wrote.

    Raises:
        ValueError: the file ends early, or holds a type that Flax does not write.
    """
    # Mapped, not read: of a training state with its optimizers only the arrays that are used take memory.
    with open(path, "rb") as file:
        empty = os.fstat(file.fileno()).st_size == 0
        data = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        value, end = _unpack(data, 0)
    except (struct.error, IndexError):
        raise ValueError(f"{path} is not a whole Flax file: it ends early.") from None
    except (UnicodeDecodeError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a Flax file: {error}") from None
    if end != len(data):
        raise ValueError(f"{path} is not a Flax file: {len(data) - end} bytes are left after the first object.")
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a Flax file of parameters: it holds a {type(value).__name__}.")
    return value


def _unpack(data: memoryview, at: int) -> tuple[Any, int]:
    """One MessagePack object and the position after it."""
    if at >= len(data):
        raise ValueError("The Flax file ends early.")
    tag, at = data[at], at + 1
    if tag <= 0x7F:
        return tag, at
    if tag >= 0xE0:
        return tag - 0x100, at
    if tag in _NUMBERS:
        kind = _NUMBERS[tag]
        return struct.unpack_from(f">{kind}", data, at)[0], at + struct.calcsize(kind)
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    if 0x80 <= tag <= 0x8F:
        return _unpack_map(data, at, tag & 0x0F)
    if 0x90 <= tag <= 0x9F:
        return _unpack_list(data, at, tag & 0x0F)
    if 0xA0 <= tag <= 0xBF:
        kind, count = "string", tag & 0x1F
    elif 0xD4 <= tag <= 0xD8:
        kind, count = "extension", 2 ** (tag - 0xD4)
    elif tag in _COUNTED:
        kind, width = _COUNTED[tag]
        count, at = struct.unpack_from(f">{width}", data, at)[0], at + struct.calcsize(width)
    else:
        raise ValueError(f"The Flax file holds the byte {tag:#x}, which is not MessagePack.")
    if kind == "map":
        return _unpack_map(data, at, count)
    if kind == "list":
        return _unpack_list(data, at, count)
    code = None
    if kind == "extension":
        code, at = data[at], at + 1
    if at + count > len(data):
        raise ValueError("The Flax file ends early.")
    raw, at = data[at : at + count], at + count
    if kind == "string":
        return bytes(raw).decode(), at
    return (raw if code is None else _extension(code, raw)), at


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True))
_COUNTED = {
    **{tag: ("bytes", width) for tag, width in zip(range(0xC4, 0xC7), "BHI", strict=True)},
    **{tag: ("extension", width) for tag, width in zip(range(0xC7, 0xCA), "BHI", strict=True)},
    **{tag: ("string", width) for tag, width in zip(range(0xD9, 0xDC), "BHI", strict=True)},
    **{tag: ("list", width) for tag, width in zip(range(0xDC, 0xDE), "HI", strict=True)},
    **{tag: ("map", width) for tag, width in zip(range(0xDE, 0xE0), "HI", strict=True)},
}


def _unpack_list(data: memoryview, at: int, count: int) -> tuple[list, int]:
    values = []
    for _ in range(count):
        value, at = _unpack(data, at)
        values.append(value)
    return values, at


def _unpack_map(data: memoryview, at: int, count: int) -> tuple[dict, int]:
    values = {}
    for _ in range(count):
        key, at = _unpack(data, at)
        values[key], at = _unpack(data, at)
    return (_joined(values) if _CHUNKED in values else values), at


_CHUNKED = "__msgpack_chunked_array__"


def _joined(parts: dict[str, Any]) -> np.ndarray:
    """An array of more than 2^30 bytes, which Flax cuts into pieces: {"shape": {"0": n, ...}, "chunks": {"0": ...}}."""
    try:
        shape = [int(parts["shape"][str(i)]) for i in range(len(parts["shape"]))]
        chunks = [np.ravel(parts["chunks"][str(i)]) for i in range(len(parts["chunks"]))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"The Flax file holds an array in pieces that do not fit together: {error!r}.") from None
    held = sum(len(chunk) for chunk in chunks)
    if min(shape, default=0) < 0 or held != math.prod(shape):
        raise ValueError(f"The Flax file holds an array in pieces: {held} numbers for the shape {tuple(shape)}.")
    return np.concatenate(chunks).reshape(shape)


def _extension(code: int, raw: memoryview) -> Any:
    if code not in (1, 2, 3):
        raise ValueError(
            f"The Flax file holds a value of extension type {code}; known are arrays (1), complex numbers (2) and "
            "NumPy's scalars (3)."
        )
    value, _ = _unpack(raw, 0)
    if code == 2:
        return complex(*value)
    shape, dtype, content = value
    if dtype == "bfloat16":
        size = 2
    else:
        dtype = np.dtype(dtype)
        size = dtype.itemsize
        if dtype.hasobject:
            raise ValueError("The Flax file holds an array of objects.")
    if min(shape, default=0) < 0 or math.prod(shape) * size != len(content):
        raise ValueError(f"The Flax file holds an array of {dtype} {tuple(shape)} in {len(content)} bytes.")
    array = array_of(content, dtype, shape)
    return array[()] if code == 3 else array
