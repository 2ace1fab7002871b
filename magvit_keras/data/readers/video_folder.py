"""A folder of videos, one sub-folder per class."""

from __future__ import annotations

import os
import pathlib
import warnings
from typing import TYPE_CHECKING, Any

from magvit_keras.data.arguments import printable
from magvit_keras.data.readers.video_files import VideoFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

# What PyAV opens, of which people have videos.
EXTENSIONS = (
    *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "mj2", "f4v", "flv", "avi", "divx", "mkv", "webm", "gif", "apng", "ogv"),
    *("mpg", "mpeg", "mpe", "m1v", "m2v", "vob", "ts", "mts", "m2ts", "m2t", "wmv", "asf", "mxf", "dv", "nut", "y4m"),
    *("mjpeg", "mjpg", "h264", "264", "hevc", "h265", "265", "ivf", "obu", "rm", "rmvb", "amv"),
)
SINGLE_CLASS = "video"  # the class of a folder without sub-folders


class VideoFolder(VideoFiles):
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
        extensions: the endings of files to read, upper or lower case; by default those of every kind of video that
            PyAV opens. `scan` names the other files.
        class_names: the classes in the wanted order, for example those of the training folder; other sub-folders are
            an error. By default the sorted sub-folders.
        max_pixels: a video with larger frames (width x height) counts as unreadable.
        decoder: what decodes the files: "pyav", "torchcodec" or "tensorflow_io".
        fps: frames per second that all videos are brought to, see `VideoFiles`; by default each has its own rate.

    Raises:
        FileNotFoundError: the folder is missing, empty, or holds no video.
        NotADirectoryError: the path is a file.
        ValueError: an argument is out of range.
        ImportError: PyAV or the decoder is not installed.

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
        *,
        extensions: Sequence[str] = EXTENSIONS,
        class_names: Sequence[str] | None = None,
        **clips: Any,
    ):
        super().__init__(root, num_frames=num_frames, size=size, frame_stride=frame_stride, **clips)
        extensions = [extensions] if isinstance(extensions, str) else list(extensions)
        paths, other = find_files(self.root, extensions)
        names, labels = folder_classes(self.root, paths, class_names)
        self.list_videos(paths, labels, names)
        self.other_files = other


def find_videos(root: pathlib.Path, extensions: Sequence[str] = EXTENSIONS, kind: str = "video") -> list[str]:
    """The first of what `find_files` gives."""
    return find_files(root, extensions, kind)[0]


def find_files(root: pathlib.Path, extensions: Sequence[str], kind: str = "video") -> tuple[list[str], list[str]]:
    """The videos (or files of another `kind`) below a folder, and the other files.

    Both are sorted paths relative to it, with forward slashes.

    Args:
        root: the folder; it may itself be a link.
        extensions: with or without a dot, upper or lower case.
        kind: what messages call the files.

    Raises:
        FileNotFoundError: the folder is missing, empty or without videos.
        NotADirectoryError: the path is a file.
    """
    endings = {"." + extension.lower().lstrip(".") for extension in extensions}
    if not root.exists():
        raise FileNotFoundError(f"the folder {root} does not exist")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; expected a folder of {kind}s, one sub-folder per class")
    if not any(root.iterdir()):
        raise FileNotFoundError(f"the folder {root} is empty; expected {kind}s, one sub-folder per class")
    inside, found, other, outside = root.resolve(), [], [], 0
    for folder, folders, names in os.walk(root):
        # Links to folders are not followed, so that no file comes twice and none from elsewhere.
        outside += sum(os.path.islink(os.path.join(folder, name)) for name in folders)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = pathlib.Path(folder, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() not in endings:
                other.append(path.relative_to(root).as_posix())
            elif path.is_symlink() and not path.resolve().is_relative_to(inside):
                outside += 1
            else:
                found.append(path.relative_to(root).as_posix())
    links = f"{outside} links in {root} were left out: links to folders and out of {root} are not followed"
    if not found:
        known = ", ".join(sorted(ending[1:] for ending in endings))
        seen = ", ".join(sorted({pathlib.PurePath(name).suffix.lower() or "no ending" for name in other})[:10])
        raise FileNotFoundError(
            f"no {kind} in {root}: none of its {len(other)} files ({seen or 'none'}) ends in {known}"
            + (f"; {links}" if outside else "")
        )
    if outside:
        warnings.warn(links, stacklevel=3)
    return sorted(found), sorted(other)


def folder_classes(
    root: pathlib.Path, paths: list[str], names: Sequence[str] | None = None, kind: str = "video"
) -> tuple[list[str], list[int]]:
    """Class names, and the label of each path; loose files beside sub-folders have no class: an error."""
    folders = [printable(path.split("/")[0]) if "/" in path else None for path in paths]
    if not any(folders):
        folders = [SINGLE_CLASS] * len(paths)
    elif None in folders:
        loose = [path for path, folder in zip(paths, folders, strict=True) if folder is None]
        raise ValueError(
            f"{root} holds sub-folders of {kind}s and, beside them, {len(loose)} {kind}s without a class "
            f"(the first is {printable(loose[0])}); move these into a sub-folder"
        )
    found = sorted(set(folders))
    names = found if names is None else list(names)
    unknown = sorted(set(found) - set(names))
    if unknown or len(set(names)) != len(names):
        raise ValueError(f"class_names={names}: expected different names, among them {', '.join(unknown or found)}")
    number = {name: label for label, name in enumerate(names)}
    return names, [number[folder] for folder in folders]
