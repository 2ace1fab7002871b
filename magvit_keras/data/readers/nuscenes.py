"""nuScenes: drives through Boston and Singapore; here the front camera."""

from __future__ import annotations

import hashlib
import os
import pathlib
import warnings
from typing import Any

from magvit_keras.data.arguments import check_choice, check_count, listed
from magvit_keras.data.clip_source import ClipSource, StoredVideo
from magvit_keras.data.files.images import ImageVideo
from magvit_keras.data.files.tables import Skipped, first_file, iterate_json_array
from magvit_keras.data.readers.video_files import inside, safe_path
from magvit_keras.data.source import UnreadableVideoWarning

SPLITS = ("train", "validation", "all")
FOLDERS = ("samples/CAM_FRONT", "sweeps/CAM_FRONT")
_KEYS = {"token": str, "filename": str, "timestamp": int, "prev": str, "next": str}
_HELD_OUT = 0.1  # the paper's 5.4K and 0.6K videos


class NuScenes(ClipSource):
    """The front camera of nuScenes: pictures of 1600x900 that follow one another at 12 Hz, cut into videos.

        ROOT/<version>/sample_data.json
        ROOT/{samples,sweeps}/CAM_FRONT/*.jpg

    A drive is found by following `next` from its first picture through both folders. A tenth of the drives, always
    the same, is for validation, so that no drive is on both sides; the paper does not say how it divided them.

    Args:
        root: the folder.
        split: "train", "validation" or "all".
        version: the folder of the tables; by default `v1.0-trainval`, else `v1.0-mini`.
        video_frames: a drive is cut into videos of this many pictures, and a shorter rest is left out; None keeps
            drives whole. The paper has 32.
        **clips: how clips are cut out, see `ClipSource`; `training` is the default of the split "train" alone.

    Raises:
        FileNotFoundError: the table is missing, or all pictures are, or one with `on_error="raise"`.
        ValueError: the table is damaged, a file name leads out of the folder, no drive is long enough, or an argument
            is out of range.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = NuScenes(write_sample("nuscenes", tempfile.mkdtemp()), split="validation", size=(32, 32))
        >>> len(clips), len(clips.for_evaluation(windows=16, crops=3))
        (1, 48)

    Reference:
        Caesar et al., nuScenes (arXiv 1903.11027); MAGVIT (arXiv 2212.05199), App. B.3.
    """

    class_names = ("drive",)

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        version: str | None = None,
        video_frames: int | None = 32,
        **clips: Any,
    ):
        self.split_name = check_choice("split", split, SPLITS)
        super().__init__(**{"training": split == "train", **clips})
        self.root = pathlib.Path(root)
        versions = ["v1.0-trainval", "v1.0-mini"] if version is None else [version]
        path = first_file(self.root, [f"{name}/sample_data.json" for name in versions], "the table of pictures")
        drives = _split(_drives(path, self.on_error), split)
        self.video_frames = length = None if video_frames is None else check_count("video_frames", video_frames)
        self._videos = [
            drive[start : start + (length or len(drive))]
            for drive in drives
            for start in ([0] if length is None else range(0, len(drive) - length + 1, length))
        ]
        if not self._videos:
            raise ValueError(f"none of the {len(drives)} drives of {path} has {length or 1} pictures")
        self._leave_out_missing()

    def _leave_out_missing(self) -> None:
        there = {
            f"{folder}/{entry.name}"
            for folder in FOLDERS
            if (self.root / folder).is_dir()
            for entry in os.scandir(self.root / folder)
        }
        gone = {i: [file for file in video if file not in there] for i, video in enumerate(self._videos)}
        missing = {i: f"{len(files)} pictures are missing, first {files[0]}" for i, files in gone.items() if files}
        if missing and (len(missing) == len(self._videos) or self.on_error == "raise"):
            first = min(missing)
            raise FileNotFoundError(
                f"{len(missing)} of {len(self._videos)} videos are incomplete in {self.root}; {self.name_of(first)}: "
                f"{missing[first]}"
            )
        if missing:
            warnings.warn(
                f"{len(missing)} of {len(self._videos)} videos are incomplete in {self.root} and left out:\n"
                + listed({self.name_of(i): reason for i, reason in missing.items()}),
                UnreadableVideoWarning,
                stacklevel=3,
            )
        self._videos = [video for i, video in enumerate(self._videos) if i not in missing]

    @property
    def num_videos(self) -> int:
        """The number of videos."""
        return len(self._videos)

    def name_of(self, video: int) -> str:
        """The first picture of the video."""
        return self._videos[video][0]

    def open_video(self, video: int) -> StoredVideo:
        """Opens the first picture for its size; the others are read when they are asked for."""
        pictures = [inside(self.root, file) for file in self._videos[video]]
        return ImageVideo(pictures, self.name_of(video), self.max_pixels)


def _drives(path: pathlib.Path, on_error: str) -> list[list[str]]:
    """The pictures of each drive in their order, by the first picture's time."""
    skipped, rows = Skipped(path, on_error), {}
    # The table holds millions of rows of all sensors; only those of one camera are kept.
    for row in iterate_json_array(path, lambda row: _is_front(row.get("filename"))):
        wrong = [key for key, kind in _KEYS.items() if not isinstance(row.get(key), kind)]
        if wrong:
            skipped.add(row["filename"], f"no {', '.join(wrong)}, or of another kind")
            continue
        file = safe_path(row["filename"], str(path))
        rows[row["token"]] = (file, row["timestamp"], row["prev"], row["next"])
    skipped.warn(len(rows))
    if not rows:
        raise ValueError(f"{path} names no picture in {' or '.join(FOLDERS)}")
    drives = []
    for file, time, before, token in rows.values():
        if before in rows:
            continue
        drive, seen = [file], {before}
        while token in rows and token not in seen:  # a damaged table may go round in a circle
            seen.add(token)
            drive.append(rows[token][0])
            token = rows[token][3]
        drives.append((time, drive))
    return [drive for _, drive in sorted(drives)]


def _is_front(file: object) -> bool:
    return isinstance(file, str) and file.startswith(tuple(f"{folder}/" for folder in FOLDERS))


def _split(drives: list[list[str]], split: str) -> list[list[str]]:
    if split == "all":
        return drives
    # By a hash of the name, so that the held-out drives are spread over both cities and all days.
    order = sorted(drives, key=lambda drive: hashlib.sha256(drive[0].encode()).digest())
    held = {drive[0] for drive in order[: max(1, round(_HELD_OUT * len(drives)))]}
    return [drive for drive in drives if (drive[0] in held) == (split == "validation")]
