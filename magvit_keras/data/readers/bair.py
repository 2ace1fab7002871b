"""BAIR Robot Pushing: a robot arm that pushes things about, 43,264 + 256 videos of 30 frames, 64x64."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from magvit_keras.data.arguments import check_choice
from magvit_keras.data.clip_source import StoredVideo
from magvit_keras.data.files.images import ArrayVideo, ImageVideo
from magvit_keras.data.readers.record_videos import RecordVideos, prepared_folder, shards
from magvit_keras.data.source import UnreadableVideo

SPLITS = ("train", "test")
CAMERAS = ("image_aux1", "image_main")
FRAMES, SIZE = 30, 64


class BAIR(RecordVideos):
    """BAIR Robot Pushing, as its authors publish it or as TensorFlow Datasets prepares it; which one is found out.

        ROOT/softmotion30_44k/{train,test}/traj_<A>_to_<B>.tfrecords          raw pixels, or
        ROOT/bair_robot_pushing_small/2.0.0/bair_robot_pushing_small-{train,test}.tfrecord-...    PNG

    Args:
        root: the folder, or the folder below it that is named above.
        split: "train" or "test".
        camera: "image_aux1", which the paper uses, or "image_main".
        size: (height, width) of a clip in pixels.
        **clips: how clips are cut out, see `ClipSource`; `training` is the default of the split "train" alone.

    Raises:
        FileNotFoundError: neither form is in the folder.
        RecordError: a file ends early and `on_error="raise"`.
        ValueError: an argument is out of range.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = BAIR(write_sample("bair", tempfile.mkdtemp()), split="test")
        >>> len(clips.for_evaluation(windows="first")), len(clips.for_evaluation(windows=15))
        (4, 60)

    Reference:
        Ebert et al., Self-Supervised Visual Planning with Temporal Skip Connections (arXiv 1710.05268);
        MAGVIT (arXiv 2212.05199), App. B.3.
    """

    class_names = ("robot",)

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        camera: str = "image_aux1",
        size: tuple[int, int] = (SIZE, SIZE),
        **clips: Any,
    ):
        self.split_name, self.camera = check_choice("split", split, SPLITS), check_choice("camera", camera, CAMERAS)
        root = pathlib.Path(root)
        clips = {"training": split == "train", "size": size, **clips}
        prepared = prepared_folder(root, "bair_robot_pushing_small", split)
        if prepared is not None:
            files, keys = shards(prepared, split, clips.get("on_error", "skip")), [camera]
        else:
            files = raw_files(root, split)
            keys = [f"{time}/{camera}/encoded" for time in range(FRAMES)]
        self.raw = prepared is None
        super().__init__(files, keys, **clips)

    def decode(self, features: Mapping[str, Any], name: str) -> StoredVideo:
        """The 30 frames of the camera."""
        if not self.raw:
            frames = features.get(self.camera)
            if not isinstance(frames, list) or len(frames) != FRAMES:
                found = f"{len(frames)} values" if frames is not None else "nothing"
                raise UnreadableVideo(name, f"{self.camera}: expected {FRAMES} images, found {found}")
            return ImageVideo(frames, name, self.max_pixels)
        video = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
        for time in range(FRAMES):
            key = f"{time}/{self.camera}/encoded"
            value = features.get(key)
            if not isinstance(value, list) or len(value) != 1 or len(value[0]) != video[0].size:
                found = (
                    "nothing" if value is None else f"{sum(map(len, value)) if isinstance(value, list) else 0} bytes"
                )
                raise UnreadableVideo(name, f"{key}: expected {video[0].size} bytes, found {found}")
            video[time] = np.frombuffer(value[0], np.uint8).reshape(SIZE, SIZE, 3)
        return ArrayVideo(video)


def raw_files(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The authors' files of a split, in the order of their trajectories.

    Raises:
        FileNotFoundError: there is none.
    """
    for folder in (root / "softmotion30_44k" / split, root / split):
        if files := list(folder.glob("traj_*.tfrecords")):
            return sorted(files, key=lambda path: (int((re.findall(r"\d+", path.name) or ["0"])[0]), path.name))
    raise FileNotFoundError(
        f"neither softmotion30_44k/{split}/traj_<A>_to_<B>.tfrecords nor bair_robot_pushing_small/<version>/ "
        f"with files of the split {split} is in {root}"
    )
