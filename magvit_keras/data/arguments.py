"""Checks of arguments, the same words for all readers, and names and lists of names as messages show them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

NAMES_IN_A_MESSAGE = 20


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Returns a whole number as an int.

    Raises:
        ValueError: it is another kind of thing, or below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number, {least} or more")
    return int(value)


def check_choice(name: str, value: Any, choices: Collection) -> Any:
    """Returns the value.

    Raises:
        ValueError: it is none of the choices.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(str, choices))}")
    return value


def check_fps(value: Any) -> float:
    """Returns frames per second as a float.

    Raises:
        ValueError: it is no number from 0.01 to 1000.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0.01 <= value <= 1000:
        raise ValueError(f"fps={value!r}: expected frames per second, a number from 0.01 to 1000")
    return float(value)


def check_clip_shape(num_frames: int, size: tuple[int, int], smallest: int = 8) -> tuple[int, tuple[int, int]]:
    """Validates the length and size of clips, `(frames, (height, width))`."""
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        size = (size, size)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size={size!r}: expected (height, width) in pixels, for example (64, 64)")
    height, width = check_count("height", size[0]), check_count("width", size[1])
    if min(height, width) < smallest:
        raise ValueError(f"size={tuple(size)}: expected at least {smallest} x {smallest} pixels")
    return check_count("num_frames", num_frames), (height, width)


class BadFile(ValueError):
    """A file that cannot be used.

    Args:
        path: the file.
        reason: what is wrong, in words.
    """

    words = "{path}: {reason}"

    def __init__(self, path: str | os.PathLike, reason: str):
        self.path, self.reason = printable(path), reason
        super().__init__(self.words.format(path=self.path, reason=reason))

    def __reduce__(self):
        return type(self), (self.path, self.reason)  # exceptions travel between processes


def printable(name: str | os.PathLike) -> str:
    """A file name as text that can be printed and written: bytes that are not UTF-8 become backslash escapes.

    Example:
        >>> print(printable(os.fsdecode(b"caf\\xe9.mp4")))
        caf\\xe9.mp4
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def listed(reasons: Mapping[str, str]) -> str:
    """Names and reasons, one a line; of many the first, and a count.

    Example:
        >>> print(listed({"a.mp4": "truncated"}))
          a.mp4: truncated
    """
    lines = [f"  {name}: {reason}" for name, reason in list(reasons.items())[:NAMES_IN_A_MESSAGE]]
    if len(reasons) > NAMES_IN_A_MESSAGE:
        lines.append(f"  and {len(reasons) - NAMES_IN_A_MESSAGE} more")
    return "\n".join(lines)
