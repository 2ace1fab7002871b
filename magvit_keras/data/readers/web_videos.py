"""Videos from anywhere, listed in a CSV or JSON lines file with labels or captions."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from magvit_keras.data.files.tables import Skipped, first_file, read_csv, read_jsonl
from magvit_keras.data.readers.video_files import VideoFiles, safe_path

SINGLE_CLASS = "video"


class WebVideos(VideoFiles):
    """Videos of a folder by a list, one row each: CSV with a header, or JSON objects, one a line (.jsonl).

        ROOT/list.csv          path,label,caption
        ROOT/a/1.mp4

    Args:
        root: the folder; paths in the list are relative to it.
        table: the list, relative to `root` or absolute; ends in .csv or .jsonl.
        path: the column of the path.
        label: the column of the class; None puts all videos into one class.
        caption: the column of a text, which comes with each clip as `"caption"`; None for no texts.
        class_names: the classes in the wanted order; by default those of the list, sorted: as numbers where all are
            whole numbers, and else as texts.
        **clips: `decoder`, see `VideoFiles`, and how clips are cut out, see `ClipSource`.

    Attributes:
        captions: the text of each video, or None.

    Raises:
        FileNotFoundError: the list is missing, or all listed videos are, or one with `on_error="raise"`.
        ValueError: a column is missing, a path leads out of the folder, or a row is wrong and `on_error="raise"`.

    Example:
        >>> import pathlib, tempfile
        >>> from magvit_keras.data import MovingShapes
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> file = MovingShapes(1, num_frames=6, size=(32, 32)).write_videos(folder)[0].relative_to(folder)
        >>> _ = (folder / "list.csv").write_text(f"path,caption\\n{file.as_posix()},a shape that moves\\n")
        >>> clips = WebVideos(folder, "list.csv", caption="caption", num_frames=4, size=16)
        >>> clips[0]["caption"], clips[0]["video"].shape
        ('a shape that moves', (4, 16, 16, 3))
    """

    def __init__(
        self,
        root: str | os.PathLike,
        table: str | os.PathLike,
        path: str = "path",
        label: str | None = None,
        caption: str | None = None,
        class_names: Sequence[str] | None = None,
        **clips: Any,
    ):
        super().__init__(root, **clips)
        readers = {".csv": read_csv, ".jsonl": read_jsonl}
        if pathlib.Path(table).suffix.lower() not in readers:
            raise ValueError(f"table={os.fspath(table)!r}: expected a file that ends in {' or '.join(readers)}")
        table = first_file(self.root, [os.fspath(table)], "the list of videos, which `table` names,")
        skipped = Skipped(table, self.on_error)
        columns = [name for name in (path, label, caption) if name is not None]
        listed = []
        for where, row in readers[table.suffix.lower()](table, columns, skipped):
            if not isinstance(row[path], str) or not row[path]:
                skipped.add(where, f"the {path} is {row[path]!r}")
            elif label is not None and (not isinstance(row[label], (str, int)) or row[label] == ""):
                skipped.add(where, f"the {label} is {row[label]!r}")
            else:
                name = SINGLE_CLASS if label is None else str(row[label])
                text = "" if caption is None or row[caption] is None else str(row[caption])
                listed.append((safe_path(row[path], f"{table}, {where}"), name, text))
        skipped.warn(len(listed))
        found = {name for _, name, _ in listed}
        names = _in_order(found) if class_names is None else list(class_names)
        unknown = sorted(found - set(names))
        if unknown:
            raise ValueError(f"class_names lacks {', '.join(unknown[:5])}, of which {table} has videos")
        number = {name: position for position, name in enumerate(names)}
        paths, labels = [file for file, _, _ in listed], [number[name] for _, name, _ in listed]
        kept = self.list_videos(paths, labels, names, lambda path: path if (self.root / path).is_file() else None)
        self.captions = None if caption is None else [listed[i][2] for i in kept]

    def read(self, index: int, epoch: int = 0) -> dict:
        """Decodes one clip; see `Source.read`. With captions there is a `"caption"` too."""
        sample = super().read(index, epoch)
        if self.captions is not None:
            sample["caption"] = self.captions[index // self.clips_per_video]
        return sample


def _in_order(names: set[str]) -> list[str]:
    if all(re.fullmatch(r"-?[0-9]+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))  # so that classes 0 to 11 keep their numbers
    return sorted(names)
