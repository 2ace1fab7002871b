"""Files that are whole or not there, their checksums, and the versions of installed packages; without Keras."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import pathlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path beside the wanted one that replaces it when the block ends without an error.

    The name is hidden, ends as the wanted one does (FFmpeg, Pillow and Keras go by the extension) and is never used
    twice, so that several processes may write the same file.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names, in hexadecimal digits."""
    path, digest = pathlib.Path(path), hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def version(package: str) -> str | None:
    """The version of an installed package; None of one that is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
