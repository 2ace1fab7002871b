"""Presets from anywhere: a config is plain data of known classes, a weight file holds arrays and nothing else.

Nothing of either is used before it has been looked at: no class is imported by its name, no code is rebuilt, no link
leads out of the weight file, and no memory is taken for sizes that the file does not hold.
"""

import collections
import contextlib
import json
import math
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import keras

from magvit_keras.files import sha256

_MAX_CONFIG_BYTES = 2**20
_MAX_DEPTH = 64
_LOCK = threading.RLock()
_OBJECT_KEYS = {"class_name", "module", "registered_name"}
#: What Keras itself writes into the config of a model of this library.
_DTYPE_POLICIES = ("DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "QuantizedDTypePolicy")


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """The contents of a preset's config.json, with its "config" looked at and cleaned by `plain_config`.

    Raises:
        ValueError: too large, no JSON, not what a preset holds, or a config that names something unknown.
    """
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; a config has at most {_MAX_CONFIG_BYTES}.")
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise ValueError(f'{path} is not the config of a preset: expected the keys "class" and "config".')
    try:
        return {**saved, "config": plain_config(saved["config"])}
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None


def plain_config(value: Any, where: str = "config", depth: int = 0) -> Any:
    """A copy of plain data whose only objects are models of this library and dtype policies.

    How a model was compiled is left out: a preset is architecture and weights.

    Args:
        value: numbers, texts, None, lists and dicts of these.
        where: how messages call it.
        depth: how deep it is nested already.

    Raises:
        ValueError: something else is in it; the message says where and what.

    Example:
        >>> plain_config({"filters": 8, "levels": [1, 2]})
        {'filters': 8, 'levels': [1, 2]}
        >>> plain_config({"layer": {"module": "os", "class_name": "system", "config": {}}})
        Traceback (most recent call last):
        ValueError: config.layer names the class 'system' of 'os'; a preset holds models of this library only.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"{where} is nested deeper than {_MAX_DEPTH}.")
    if isinstance(value, Mapping):
        if _OBJECT_KEYS & value.keys():
            _check_object(value, where)
            value = {key: item for key, item in value.items() if key != "compile_config"}
        return {str(key): plain_config(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_config(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{where} is a {type(value).__name__}; expected plain data.")


def _check_object(value: Mapping[str, Any], where: str) -> None:
    name, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
    known = isinstance(value.get("config"), Mapping)
    if isinstance(name, str) and module == "keras" and registered is None:
        known = known and name in _DTYPE_POLICIES
    else:
        # Keras looks the class up by its registered name before it looks at the module: none is ever imported.
        full = registered if isinstance(registered, str) else name
        known = known and isinstance(full, str) and isinstance(name, str)
        known = known and name in (full, full.split(">")[-1])
        known = known and hasattr(keras.saving.get_registered_object(full), "_preset_table")  # of PresetMixin
    if not known:
        raise ValueError(f"{where} names the class {name!r} of {module!r}; a preset holds models of this library only.")


def stored_shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array in an HDF5 file of weights, without reading one.

    Raises:
        ValueError: the file is not an HDF5 file, refers to other files or itself, holds other things than numbers, or
            claims more numbers than it has bytes for.
    """
    try:
        with h5py.File(path, "r") as file:
            shapes: dict[str, tuple[int, ...]] = {}
            claimed = _walk(file, "", shapes, {h5py.h5o.get_info(file.id).addr})
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} is not a readable HDF5 file: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None
    if claimed > os.path.getsize(path):
        raise ValueError(f"{path} is refused: it claims {claimed} bytes of arrays and has {os.path.getsize(path)}.")
    return shapes


def _walk(group: h5py.Group, prefix: str, shapes: dict[str, tuple[int, ...]], seen: set[int]) -> int:
    """Collects the shapes of a group; returns the bytes that its arrays claim."""
    claimed = 0
    if prefix.count("/") > _MAX_DEPTH:
        raise ValueError(f"{prefix} is nested deeper than {_MAX_DEPTH}.")
    for key in group:
        name = f"{prefix}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link; a file of weights holds its arrays itself.")
        item = group[key]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"{name} is in the file twice.")
        seen.add(address)
        if isinstance(item, h5py.Group):
            claimed += _walk(item, f"{name}/", shapes, seen)
            continue
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            raise ValueError(f"{name} is not an array.")
        if item.is_virtual or item.external:
            raise ValueError(f"{name} lies in another file.")
        # bfloat16, which NumPy does not know, is stored as two bytes of no kind
        if item.dtype.kind not in "fiub" and (item.dtype.kind, item.dtype.itemsize) != ("V", 2):
            raise ValueError(f"{name} holds {item.dtype}; expected numbers.")
        claimed += math.prod(item.shape) * item.dtype.itemsize
        shapes[name] = tuple(item.shape)
    return claimed


@contextlib.contextmanager
def weights_within(stored: Mapping[str, tuple[int, ...]] | None) -> Iterator[None]:
    """Inside, a model of more weights, or of many more layers, than a file holds is refused before it takes memory.

    Args:
        stored: what `stored_shapes` found; None sets no limit.

    Raises:
        ValueError: layers would exceed twice the numbers in the file, or ten times the number of its arrays.
    """
    if stored is None:
        yield
        return
    shapes, owner = model_shapes(stored), threading.get_ident()
    held = sum(math.prod(shape) for shape in shapes)
    made = {"weights": 0, "layers": 0}

    def add_weight(layer: keras.Layer, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        # Twice: a quantized layer makes its weights before it makes those of fewer bits.
        count("weights", math.prod((shape,) if isinstance(shape, int) else shape or ()), 2 * held)
        return plain[1](layer, shape, *args, **kwargs)

    def init(layer: keras.Layer, *args: Any, **kwargs: Any) -> None:
        count("layers", 1, 100 + 10 * len(shapes))
        plain[0](layer, *args, **kwargs)

    def count(what: str, number: int, most: int) -> None:
        made[what] += number if threading.get_ident() == owner else 0
        if made[what] > most:
            raise ValueError(
                f"it wants more {what} than the {held:,} weights in {len(shapes)} arrays of its file allow"
            )

    with _LOCK:  # Keras has no other place where all layers and all their weights pass
        plain = keras.Layer.__init__, keras.Layer.add_weight
        keras.Layer.__init__, keras.Layer.add_weight = init, add_weight
        try:
            yield
        finally:
            keras.Layer.__init__, keras.Layer.add_weight = plain


def model_shapes(stored: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The shapes of the arrays that are a model's own and not its optimizer's."""
    return [shape for name, shape in stored.items() if "optimizer" not in name.split("/")]


def check_shapes(path: str | os.PathLike, stored: Mapping[str, tuple[int, ...]], model: Any) -> None:
    """Raises ValueError unless the arrays of a file have the shapes of the model's variables."""
    found = collections.Counter(model_shapes(stored))
    # Random state is a variable that older files may lack.
    needed, allowed = (collections.Counter(tuple(v.shape) for v in vs) for vs in (model.weights, model.variables))
    missing, extra = list((needed - found).elements()), list((found - allowed).elements())
    if missing or extra:
        raise ValueError(
            f"{path} does not hold the weights of this {type(model).__name__}: {len(missing)} arrays are missing "
            f"{missing[:3]}, {len(extra)} are unknown {extra[:3]}."
        )


def check_checksum(path: pathlib.Path, saved: Mapping[str, Any]) -> None:
    """Raises ValueError unless a weight file is the one that the contents of a config.json were saved with."""
    noted = saved.get("weights")
    if isinstance(noted, Mapping) and noted.get("sha256") != (found := sha256(path)):
        raise ValueError(
            f"{path} is not the file that its config was saved with: its SHA-256 is {found}, expected "
            f"{noted.get('sha256')}. It is damaged, or one of the two was replaced."
        )
