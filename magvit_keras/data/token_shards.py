"""Tokens, or features, on disk: shards with checksums, each either complete or ignored.

FOLDER/cache.json               what they are of: tokenizer, tasks, clips
FOLDER/pass-00000-000000.npz    arrays of some clips in one pass over the data
FOLDER/pass-00000-000000.json   size and SHA-256 of that file, written after it
"""

from __future__ import annotations

import io
import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from magvit_keras.data.arguments import BadFile
from magvit_keras.files import atomic_path, sha256, write_text

DESCRIPTION_FILE = "cache.json"
FORMAT = 1
_NAME = re.compile(r"pass-\d{5}-\d{6}")


class DamagedShard(BadFile):
    """A shard that is cut off, changed, or has no checksum.

    Args:
        path: the file.
        reason: what is wrong, in words.
    """

    words = "the shard {path} is damaged: {reason}; start the same command again to make it anew"


class Tokens(dict):
    """Arrays by name that know which tokenizer they are of, so that `fit` refuses those of another one.

    Args:
        arrays: "tokens", "condition_tokens", "label".
        tokenizer: its fingerprint; None where it is not known.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], tokenizer: str | None = None):
        super().__init__(arrays)
        self.tokenizer = tokenizer


class TokenShards:
    """A folder of tokens, or of features: arrays of numbers, a row for each clip.

    A shard counts when its checksum, which is written after it, is that of the file. A process that is killed at any
    moment leaves files that do not count; they are made again. Several processes may write different shards.

    Args:
        folder: made by `describe` where it is missing.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras.data import TokenShards
        >>> shards = TokenShards(tempfile.mkdtemp())
        >>> shards.describe({"tasks": ["frame_prediction"]}, passes=1, shards_per_pass=2)
        >>> for number in range(2):
        ...     shards.write(0, number, {"tokens": np.full((3, 2, 4, 4), number, "uint16")})
        >>> shards.missing(), shards.read()["tokens"].shape
        ([], (6, 2, 4, 4))
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)

    def description(self) -> dict[str, Any]:
        """What the tokens were made from; empty where nothing has been written yet.

        Raises:
            ValueError: the description is damaged or of another version.
        """
        path = self.folder / DESCRIPTION_FILE
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"{path} is not the description of a token cache of version {FORMAT}")
        return found

    def describe(self, description: Mapping[str, Any], passes: int, shards_per_pass: int) -> None:
        """Records what the tokens are made from; a second call may add passes, and all else must be the same.

        Args:
            description: everything that determines the tokens, as plain data.
            passes: passes over the data.
            shards_per_pass: shards in each.

        Raises:
            ValueError: the folder holds tokens of something else; the message says what differs.
        """
        now = json.loads(json.dumps({**description, "format": FORMAT, "shards_per_pass": shards_per_pass}))
        before = self.description()
        stored = before.pop("passes", 0)
        if before and before != now:
            old, new = flat_entries(before), flat_entries(now)
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            changed = "; ".join(f"{n} was {_short(old.get(n))} and is now {_short(new.get(n))}" for n in names)
            raise ValueError(f"{self.folder} holds tokens of something else ({changed}). Choose another folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not before or passes > stored:
            described = json.dumps({**now, "passes": max(passes, stored)}, indent=1)
            write_text(self.folder / DESCRIPTION_FILE, described + "\n")

    def write(self, number_of_pass: int, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes one shard, and then its checksum.

        Args:
            number_of_pass: which pass over the data, from 0.
            number: which shard of it, from 0.
            arrays: integers or floats, of one length.
        """
        path = self._path(number_of_pass, number)
        path.with_suffix(".json").unlink(missing_ok=True)  # while the shard is replaced, it does not count
        with atomic_path(path) as partial:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())  # the checksum must not reach the disk before what it is of
            size, digest = partial.stat().st_size, sha256(partial)
        write_text(path.with_suffix(".json"), json.dumps({"bytes": size, "sha256": digest}))

    def load(self, number_of_pass: int, number: int) -> dict[str, np.ndarray]:
        """The arrays of one shard.

        Raises:
            FileNotFoundError: it has not been written.
            DamagedShard: it is not what was written.
        """
        path = self._path(number_of_pass, number)
        if (damage := self._damage(path)) is not None:
            raise DamagedShard(path, damage)
        return read_npz(path)

    def missing(self) -> list[tuple[int, int]]:
        """(pass, number) of the shards that are still to be written: missing, cut off or changed."""
        return [item for item in self._items() if not self.is_complete(*item)]

    def is_complete(self, number_of_pass: int, number: int) -> bool:
        """Whether a shard is there and has its checksum."""
        path = self._path(number_of_pass, number)
        return path.is_file() and self._damage(path) is None

    def read(self, tasks: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """All shards as one dict of arrays, in the order of passes and numbers.

        Args:
            tasks: names of the tasks whose condition tokens are wanted, in this order; all, as they are, by default.

        Raises:
            ValueError: the folder holds no tokens, or not all of them yet, or none of a task.
            DamagedShard: a shard is not what was written.
        """
        description = self.description()
        total = description.get("passes", 0) * description.get("shards_per_pass", 0)
        if not total:
            raise ValueError(f"{self.folder} holds no token cache: there is no {DESCRIPTION_FILE} with passes in it")
        present = sum(1 for path in self.folder.glob("pass-*.npz") if _NAME.fullmatch(path.stem))
        absent = next((path for path in map(self._path_of, self._items()) if not path.is_file()), None)
        if absent is not None:
            raise ValueError(
                f"{total - present} of {total} token shards are not in {self.folder} yet, the first is {absent.name}; "
                "start the same command again"
            )
        columns = None if tasks is None else self._columns(list(tasks))
        items = list(self._items())
        shards = [self._chosen(self.load(*item), columns) for item in items]
        names = shards[0].keys()
        for item, shard in zip(items, shards, strict=True):
            if shard.keys() != names or len({len(array) for array in shard.values()}) != 1:
                raise DamagedShard(self._path(*item), f"its arrays are {', '.join(shard)}; expected {', '.join(names)}")
        joined = {name: np.concatenate([shard.pop(name) for shard in shards]) for name in list(names)}
        return Tokens(joined, description.get("tokenizer"))

    def _columns(self, tasks: list[str]) -> list[int]:
        held = self.description().get("tasks", [])
        absent = [name for name in tasks if name not in held]
        if absent:
            raise ValueError(f"{self.folder} holds no tokens of {', '.join(absent)}; it holds {', '.join(held)}")
        return [held.index(name) for name in tasks]

    def _chosen(self, shard: dict[str, np.ndarray], columns: list[int] | None) -> dict[str, np.ndarray]:
        if columns is None or "condition_tokens" not in shard:
            return shard
        return {**shard, "condition_tokens": shard["condition_tokens"][:, columns]}

    def _items(self) -> Iterator[tuple[int, int]]:
        description = self.description()
        per_pass = description.get("shards_per_pass", 0)
        return ((number_of_pass, n) for number_of_pass in range(description.get("passes", 0)) for n in range(per_pass))

    def _path(self, number_of_pass: int, number: int) -> pathlib.Path:
        name = f"pass-{number_of_pass:05d}-{number:06d}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"shard {number} of pass {number_of_pass}: expected numbers of at most 6 and 5 digits")
        return self.folder / f"{name}.npz"

    def _path_of(self, item: tuple[int, int]) -> pathlib.Path:
        return self._path(*item)

    def _damage(self, path: pathlib.Path) -> str | None:
        try:
            noted = json.loads(path.with_suffix(".json").read_text())
            size, digest = noted["bytes"], noted["sha256"]
        except FileNotFoundError:
            return None if not path.exists() else "it has no checksum; its writer was stopped"
        except (ValueError, KeyError, TypeError):
            return "its checksum is unreadable"
        if path.stat().st_size != size:  # cheap, and finds whatever was cut off
            return f"it has {path.stat().st_size} bytes; {size} were written"
        return None if sha256(path) == digest else "its content is not what was written"


def read_shards(folder: str | os.PathLike, tasks: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """All tokens of a folder: "tokens" (N, t, h, w), "condition_tokens" (N, tasks, t, h, w) and "label" (N,).

    Args:
        folder: written by `magvit-keras tokenize` or a training run.
        tasks: those of the model that is to be trained, `magvit.tasks`: their condition tokens in this order. All that
            the folder holds, in its own order, by default.

    Raises:
        ValueError: the folder holds no tokens, or not all of them yet, or none of a task, or a shard is damaged.

    Example:
        >>> import numpy as np, tempfile
        >>> shards = TokenShards(tempfile.mkdtemp())
        >>> shards.describe({"tasks": []}, passes=1, shards_per_pass=1)
        >>> shards.write(0, 0, {"tokens": np.zeros((3, 2, 4, 4), "uint16")})
        >>> read_shards(shards.folder)["tokens"].shape
        (3, 2, 4, 4)
    """
    return TokenShards(folder).read(tasks)


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of numbers from an .npz file whose members are not compressed.

    Nothing is unpickled, and a member that claims another size than it has is refused before memory is taken.

    Raises:
        DamagedShard: the file is no such archive.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
            if claimed > os.path.getsize(path):  # members may overlap
                raise ValueError(f"it claims {claimed} bytes of arrays in a file of {os.path.getsize(path)}")
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED or not member.filename.endswith(".npy"):
                    raise ValueError(f"{member.filename} is compressed or no array")
                content = archive.read(member)
                arrays[member.filename.removesuffix(".npy")] = _array(member.filename, content)
    except Exception as error:  # damaged archives raise errors of a dozen kinds
        raise DamagedShard(path, str(error) or type(error).__name__) from None
    return arrays


def _array(name: str, content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has format {version}; expected (1, 0) or (2, 0)")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    start = file.tell()
    if dtype.kind not in "iuf" or fortran or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{name} claims {dtype} {shape}; the file holds {len(content) - start} bytes of it")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).copy()


def flat_entries(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested entries as `source.seed`, so that a message names the very one that differs."""
    found = {}
    for name, value in description.items():
        found |= flat_entries(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
