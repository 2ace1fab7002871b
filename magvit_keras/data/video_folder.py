"""A folder of videos, one sub-folder per class."""

from __future__ import annotations

import copy
import functools
import os
import pathlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.data import clip_sampling
from magvit_keras.data.decode import MAX_PIXELS, VideoInfo, import_av, probe, read_frames
from magvit_keras.data.source import ON_ERROR, Source, UnreadableVideo, _count, check_clip_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTENSIONS = ("mp4", "avi", "webm", "mov", "gif", "mkv", "m4v")
SINGLE_CLASS = "video"  # the class of a folder without sub-folders


@dataclass(frozen=True)
class ScanReport:
    """What `VideoFolder.scan` found.

    Attributes:
        readable: paths relative to the folder.
        unreadable: `{path: reason}`.
    """

    readable: list[str]
    unreadable: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{len(self.readable)} readable videos, {len(self.unreadable)} unreadable"]
        return "\n".join(lines + [f"  {path}: {reason}" for path, reason in self.unreadable.items()])


class VideoFolder(Source):
    """Clips out of video files; the sub-folder of a file is its class.

    Classes are the sub-folders that hold a video, sorted by name; files may lie deeper. A folder without sub-folders
    is one class, `"video"`. Hidden files are left out, and so are links that lead out of the folder.

    A training clip is a random window, one random crop and perhaps one flip, anew in each epoch; an evaluation clip is
    the window and crop in the middle. A video that is too short is tiled. What is drawn depends on
    `(seed, epoch, index)` alone.

    Args:
        root: the folder.
        num_frames: T, the frames of a clip.
        size: (height, width) of a clip in pixels, at least 8; an int for squares. Frames are scaled, bilinear, until
            they just cover it, and cropped.
        frame_stride: takes every n-th frame.
        training: random windows and crops, or those in the middle.
        horizontal_flip: mirrors every second clip at random, in training. Leave it off where left and right matter.
        seed: a non-negative int.
        on_error: `"skip"` replaces an unreadable or truncated video by the next readable one, and warns with the
            number and names of them; `"raise"` raises.
        extensions: the files to read, upper or lower case.
        class_names: the classes in the wanted order, for example those of the training folder; other sub-folders are
            an error. By default the sorted sub-folders.
        max_pixels: a video with larger frames (width x height) counts as unreadable.

    Raises:
        FileNotFoundError: the folder is missing, empty, or holds no video.
        NotADirectoryError: the path is a file.
        ValueError: an argument is out of range.
        ImportError: PyAV is not installed.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes, VideoFolder
        >>> folder = tempfile.mkdtemp()
        >>> paths = MovingShapes(3, num_frames=6, size=(32, 32)).write_videos(folder)
        >>> clips = VideoFolder(folder, num_frames=4, size=(16, 16))
        >>> len(clips), clips[0]["video"].shape
        (3, (4, 16, 16, 3))
    """

    def __init__(
        self,
        root: str | os.PathLike,
        num_frames: int = 16,
        size: tuple[int, int] = (64, 64),
        frame_stride: int = 1,
        training: bool = True,
        horizontal_flip: bool = False,
        seed: int = 0,
        on_error: str = "skip",
        extensions: Sequence[str] = EXTENSIONS,
        class_names: Sequence[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        self.num_frames, self.size = check_clip_shape(num_frames, size)
        self.frame_stride = _count("frame_stride", frame_stride)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed={seed!r}: expected a whole number, 0 or more")
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error={on_error!r}: expected one of {', '.join(ON_ERROR)}")
        self.root, self.seed, self.on_error, self.max_pixels = pathlib.Path(root), int(seed), on_error, max_pixels
        self.training, self.horizontal_flip = bool(training), bool(horizontal_flip)
        import_av()  # its absence shows now and not in the first step
        extensions = [extensions] if isinstance(extensions, str) else list(extensions)
        self._paths = find_videos(self.root, extensions)
        self._class_names, self._labels = _classes(self.root, self._paths, class_names)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def class_names(self) -> list[str]:
        """The sub-folders, or `["video"]`."""
        return list(self._class_names)

    @property
    def labels(self) -> np.ndarray:
        """The label of every video, int32 (N,), without reading any."""
        return np.array(self._labels, np.int32)

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files, sorted."""
        return [self.root / path for path in self._paths]

    def name(self, index: int) -> str:
        """The path relative to the folder."""
        return self._paths[index]

    def read(self, index: int, epoch: int = 0) -> dict:
        """Decodes one clip; see `Source.read`."""
        info = _info(str(self.root / self._paths[index]), self.max_pixels)
        rng = np.random.default_rng([self.seed, epoch, index])
        scaled = clip_sampling.covering_size((info.height, info.width), self.size)
        window = info.num_frames, self.num_frames, self.frame_stride
        if self.training:
            offset = clip_sampling.random_offset(rng, *window)
            corner = clip_sampling.random_corner(rng, scaled, self.size)
        else:
            offset, corner = clip_sampling.centre_offset(*window), clip_sampling.centre_corner(scaled, self.size)
        if scaled[0] * scaled[1] > self.max_pixels:
            raise UnreadableVideo(self._paths[index], f"{info.width} x {info.height} is too long a strip to be scaled")
        frames = read_frames(info, clip_sampling.window(offset, *window), scaled, self.max_pixels)
        clip = clip_sampling.crop(frames, corner, self.size)
        if self.training and self.horizontal_flip and rng.uniform() < 0.5:
            clip = clip_sampling.flip(clip)
        return {"video": np.ascontiguousarray(clip), "label": self._labels[index]}

    def for_evaluation(self) -> VideoFolder:
        """The same files with the window and crop in the middle, and no flips."""
        other = copy.copy(self)
        other.training = other.horizontal_flip = False
        return other

    def scan(self, threads: int = 4) -> ScanReport:
        """Opens every file before a long run: counts its frames and decodes the first.

        Unreadable files are remembered and not tried again.

        Args:
            threads: files opened at the same time.

        Returns:
            The readable files and, with reasons, the others; `print` it.
        """

        def check(index):
            try:
                probe(self.root / self._paths[index], self.max_pixels)
            except UnreadableVideo as error:
                return error.reason
            return None

        with ThreadPoolExecutor(threads) as pool:
            reasons = list(pool.map(check, range(len(self))))
        bad = {index: reason for index, reason in enumerate(reasons) if reason is not None}
        self._failures.update(bad)  # the report is the warning
        return ScanReport(
            [path for index, path in enumerate(self._paths) if index not in bad],
            {self._paths[index]: reason for index, reason in bad.items()},
        )


def _info(path: str, max_pixels: int) -> VideoInfo:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnreadableVideo(path, error.strerror or str(error)) from None
    return _probed(path, max_pixels, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _probed(path: str, max_pixels: int, *_version) -> VideoInfo:
    return probe(path, max_pixels)


def find_videos(root: pathlib.Path, extensions: Sequence[str] = EXTENSIONS) -> list[str]:
    """The videos below a folder: sorted paths relative to it, with forward slashes.

    Args:
        root: the folder; it may itself be a link.
        extensions: with or without a dot, upper or lower case.

    Raises:
        FileNotFoundError: the folder is missing, empty or without videos.
        NotADirectoryError: the path is a file.
    """
    endings = {"." + extension.lower().lstrip(".") for extension in extensions}
    if not root.exists():
        raise FileNotFoundError(f"the folder {root} does not exist")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; expected a folder of videos, one sub-folder per class")
    if not any(root.iterdir()):
        raise FileNotFoundError(f"the folder {root} is empty; expected videos, one sub-folder per class")
    inside, found, outside, files = root.resolve(), [], 0, 0
    for folder, folders, names in os.walk(root):
        # Links to folders are not followed, so that no file comes twice and none from elsewhere.
        outside += sum(os.path.islink(os.path.join(folder, name)) for name in folders)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = pathlib.Path(folder, name)
            files += 1
            if name.startswith(".") or path.suffix.lower() not in endings:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                outside += 1
            else:
                found.append(path.relative_to(root).as_posix())
    links = f"{outside} links in {root} were left out: links to folders and out of {root} are not followed"
    if not found:
        known = ", ".join(sorted(ending[1:] for ending in endings))
        raise FileNotFoundError(
            f"no video in {root}: none of its {files} files ends in {known}" + (f"; {links}" if outside else "")
        )
    if outside:
        warnings.warn(links, stacklevel=3)
    return sorted(found)


def _classes(root, paths: list[str], names: Sequence[str] | None) -> tuple[list[str], list[int]]:
    """Class names, and the label of each path; loose files beside sub-folders have no class: an error."""
    folders = [path.split("/")[0] if "/" in path else None for path in paths]
    if not any(folders):
        folders = [SINGLE_CLASS] * len(paths)
    elif None in folders:
        loose = [path for path, folder in zip(paths, folders, strict=True) if folder is None]
        raise ValueError(
            f"{root} holds sub-folders of videos and, beside them, {len(loose)} videos without a class "
            f"(the first is {loose[0]}); move these into a sub-folder"
        )
    found = sorted(set(folders))
    names = found if names is None else list(names)
    unknown = sorted(set(found) - set(names))
    if unknown or len(set(names)) != len(names):
        raise ValueError(f"class_names={names}: expected different names, among them {', '.join(unknown or found)}")
    number = {name: label for label, name in enumerate(names)}
    return names, [number[folder] for folder in folders]
