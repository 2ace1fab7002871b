"""UCF-101: 101 kinds of human action, 13,320 videos."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from magvit_keras.data.arguments import check_choice
from magvit_keras.data.files.tables import Skipped, first_file, read_lines
from magvit_keras.data.readers.record_videos import PreparedVideos, prepared_folder
from magvit_keras.data.readers.video_files import VideoFiles, safe_path
from magvit_keras.data.readers.video_folder import find_videos

SPLITS = ("train", "test")
FOLDS = (1, 2, 3)


class UCF101(VideoFiles):
    """UCF-101 as its authors publish it, by one of the three official lists.

        ROOT/UCF-101/<Class>/v_<Class>_gNN_cNN.avi
        ROOT/ucfTrainTestlist/{classInd,trainlist01,testlist01,...}.txt

    Files are matched without regard to case: the folder `HandstandPushups` holds files, and the lists name them,
    `v_HandStandPushups_...`.

    Args:
        root: the folder with both parts.
        split: "train" or "test".
        fold: which of the official lists, 1 to 3. The paper uses 1: 9,537 and 3,783 videos.
        **clips: `decoder`, see `VideoFiles`, and how clips are cut out, see `ClipSource`; `training` is the default of
            the split "train" alone.

    Raises:
        FileNotFoundError: a list is missing, or all listed videos are, or one with `on_error="raise"`.
        ValueError: an argument is out of range, or a line of a list is wrong and `on_error="raise"`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = UCF101(write_sample("ucf101", tempfile.mkdtemp()), split="train", fold=1, size=(32, 32))
        >>> clips[0]["video"].shape, clips.class_names
        ((16, 32, 32, 3), ['CircleOrbit', 'StarOrbit'])

    Reference:
        https://www.crcv.ucf.edu/data/UCF101.php; MAGVIT (arXiv 2212.05199), Sec. 4.1.
    """

    def __init__(self, root: str | os.PathLike, split: str = "train", fold: int = 1, **clips: Any):
        self.split_name, self.fold = check_choice("split", split, SPLITS), check_choice("fold", fold, FOLDS)
        super().__init__(root, **{"training": split == "train", **clips})
        lists = "ucfTrainTestlist"
        names = _class_names(first_file(self.root, [f"{lists}/classInd.txt", "classInd.txt"], "the list of classes"))
        name = f"{split}list{fold:02d}.txt"
        path = first_file(self.root, [f"{lists}/{name}", name], "the list of videos")
        videos = self.root / "UCF-101" if (self.root / "UCF-101").is_dir() else self.root
        found = {file.lower(): file for file in find_videos(videos, ["avi"])}
        self.root = videos
        number = {name.lower(): label for label, name in enumerate(names)}
        skipped, paths, labels = Skipped(path, self.on_error), [], []
        for where, line in read_lines(path):
            # The train lists write the class behind the file; it is the folder's, and test lists leave it out.
            file = safe_path(line.split()[0], f"{path}, {where}")
            label = number.get(file.split("/")[0].lower())
            if label is None or "/" not in file:
                skipped.add(where, f"{line!r} is not Class/video.avi of one of the {len(names)} classes")
                continue
            paths.append(file)
            labels.append(label)
        skipped.warn(len(paths))
        self.list_videos(paths, labels, names, lambda path: found.get(path.lower()))


class PreparedUCF101(PreparedVideos):
    """UCF-101 as TensorFlow Datasets prepares it (2.0.0): frames are JPEG images, classes count from 0.

        ROOT/ucf101/ucf101_<fold>/2.0.0/ucf101-{train,test}.tfrecord-...

    Args:
        root: the folder, or that of the version.
        split: "train" or "test".
        fold: which of the official lists, 1 to 3.
        **clips: how clips are cut out, see `ClipSource`; `training` is the default of the split "train" alone.

    Raises:
        FileNotFoundError: the files are missing, or one is and `on_error="raise"`.
        RecordError: a file ends early and `on_error="raise"`.
        ValueError: an argument is out of range, or `label.labels.txt` is missing.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = PreparedUCF101(write_sample("ucf101_tfds", tempfile.mkdtemp()), split="test", size=(32, 32))
        >>> clips[0]["video"].shape
        (16, 32, 32, 3)

    Reference:
        https://www.tensorflow.org/datasets/catalog/ucf101
    """

    def __init__(self, root: str | os.PathLike, split: str = "train", fold: int = 1, **clips: Any):
        self.split_name, self.fold = check_choice("split", split, SPLITS), check_choice("fold", fold, FOLDS)
        root = pathlib.Path(root)
        folder = prepared_folder(root, f"ucf101/ucf101_{fold}", split) or prepared_folder(root, f"ucf101_{fold}", split)
        if folder is None:
            raise FileNotFoundError(f"ucf101/ucf101_{fold}/<version>/ with files of the split {split} is not in {root}")
        super().__init__(folder, split, "video", "label", **clips)


def _class_names(path: pathlib.Path) -> list[str]:
    """The classes of `classInd.txt` in the order of their numbers, which start at 1."""
    names = {}
    for where, line in read_lines(path):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise ValueError(f"{path}, {where}: expected a number and a class, received {line!r}")
        names[int(number)] = name.strip()
    if sorted(names) != list(range(1, len(names) + 1)):
        raise ValueError(f"{path}: expected the numbers 1 to {len(names)}, each once")
    return [names[number] for number in sorted(names)]
