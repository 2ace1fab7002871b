"""Lists of videos: CSV, JSON lines, JSON arrays and plain lines, with what to do about rows that are wrong."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import re
import warnings
from typing import TYPE_CHECKING, Any

from magvit_keras.data.arguments import check_choice, listed
from magvit_keras.data.source import ON_ERROR, UnreadableVideoWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAX_ROW = 1 << 20  # characters; a longer line or JSON object counts as wrong
_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")


class Skipped:
    """Rows that are wrong: each raises, or is counted and named in one warning.

    Args:
        path: the list, for messages.
        on_error: "skip" or "raise".

    Attributes:
        reasons: `{row: reason}`.

    Example:
        >>> skipped = Skipped("list.csv", on_error="skip")
        >>> skipped.add("line 7", "no number of seconds")
        >>> skipped.reasons
        {'line 7': 'no number of seconds'}
    """

    def __init__(self, path: str | os.PathLike, on_error: str = "skip"):
        self.path, self.on_error, self.reasons = path, check_choice("on_error", on_error, ON_ERROR), {}

    def add(self, row: str, reason: str) -> None:
        """Raises ValueError, or remembers the row."""
        if self.on_error == "raise":
            raise ValueError(f"{self.path}, {row}: {reason}")
        self.reasons[row] = reason

    def warn(self, kept: int) -> None:
        """Warns once about all of them; raises ValueError where nothing is left."""
        if not self.reasons:
            return
        text = f"{len(self.reasons)} of {kept + len(self.reasons)} rows of {self.path} were skipped:\n"
        text += listed(self.reasons)
        if not kept:
            raise ValueError(text)
        warnings.warn(text, UnreadableVideoWarning, stacklevel=4)


def read_csv(path: str | os.PathLike, columns: Sequence[str], skipped: Skipped) -> list[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with a header, by name, in any order of the columns.

    Args:
        path: the file, UTF-8.
        columns: those that must be there; others are kept too.
        skipped: told about rows with too few or too many cells.

    Returns:
        A list of ("line 2", {column: text}).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, or a row is wrong and `skipped` raises.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "list.csv")
        >>> _ = path.write_text("path,label\\na.mp4,waves\\n")
        >>> read_csv(path, ["label"], Skipped(path))
        [('line 2', {'path': 'a.mp4', 'label': 'waves'})]
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise ValueError(
                    f"{path} has no column {', '.join(missing)}; expected {', '.join(columns)}, found "
                    f"{', '.join(header) or 'nothing'}"
                )
            rows = []
            for cells in reader:
                if not cells:
                    continue
                where = f"line {reader.line_num}"
                if len(cells) != len(header):
                    skipped.add(where, f"{len(cells)} cells; expected {len(header)}")
                    continue
                rows.append((where, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from None
    return rows


def read_jsonl(path: str | os.PathLike, columns: Sequence[str], skipped: Skipped) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a file of JSON objects, one a line.

    Args:
        path: the file, UTF-8.
        columns: the keys that must be there in each.
        skipped: told about lines that are no JSON object or lack a key.

    Returns:
        A list of ("line 1", object).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is wrong and `skipped` raises, or a key is missing everywhere.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "list.jsonl")
        >>> _ = path.write_text('{"path": "a.mp4", "label": 3}\\n')
        >>> read_jsonl(path, ["label"], Skipped(path))
        [('line 1', {'path': 'a.mp4', 'label': 3})]
    """
    rows, keys, lines = [], set(), 0
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_ROW + 1), ""), 1):
            where = f"line {number}"
            if len(line) > MAX_ROW:
                raise ValueError(f"{path}, {where}: longer than {MAX_ROW} characters")
            if not line.strip():
                continue
            lines += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                skipped.add(where, "no JSON")
                continue
            if not isinstance(row, dict):
                skipped.add(where, f"a JSON object is expected, not a {type(row).__name__}")
                continue
            keys |= row.keys()
            missing = [name for name in columns if name not in row]
            if missing:
                skipped.add(where, f"no {', '.join(missing)}")
                continue
            rows.append((where, row))
    nowhere = [name for name in columns if name not in keys]
    if lines and keys and nowhere:
        raise ValueError(
            f"{path} has no key {', '.join(nowhere)}; expected {', '.join(columns)}, found {', '.join(sorted(keys))}"
        )
    return rows


def read_lines(path: str | os.PathLike) -> list[tuple[str, str]]:
    """The lines of a text file that are not empty, without spaces and line ends: a list of ("line 1", text)."""
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    lines = ((f"line {number}", line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(where, line) for where, line in lines if line]


def iterate_json_array(path: str | os.PathLike, wanted: Callable[[dict], bool] = lambda row: True) -> Iterator[dict]:
    """The objects of a JSON array, one after another: a file of gigabytes needs the memory of one object.

    Args:
        path: the file, UTF-8.
        wanted: which objects to give.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no array of objects, is cut off, or an object is longer than `MAX_ROW`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "rows.json")
        >>> _ = path.write_text('[{"a": 1}, {"a": 2}]')
        >>> [row["a"] for row in iterate_json_array(path)]
        [1, 2]
    """
    decoder, number, position = json.JSONDecoder(), 0, 1
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_CHUNK).lstrip()
        if not text.startswith("["):
            raise ValueError(f"{path} is no JSON array")
        while True:
            position = _BETWEEN.match(text, position).end()
            if text.startswith("]", position):
                return
            try:
                row, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError):
                if len(text) - position > MAX_ROW:
                    raise ValueError(
                        f"{path}: object {number} is no JSON, or longer than {MAX_ROW} characters"
                    ) from None
                more = file.read(_CHUNK)
                if not more:
                    raise ValueError(f"{path} is cut off or damaged after {number} objects") from None
                text, position = text[position:] + more, 0
                continue
            if not isinstance(row, dict):
                raise ValueError(f"{path}: entry {number} is a {type(row).__name__}; expected an object")
            number += 1
            if wanted(row):
                yield row


def read_json(path: str | os.PathLike, kind: type) -> Any:
    """A small JSON file that must be of a kind, dict or list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or of another kind.
    """
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, kind):
        raise ValueError(f"{path}: expected a JSON {kind.__name__}, received a {type(found).__name__}")
    return found


def first_file(root: pathlib.Path, names: Sequence[str], what: str) -> pathlib.Path:
    """The first of several names that is a file below the folder.

    Raises:
        FileNotFoundError: none is; the message names them all.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(f"{what} is not in {root}; expected one of {', '.join(names)}")
