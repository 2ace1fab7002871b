"""Something-Something-v2: 174 things that people do with objects, 220,847 videos."""

from __future__ import annotations

import os
from typing import Any

from magvit_keras.data.arguments import check_choice
from magvit_keras.data.files.tables import Skipped, first_file, read_json
from magvit_keras.data.readers.video_files import VideoFiles, safe_path
from magvit_keras.data.readers.video_folder import find_videos

SPLITS = ("train", "validation", "test")
_PREFIXES = ("", "labels/", "something-something-v2-", "labels/something-something-v2-")
_FOLDER = "20bn-something-something-v2"


class SomethingSomethingV2(VideoFiles):
    """Something-Something-v2 as it is published.

        ROOT/20bn-something-something-v2/<id>.webm
        ROOT/{labels,train,validation,test}.json      or ROOT/labels/..., or something-something-v2-labels.json, ...

    The class of a video is its template without square brackets. The test split has no classes: its labels are -1.
    Mirroring would turn "left to right" into its opposite, so `horizontal_flip` is best left off.

    Args:
        root: the folder.
        split: "train", "validation" or "test".
        **clips: `decoder`, see `VideoFiles`, and how clips are cut out, see `ClipSource`; `training` is the default of
            the split "train" alone.

    Raises:
        FileNotFoundError: a list is missing, or all listed videos are, or one with `on_error="raise"`.
        ValueError: a list is not as expected, or an entry is wrong and `on_error="raise"`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data.readers.samples import write_sample
        >>> clips = SomethingSomethingV2(write_sample("ssv2", tempfile.mkdtemp()), split="validation", size=(32, 32))
        >>> clips.class_names[0], len(clips.for_evaluation(windows=2))
        ('Moving something like a CircleOrbit', 8)

    Reference:
        Goyal et al., The "something something" video database (arXiv 1706.04261).
    """

    def __init__(self, root: str | os.PathLike, split: str = "train", **clips: Any):
        self.split_name = check_choice("split", split, SPLITS)
        super().__init__(root, **{"training": split == "train", **clips})
        labels_path = first_file(self.root, [f"{prefix}labels.json" for prefix in _PREFIXES], "the list of classes")
        path = first_file(self.root, [f"{prefix}{split}.json" for prefix in _PREFIXES], "the list of videos")
        names = read_json(labels_path, dict)
        try:
            number = {name: int(index) for name, index in names.items()}
        except (TypeError, ValueError):
            number = {}
        if not number or sorted(number.values()) != list(range(len(number))):
            raise ValueError(f"{labels_path}: expected templates with the numbers 0 to {len(names) - 1}, each once")
        self.root = self.root / _FOLDER if (self.root / _FOLDER).is_dir() else self.root
        found = {file: file for file in find_videos(self.root, ["webm"])}
        skipped, paths, labels = Skipped(path, self.on_error), [], []
        for position, entry in enumerate(read_json(path, list)):
            where = f"entry {position}"
            if not isinstance(entry, dict) or not str(entry.get("id", "")).strip():
                skipped.add(where, "expected an object with an id")
                continue
            name = str(entry.get("template", "")).replace("[", "").replace("]", "")
            if split != "test" and name not in number:
                skipped.add(where, f"the template {entry.get('template')!r} is none of the {len(number)} classes")
                continue
            paths.append(safe_path(f"{str(entry['id']).strip()}.webm", f"{path}, {where}"))
            labels.append(number.get(name, -1))
        skipped.warn(len(paths))
        self.list_videos(paths, labels, sorted(number, key=number.get), found.get)
