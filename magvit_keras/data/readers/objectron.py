"""Objectron: videos of nine kinds of everyday objects, filmed by phone from all sides."""

from __future__ import annotations

import os
from typing import Any

from magvit_keras.data.arguments import check_choice
from magvit_keras.data.files.tables import Skipped, read_lines
from magvit_keras.data.readers.video_files import VideoFiles, safe_path
from magvit_keras.data.readers.video_folder import find_videos

SPLITS = ("train", "test")


class Objectron(VideoFiles):
    """Objectron by its index files.

        ROOT/videos/<class>/batch-<i>/<j>/video.MOV
        ROOT/index/<class>_annotations_{train,test}        lines like cup/batch-1/2

    Args:
        root: the folder with both parts.
        split: "train" or "test".
        **clips: `decoder`, see `VideoFiles`, and how clips are cut out, see `ClipSource`; `training` is the default of
            the split "train" alone.

    Raises:
        FileNotFoundError: there is no index, or all listed videos are missing, or one with `on_error="raise"`.
        ValueError: an argument is out of range, or a line is wrong and `on_error="raise"`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = Objectron(write_sample("objectron", tempfile.mkdtemp()), split="test", size=(32, 32))
        >>> clips.class_names, len(clips.for_evaluation(windows=5))
        (['cup', 'shoe'], 20)

    Reference:
        Ahmadyan et al., Objectron (arXiv 2012.09988).
    """

    def __init__(self, root: str | os.PathLike, split: str = "train", **clips: Any):
        self.split_name = check_choice("split", split, SPLITS)
        super().__init__(root, **{"training": split == "train", **clips})
        indexes = sorted((self.root / "index").glob(f"*_{split}"))
        if not indexes:
            raise FileNotFoundError(f"no index in {self.root / 'index'}; expected <class>_annotations_{split}")
        self.root = self.root / "videos" if (self.root / "videos").is_dir() else self.root
        found = {file.lower(): file for file in find_videos(self.root, ["mov", "mp4"])}
        paths = []
        for index in indexes:
            skipped, before = Skipped(index, self.on_error), len(paths)
            for where, line in read_lines(index):
                folder = safe_path(line, f"{index}, {where}")
                if folder.count("/") != 2:
                    skipped.add(where, f"{line!r} is not class/batch-i/j")
                    continue
                paths.append(f"{folder}/video.MOV")
            skipped.warn(len(paths) - before)
        names = sorted({path.split("/")[0] for path in paths})
        labels = [names.index(path.split("/")[0]) for path in paths]
        self.list_videos(paths, labels, names, lambda path: found.get(path.lower()))
