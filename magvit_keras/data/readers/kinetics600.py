"""Kinetics-600: 10-second videos of 600 kinds of human action."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from magvit_keras.data.arguments import check_choice
from magvit_keras.data.files.tables import Skipped, first_file, read_csv
from magvit_keras.data.readers.video_files import VideoFiles, safe_path
from magvit_keras.data.readers.video_folder import find_videos

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
SPLITS = {"train": ("train",), "validation": ("validate", "val", "validation"), "test": ("test",)}
_DROPPED = str.maketrans({" ": "_", "'": None, "(": None, ")": None})


class Kinetics600(VideoFiles):
    """Kinetics-600 by its CSV, whose columns are found by name.

        ROOT/{train,validate,test}.csv          label, youtube_id, time_start, time_end, split
        ROOT/{youtube_id}_{start:06}_{end:06}.mp4               or
        ROOT/<split>/<label>/{youtube_id}_{start:06}_{end:06}.mp4   (spaces as _, without ' ( ))

    Args:
        root: the folder.
        split: "train", "validation" or "test".
        csv: the list, relative to `root` or absolute; by default `<split>.csv`, also below `annotations/`.
        class_names: the classes in the wanted order; by default those of the list, sorted. Give those of
            the training split where another one does not hold all classes.
        **clips: `decoder`, see `VideoFiles`, and how clips are cut out, see `ClipSource`; `training` is the default of
            the split "train" alone.

    Raises:
        FileNotFoundError: the list is missing, or all listed videos are, or one with `on_error="raise"`. Many
            videos of Kinetics are not online any more: `on_error="skip"` counts them in one warning.
        ValueError: a column is missing, an argument is out of range, or a row is wrong and `on_error="raise"`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = Kinetics600(write_sample("kinetics600", tempfile.mkdtemp()), split="validation", size=(32, 32))
        >>> len(clips), len(clips.for_evaluation(windows=2, crops=3))
        (4, 24)

    Reference:
        Carreira et al., A Short Note about Kinetics-600 (arXiv 1808.01340).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        csv: str | os.PathLike | None = None,
        class_names: Sequence[str] | None = None,
        **clips: Any,
    ):
        self.split_name = check_choice("split", split, SPLITS)
        super().__init__(root, **{"training": split == "train", **clips})
        names = [f"{folder}{name}.csv" for folder in ("", "annotations/") for name in SPLITS[split]]
        path = first_file(self.root, names if csv is None else [os.fspath(csv)], "the list of videos")
        skipped = Skipped(path, self.on_error)
        rows = read_csv(path, COLUMNS, skipped)
        listed = []
        for where, row in rows:
            if row["split"] not in SPLITS[split]:
                continue
            try:
                start, end = (round(float(row[name])) for name in ("time_start", "time_end"))
                if not 0 <= start < end < 10**6:
                    raise ValueError
            except (ValueError, OverflowError):
                skipped.add(where, f"time {row['time_start']!r} to {row['time_end']!r} is no span in seconds")
                continue
            name = safe_path(f"{row['youtube_id']}_{start:06}_{end:06}.mp4", f"{path}, {where}")
            listed.append((name, row["label"]))
        skipped.warn(len(listed))
        if not listed:
            raise ValueError(f"{path} has no row whose split is {' or '.join(SPLITS[split])}")
        classes = sorted({label for _, label in listed}) if class_names is None else list(class_names)
        number = {name: label for label, name in enumerate(classes)}
        unknown = sorted({label for _, label in listed} - set(classes))
        if unknown:
            raise ValueError(f"class_names lacks {', '.join(unknown[:5])}, of which {path} has videos")
        found = set(find_videos(self.root, ["mp4"]))
        folders = {file: label.translate(_DROPPED) for file, label in listed}

        def find(file):
            below = [f"{folder}/" for name in SPLITS[split] for folder in (f"{name}/{folders[file]}", name)]
            return next((at + file for at in ("", *below, f"{folders[file]}/") if at + file in found), None)

        self.list_videos([file for file, _ in listed], [number[label] for _, label in listed], classes, find)
