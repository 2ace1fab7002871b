"""Weight files from the web, on request only, kept in a cache folder and known by their checksum."""

import os
import pathlib
import re
import sys
import tempfile
import urllib.parse

import keras

from magvit_keras import files

CACHE_VARIABLE = "MAGVIT_KERAS_CACHE"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# As torchvision's "vgg16-397923af.pth": the first digits of its SHA-256.
_NAMED = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt)")


def fetch(url: str, sha256: str) -> pathlib.Path:
    """The file at an address, from the cache if it is there, else downloaded.

    Args:
        url: https:// or file://; http:// on this machine only.
        sha256: the SHA-256 of the file, 64 hexadecimal digits. It is required because scores depend on the weights,
            and because the file may be changed on its way or at its source.

    Returns:
        The path inside the cache: the folder that the environment variable MAGVIT_KERAS_CACHE names, else the
        platform's for caches. A file that is there is checked again.

    Raises:
        ValueError: no such checksum, another kind of address, or a file with another checksum, which is not kept.
        OSError: it cannot be fetched; nothing is left behind.

    Example:
        >>> path = mk.convert.fetch("https://HOST/i3d_k400.flax", sha256="9f86d0...")  # doctest: +SKIP
    """
    sha256 = check_sha256(sha256, url)
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme not in ("https", "file") and not local:
        raise ValueError(f"Weights are fetched from https:// or file:// addresses; received {url!r}.")
    name = pathlib.PurePosixPath(urllib.parse.unquote(parts.path)).name
    if not re.fullmatch(r"[\w.-]+", name) or set(name) == {"."}:
        raise ValueError(f"{url!r} does not end with the name of a file.")
    path = cache_folder() / sha256[:16] / name
    if path.is_file():
        check_file(path, sha256)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place and then renamed, so that an interruption leaves no half of it where it would be found.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as beside:
        try:
            found = pathlib.Path(keras.utils.get_file(name, url, cache_dir=beside, cache_subdir="."))
        except Exception as error:
            raise OSError(f"{url} cannot be fetched: {error}") from error
        check_file(found, sha256, source=url)
        os.replace(found, path)
    return path


def cache_folder() -> pathlib.Path:
    """Where fetched files are kept."""
    if given := os.environ.get(CACHE_VARIABLE):
        return pathlib.Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    else:
        base = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(base).expanduser() / "magvit_keras"


def is_address(path: object) -> bool:
    """Whether something is an address, not a path."""
    return isinstance(path, str) and re.match(r"[a-z][a-z0-9+.-]+://", path) is not None


def check_sha256(sha256: str | None, what: object) -> str:
    """The checksum in small letters.

    Raises:
        ValueError: none, or not 64 hexadecimal digits.
    """
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise ValueError(
            f"{what} needs sha256, the 64 hexadecimal digits of its SHA-256; received {sha256!r}. Without it nothing "
            "says which weights a score was made with."
        )
    return sha256.lower()


def check_file(path: pathlib.Path, sha256: str | None, source: str | None = None) -> None:
    """Compares the checksum of a file with the one wanted, and with the digits in its name if it has such.

    Args:
        path: a file or folder.
        sha256: what it must be, or None.
        source: where it came from, for messages.

    Raises:
        ValueError: it differs.
    """
    named = _NAMED.search(path.name)
    if sha256 is None and named is None:
        return
    found = files.sha256(path)
    if sha256 is not None and found != sha256:
        raise ValueError(f"{source or path} has the SHA-256 {found}; expected {sha256}. It is damaged or another file.")
    if named is not None and not found.startswith(named[1]):
        raise ValueError(
            f"{path} should by its name have a SHA-256 that begins with {named[1]}; it is {found}. It is damaged or "
            "another file."
        )
