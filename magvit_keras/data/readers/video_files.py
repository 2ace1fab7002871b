"""The base of readers whose videos are files: opening, missing files, and paths that must stay in the folder."""

from __future__ import annotations

import functools
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from magvit_keras.data.clip_source import ClipSource
from magvit_keras.data.files.decode import VideoInfo, probe
from magvit_keras.data.files.decoders import check_decoder, read_frames
from magvit_keras.data.source import UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magvit_keras.data.clip_source import StoredVideo


@dataclass(frozen=True)
class ScanReport:
    """What `VideoFiles.scan` found.

    Attributes:
        readable: paths relative to the folder.
        unreadable: `{path: reason}`.
    """

    readable: list[str]
    unreadable: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{len(self.readable)} readable videos, {len(self.unreadable)} unreadable"]
        return "\n".join(lines + [f"  {path}: {reason}" for path, reason in self.unreadable.items()])


class VideoFiles(ClipSource):
    """Clips out of listed video files: the base of the readers of file collections.

    A reader calls `super().__init__`, which checks the arguments, finds out what there is, and hands it to
    `list_videos`.

    Args:
        root: the folder.
        decoder: what decodes the files: "pyav", "torchcodec" or "tensorflow_io".
        **clips: how clips are cut out, see `ClipSource`.

    Raises:
        FileNotFoundError: the folder is missing.
        NotADirectoryError: it is a file.
        ValueError: the decoder is unknown, or an argument of `ClipSource` is out of range.
        ImportError: PyAV or the decoder is not installed.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes
        >>> from magvit_keras.data.readers.video_files import VideoFiles
        >>> folder = tempfile.mkdtemp()
        >>> path = MovingShapes(1, num_frames=6, size=(32, 32)).write_videos(folder)[0]
        >>> files = VideoFiles(folder, num_frames=4, size=16)
        >>> files.list_videos([f"{path.parent.name}/{path.name}"], labels=[0], class_names=["all"])
        >>> files[0]["video"].shape
        (4, 16, 16, 3)
    """

    def __init__(self, root: str | os.PathLike, *, decoder: str = "pyav", **clips: Any):
        super().__init__(**clips)
        self.decoder = check_decoder(decoder)  # its absence shows now and not in the first step
        self.root = pathlib.Path(root)
        if not self.root.exists():
            raise FileNotFoundError(f"the folder {root} does not exist")
        if not self.root.is_dir():
            raise NotADirectoryError(f"{root} is a file; expected a folder of videos")

    def list_videos(
        self,
        paths: Sequence[str],
        labels: Sequence[int],
        class_names: Sequence[str],
        missing: Mapping[int, str] | None = None,
    ) -> None:
        """Says what there is to read.

        Args:
            paths: the files relative to the folder, with forward slashes.
            labels: the class of each, -1 for none.
            class_names: the names of the classes.
            missing: `{position in paths: reason}` of files that are known not to be there. With `on_error="skip"`
                they count as unreadable, in one warning.

        Raises:
            FileNotFoundError: all files are missing, or one is and `on_error="raise"`.
            ValueError: nothing is listed, or a path leads out of the folder.
        """
        self._paths = [safe_path(path) for path in paths]
        self._labels, self._class_names = [int(label) for label in labels], list(class_names)
        if not self._paths:
            raise ValueError(f"no video is listed for {self.root}")
        if missing and (len(missing) == len(self._paths) or self.on_error == "raise"):
            first = min(missing)
            raise FileNotFoundError(
                f"{len(missing)} of {len(self._paths)} listed videos are not in {self.root}; the first is "
                f"{self._paths[first]} ({missing[first]})"
            )
        self.report(missing or {})

    @property
    def num_videos(self) -> int:
        """The number of listed files."""
        return len(self._paths)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; the label of a clip is its position in this list."""
        return list(self._class_names)

    @property
    def labels(self) -> np.ndarray:
        """The label of every video, int32 (N,), without reading any; -1 where the data set does not tell it."""
        return np.array(self._labels, np.int32)

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files."""
        return [self.root / path for path in self._paths]

    def name_of(self, video: int) -> str:
        """The path relative to the folder."""
        return self._paths[video]

    def open_video(self, video: int) -> StoredVideo:
        """Finds the frames of a file; the last few thousand files are remembered."""
        path = inside(self.root, self._paths[video])
        return _FileVideo(_info(str(path), self.max_pixels), self.max_pixels, self._labels[video], self.decoder)

    def scan(self, threads: int = 4) -> ScanReport:
        """Opens every file before a long run: counts its frames and decodes the first.

        Unreadable files are remembered and not tried again.

        Args:
            threads: files opened at the same time.

        Returns:
            The readable files and, with reasons, the others; `print` it.
        """

        def check(path):
            try:
                probe(inside(self.root, path), self.max_pixels)
            except UnreadableVideo as error:
                return error.reason
            return None

        with ThreadPoolExecutor(threads) as pool:
            reasons = list(pool.map(check, self._paths))
        bad = {video: reason for video, reason in enumerate(reasons) if reason is not None}
        each = self.clips_per_video
        # The report is the warning.
        self._failures.update({video * each + part: reason for video, reason in bad.items() for part in range(each)})
        return ScanReport(
            [path for video, path in enumerate(self._paths) if video not in bad],
            {self._paths[video]: reason for video, reason in bad.items()},
        )


@dataclass(frozen=True)
class _FileVideo:
    info: VideoInfo
    max_pixels: int
    label: int
    decoder: str

    @property
    def num_frames(self) -> int:
        return self.info.num_frames

    @property
    def height(self) -> int:
        return self.info.height

    @property
    def width(self) -> int:
        return self.info.width

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        return read_frames(self.info, indices, size, self.max_pixels, self.decoder)


def safe_path(text: str, where: str = "") -> str:
    """A relative path of a list or index, with forward slashes, that cannot lead out of its folder.

    Args:
        text: the path as it is written there.
        where: file and line, for the message.

    Raises:
        ValueError: it is empty, absolute, names a drive, or climbs with `..`.

    Example:
        >>> safe_path("Archery/v_Archery_g01_c01.avi")
        'Archery/v_Archery_g01_c01.avi'
    """
    windows, posix = pathlib.PureWindowsPath(text), pathlib.PurePosixPath(text)
    if not text or "\0" in text or windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts:
        raise ValueError(
            f"{where + ': ' if where else ''}the path {text!r} leads out of the data folder or is none; "
            "expected a path relative to the folder"
        )
    return posix.as_posix()


def inside(root: pathlib.Path, path: str) -> pathlib.Path:
    """The file, links followed.

    Raises:
        UnreadableVideo: a link leads out of the folder.
    """
    found, top = (root / path).resolve(), root.resolve()
    if not found.is_relative_to(top):
        raise UnreadableVideo(path, f"a link leads out of {root}")
    return root / path


def _info(path: str, max_pixels: int) -> VideoInfo:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnreadableVideo(path, error.strerror or str(error)) from None
    return _probed(path, max_pixels, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _probed(path: str, max_pixels: int, *_version) -> VideoInfo:
    return probe(path, max_pixels)
