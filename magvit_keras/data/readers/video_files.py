"""The base of readers whose videos are files: opening, missing files, and paths that must stay in the folder."""

from __future__ import annotations

import os
import pathlib
import threading
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from magvit_keras.data import clip_sampling
from magvit_keras.data.arguments import NAMES_IN_A_MESSAGE, check_fps, listed, printable
from magvit_keras.data.clip_source import ClipSource
from magvit_keras.data.files.decode import VideoInfo, probe
from magvit_keras.data.files.decoders import check_decoder, read_frames
from magvit_keras.data.source import UnreadableVideo, UnreadableVideoWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from magvit_keras.data.clip_source import StoredVideo


@dataclass(frozen=True)
class ScanReport:
    """What `VideoFiles.scan` found.

    Attributes:
        readable: names of videos, which are paths relative to the folder.
        unreadable: `{name: reason}`.
        short: names of those that have fewer frames than a clip and are repeated.
        other: names of files in the folder that are no videos by their ending, and are not read.
    """

    readable: list[str]
    unreadable: dict[str, str]
    short: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{len(self.readable)} readable videos, {len(self.unreadable)} unreadable"
        text += f"\n{listed(self.unreadable)}" if self.unreadable else ""
        for what, names in (("shorter than a clip, and repeated", self.short), ("other files, not read", self.other)):
            if names:
                more = f" and {len(names) - NAMES_IN_A_MESSAGE} more" * (len(names) > NAMES_IN_A_MESSAGE)
                text += f"\n{len(names)} {what}: {', '.join(names[:NAMES_IN_A_MESSAGE])}{more}"
        return text


class VideoFiles(ClipSource):
    """Clips out of listed video files: the base of the readers of file collections.

    A reader calls `super().__init__`, which checks the arguments, finds out what there is, and hands it to
    `list_videos`.

    Args:
        root: the folder.
        decoder: what decodes the files: "pyav", "torchcodec" or "tensorflow_io".
        fps: frames per second that all videos are brought to, by taking the frame nearest in time; `frame_stride`
            then counts in these. By default each video has its own rate.
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
        >>> kept = files.list_videos([f"{path.parent.name}/{path.name}"], labels=[0], class_names=["all"])
        >>> files[0]["video"].shape
        (4, 16, 16, 3)
    """

    def __init__(self, root: str | os.PathLike, *, decoder: str = "pyav", fps: float | None = None, **clips: Any):
        super().__init__(**clips)
        self.other_files: list[str] = []  # for the report of `scan`
        self.fps = None if fps is None else check_fps(fps)
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
        find: Callable[[str], str | None] = lambda path: path,
    ) -> list[int]:
        """Says what there is to read.

        Args:
            paths: the files relative to the folder, with forward slashes.
            labels: the class of each, -1 for none.
            class_names: the names of the classes.
            find: where a listed file lies, or None. With `on_error="skip"` the missing are left out, and one warning
                counts and names them.

        Returns:
            The positions in `paths` of those that are there.

        Raises:
            FileNotFoundError: all files are missing, or one is and `on_error="raise"`.
            ValueError: nothing is listed, or a path leads out of the folder.
        """
        if not paths:
            raise ValueError(f"no video is listed for {self.root}")
        places = [find(safe_path(path)) for path in paths]
        there = [position for position, place in enumerate(places) if place is not None]
        missing = {printable(path): "no such file" for path, place in zip(paths, places, strict=True) if place is None}
        if missing:
            text = f"{len(missing)} of {len(paths)} listed videos are not in {self.root}"
            if not there or self.on_error == "raise":
                raise FileNotFoundError(f"{text}; the first is {next(iter(missing))} (no such file)")
            text += f"; the other {len(there)} are read:\n{listed(missing)}"
            warnings.warn(text, UnreadableVideoWarning, stacklevel=4)
        self._paths, self._labels = [places[i] for i in there], [int(labels[i]) for i in there]
        self._class_names = list(class_names)
        return there

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
        return printable(self._paths[video])

    def open_video(self, video: int) -> StoredVideo:
        """Finds the frames of a file, which are remembered for the files read last."""
        path = inside(self.root, self._paths[video])
        info = _info(os.fspath(path), self.max_pixels)
        return _FileVideo(info, self.max_pixels, self._labels[video], self.decoder, self.fps)

    def scan(self, threads: int = 4) -> ScanReport:
        """Opens every file before a long run: counts its frames and decodes the first.

        Unreadable files are remembered and not tried again.

        Args:
            threads: files opened at the same time.

        Returns:
            The readable files and, with reasons, the others; `print` it.
        """

        def check(video):
            try:
                return self.open_video(video).num_frames
            except UnreadableVideo as error:
                return error.reason

        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(check, range(self.num_videos)))
        bad = {video: reason for video, reason in enumerate(found) if isinstance(reason, str)}
        each, names = self.clips_per_video, [self.name_of(video) for video in range(self.num_videos)]
        # The report is the warning.
        self.failures.update({video * each + part: reason for video, reason in bad.items() for part in range(each)})
        needed = (self.num_frames - 1) * self.frame_stride + 1
        return ScanReport(
            readable=[name for video, name in enumerate(names) if video not in bad],
            unreadable={names[video]: reason for video, reason in bad.items()},
            short=[names[video] for video, count in enumerate(found) if video not in bad and count < needed],
            other=[printable(path) for path in self.other_files],
        )


@dataclass(frozen=True)
class _FileVideo:
    info: VideoInfo
    max_pixels: int
    label: int
    decoder: str
    fps: float | None

    def __post_init__(self):
        if self.fps is not None and not self.info.clock:
            raise UnreadableVideo(self.info.path, "it does not tell the times of its frames, which fps=... goes by")

    @property
    def num_frames(self) -> int:
        if self.fps is None:
            return self.info.num_frames
        return clip_sampling.resampled_length(self.info.timestamps, self.info.clock, self.fps)

    @property
    def height(self) -> int:
        return self.info.height

    @property
    def width(self) -> int:
        return self.info.width

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        if self.fps is not None:
            indices = clip_sampling.nearest_frames(self.info.timestamps, self.info.clock, self.fps, indices)
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
    return _remembered.info(path, max_pixels, status.st_size, status.st_mtime_ns)


class _Remembered:
    """What is known of the files read last, within a budget of bytes."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.num_bytes = most_bytes, 0
        self.infos: OrderedDict[tuple, VideoInfo] = OrderedDict()
        self.lock = threading.Lock()

    def info(self, path: str, max_pixels: int, *version: int) -> VideoInfo:
        key = path, max_pixels, *version
        with self.lock:
            if key in self.infos:
                self.infos.move_to_end(key)
                return self.infos[key]
        info = probe(path, max_pixels)
        with self.lock:
            if key not in self.infos:
                self.infos[key] = info
                self.num_bytes += _num_bytes(info)
            while self.num_bytes > self.most_bytes and len(self.infos) > 1:
                self.num_bytes -= _num_bytes(self.infos.popitem(last=False)[1])
        return info


def _num_bytes(info: VideoInfo) -> int:
    return 1024 + getattr(info.timestamps, "itemsize", 0) * info.num_frames


_remembered = _Remembered(64 << 20)
