"""Reads the weight files of other frameworks into NumPy without them, and without running code from the file.

    read_safetensors(path)   {name: array}
    read_torch(path)         PyTorch's zip files, TorchScript's included: nested dicts of arrays
    read_old_torch(path)     PyTorch's files from before 1.6: the same

Flax's files are read in `flax_files.py`.

A PyTorch file is a pickle, which can name any function to call. The reader here knows the few that rebuild tensors;
every other name becomes an inert placeholder, so that a checkpoint with a trainer's state inside can still be read.
"""

import collections
import json
import math
import os
import pathlib
import pickle
import struct
import zipfile
from typing import Any

import numpy as np


def read_state_dict(path: str | os.PathLike) -> dict[str, Any]:
    """The contents of a .safetensors file, or of a PyTorch file.

    Raises:
        ValueError: the file is neither, or damaged, or claims more than it holds.
    """
    with open(path, "rb") as file:
        start = file.read(len(_OLD_TORCH))
    known = ((_OLD_TORCH, read_old_torch), (b"PK\x03\x04", read_torch))
    reader = next((read for magic, read in known if start.startswith(magic)), None)
    reader = reader or (read_safetensors if start[8:9] == b"{" else None)
    if reader is not None:
        try:
            return reader(path)
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is damaged or none of the known layouts: {error or type(error).__name__}"
            ) from None
    raise ValueError(
        f"{path} is neither a .safetensors file nor a PyTorch file (a zip, or before version 1.6 a row of pickles)."
    )


# What unpickling and unpacking raise where bytes are missing or wrong.
_DAMAGE = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    EOFError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
)
#: How files of PyTorch before 1.6 begin: a pickle of their magic number.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{name: array} of a .safetensors file; bfloat16 becomes float32."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise ValueError(f"its header claims {length} bytes, and {len(data) - 8} are left")
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            if entry["dtype"] not in _SAFETENSORS_TYPES:
                raise ValueError(f"{path} holds {name} as {entry['dtype']}; known: {', '.join(_SAFETENSORS_TYPES)}.")
            raw = data[8 + length + first : 8 + length + last]
            arrays[name] = array_of(raw, _SAFETENSORS_TYPES[entry["dtype"]], entry["shape"])
    return arrays


_SAFETENSORS_TYPES = {
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "BOOL": "?",
    "BF16": "bfloat16",
}


def array_of(raw: bytes | memoryview, dtype: str, shape: Any) -> np.ndarray:
    """An array of raw bytes; bfloat16, the upper half of a float32, becomes float32."""
    if dtype == "bfloat16":
        return (np.frombuffer(raw, "<u2").astype("uint32") << 16).view("float32").reshape(tuple(shape))
    return np.frombuffer(raw, dtype).reshape(tuple(shape))


def read_torch(path: str | os.PathLike) -> dict[str, Any]:
    """The object that `torch.save` wrote, tensors as arrays, unknown classes as placeholders."""
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)  # TorchScript packs its code, though not its arrays
        main = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if main is None:
            raise ValueError("there is no data.pkl in the archive")
        folder = main.removesuffix("data.pkl")
        with archive.open(main) as file:
            return _TorchUnpickler(file, lambda key: archive.read(f"{folder}data/{key}")).load()


#: Weights never shrink so much; zeros by a thousand times would.
COMPRESSED = 100


def check_archive(archive: zipfile.ZipFile, path: str | os.PathLike) -> None:
    """Raises ValueError where the members of a zip claim many times the bytes of the file."""
    claimed, held = sum(member.file_size for member in archive.infolist()), os.path.getsize(path)
    if claimed > COMPRESSED * held:
        raise ValueError(f"{path} claims {claimed} bytes of arrays in a file of {held}.")


def read_old_torch(path: str | os.PathLike) -> dict[str, Any]:
    """As `read_torch`, of a file that PyTorch before 1.6 wrote: pickles in a row, then the storages one by one."""
    with open(path, "rb") as file:
        for _ in range(3):  # the magic number, the version of the format, the sizes of C's types
            _TorchUnpickler(file, None).load()
        start = file.tell()
        # Storages lie behind the object that refers to them: read once for their types, then again with their contents.
        first = _TorchUnpickler(file, None)
        first.load()
        keys = _TorchUnpickler(file, None).load()
        storages = {}
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            size = 2 if first.types[key] == "bfloat16" else np.dtype(first.types[key]).itemsize
            storages[key] = file.read(count * size)
        file.seek(start)
        return _TorchUnpickler(file, storages.__getitem__).load()


class _Placeholder:
    """Stands for an object of a class that is not a tensor; keeps nothing and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def _forget(self, *args: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = _forget


class _ScriptModule(dict):
    """Stands for a TorchScript class: its attributes, parameters among them; its code is not read."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.update(state if isinstance(state, dict) else {})


class _StorageType(str):
    """The name of a storage class of PyTorch."""


_TORCH_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class _TorchUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, read_storage: Any):
        super().__init__(file, encoding="utf-8")
        self._read_storage = read_storage
        #: Storage -> type, of those that the object refers to.
        self.types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The few names that rebuild tensors; a placeholder for every other one."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _rebuild_tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _TORCH_TYPES:
            return _StorageType(name)
        if module.startswith("__torch__"):
            return _ScriptModule
        return _Placeholder

    def persistent_load(self, pid: tuple) -> np.ndarray:
        """A storage as a flat array."""
        kind, storage_type, key = pid[:3]
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise ValueError(f"The PyTorch file holds a {kind!r} of {storage_type!r}, which this reader does not know.")
        self.types[key] = _TORCH_TYPES[storage_type]
        if self._read_storage is None:
            return _Unread()
        return array_of(self._read_storage(key), self.types[key], (-1,))


class _Unread:
    """A storage whose contents come later in the file."""


def _rebuild_tensor(storage: Any, offset: int, size: tuple, stride: tuple, *_: Any) -> Any:
    if isinstance(storage, _Unread):
        return storage
    # Checked here, since as_strided would read beyond the storage.
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.zeros(size, storage.dtype)
    # More numbers than the storage has: steps of 0 repeat one number without end.
    if min([offset, *size, *stride, 0]) < 0 or last >= storage.size or math.prod(size) > storage.size:
        raise ValueError("The PyTorch file holds a tensor that lies outside its storage.")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()
