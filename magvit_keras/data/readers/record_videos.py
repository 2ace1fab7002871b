"""Videos in TFRecord files: the base of their readers, and data sets as TensorFlow Datasets prepares them."""

from __future__ import annotations

import abc
import os
import pathlib
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from magvit_keras.data.arguments import listed
from magvit_keras.data.clip_source import ClipSource, StoredVideo
from magvit_keras.data.files.examples import parse_example
from magvit_keras.data.files.images import ImageVideo
from magvit_keras.data.files.records import RecordError, RecordFile
from magvit_keras.data.files.tables import read_lines
from magvit_keras.data.source import UnreadableVideo, UnreadableVideoWarning

SINGLE_CLASS = "video"


class RecordVideos(ClipSource):
    """Clips out of TFRecord files of `tf.train.Example`, one video each: the base of their readers.

    A reader defines `class_names` and `decode(features, name)`. Of files that end early the complete
    records are read, and one warning names them.

    Args:
        files: the files, in order.
        keys: the features that `decode` needs; None reads all.
        **clips: how clips are cut out, see `ClipSource`.

    Raises:
        FileNotFoundError: there is no file.
        RecordError: a file ends early and `on_error="raise"`, or no record is readable.
        ValueError: an argument of `ClipSource` is out of range.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from magvit_keras.data import make_example, write_records
        >>> from magvit_keras.data.files.images import ArrayVideo
        >>> class Grey(RecordVideos):
        ...     class_names = ("grey",)
        ...     def decode(self, features, name):
        ...         return ArrayVideo(np.frombuffer(features["pixels"][0], np.uint8).reshape(-1, 16, 16))
        >>> record = make_example({"pixels": [bytes(20 * 16 * 16)]})
        >>> Grey([write_records(tempfile.mkdtemp() + "/one.tfrecord", [record])], size=16)[0]["video"].shape
        (16, 16, 16, 3)
    """

    def __init__(self, files: Sequence[str | os.PathLike], keys: Collection[str] | None = None, **clips: Any):
        super().__init__(**clips)
        if not files:
            raise FileNotFoundError("no record file")
        self.keys = None if keys is None else frozenset(keys)
        self._files = [RecordFile(path) for path in files]
        self._index = [(number, record) for number, file in enumerate(self._files) for record in range(len(file))]
        damaged = [file for file in self._files if file.damage is not None]
        if damaged and (self.on_error == "raise" or not self._index):
            raise RecordError(damaged[0].path, damaged[0].damage)
        if not self._index:
            raise RecordError(self._files[0].path, "it holds no record")
        if damaged:
            warnings.warn(
                f"{len(damaged)} of {len(self._files)} record files end early; what follows in them is lost:\n"
                + listed({file.path.name: file.damage for file in damaged}),
                UnreadableVideoWarning,
                stacklevel=3,
            )

    @property
    def num_videos(self) -> int:
        """The number of records."""
        return len(self._index)

    def name_of(self, video: int) -> str:
        """File and number of the record."""
        file, record = self._index[video]
        return f"{self._files[file].path.name}[{record}]"

    @abc.abstractmethod
    def decode(self, features: Mapping[str, Any], name: str) -> StoredVideo:
        """Makes a video of the features of a record.

        Args:
            features: see `parse_example`.
            name: what messages call the record.

        Raises:
            UnreadableVideo: a feature is missing or of another kind.
        """

    def open_video(self, video: int) -> StoredVideo:
        """Reads a record and checks it; frames are decoded when they are asked for."""
        file, record = self._index[video]
        try:
            return self.decode(parse_example(self._files[file][record], self.keys), self.name_of(video))
        except UnreadableVideo:
            raise
        except (RecordError, ValueError, OSError, IndexError) as error:
            reason = error.reason if isinstance(error, RecordError) else str(error)
            raise UnreadableVideo(self.name_of(video), reason) from None


class PreparedVideos(RecordVideos):
    """A video data set as TensorFlow Datasets prepares it, read without TensorFlow.

        FOLDER/<name>-<split>.tfrecord-00000-of-00016, ...
        FOLDER/label.labels.txt        names of the classes, where there are any

    Args:
        folder: the folder of one version, for example `ucf101/ucf101_1/2.0.0`.
        split: the split in the files' names.
        video: the feature that holds a video's frames, PNG or JPEG each.
        label: the feature of the class, counted from 0; None puts all videos into one class.
        class_names: the names of the classes; by default those of `label.labels.txt`, or numbers.
        **clips: how clips are cut out, see `ClipSource`.

    Raises:
        FileNotFoundError: there is no file of that split, or one is missing and `on_error="raise"`.
        RecordError: see `RecordVideos`.
        ValueError: an argument is out of range, or no names are known for the labels.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras.data.files.examples import make_example
        >>> from magvit_keras.data.files.images import encode_image
        >>> from magvit_keras.data.files.records import write_records
        >>> folder = tempfile.mkdtemp()
        >>> frames = [encode_image(np.full((16, 16, 3), value, np.uint8)) for value in range(6)]
        >>> _ = write_records(f"{folder}/tiny-train.tfrecord-00000-of-00001", [make_example({"video": frames})])
        >>> PreparedVideos(folder, label=None, num_frames=4, size=16)[0]["video"].shape
        (4, 16, 16, 3)

    Reference:
        https://www.tensorflow.org/datasets
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str = "train",
        video: str = "video",
        label: str | None = "label",
        class_names: Sequence[str] | None = None,
        **clips: Any,
    ):
        folder = pathlib.Path(folder)
        clips = {"training": split == "train", **clips}
        files = shards(folder, split, clips.get("on_error", "skip"))
        self.split_name, self.video, self.label = split, video, label
        if class_names is None and label is not None:
            names = folder / f"{label}.labels.txt"
            if not names.is_file():
                raise ValueError(f"{names} does not exist; give class_names=[...], or label=None")
            class_names = [line for _, line in read_lines(names)]
        self._class_names = [SINGLE_CLASS] if class_names is None else list(class_names)
        super().__init__(files, [name for name in (video, label) if name is not None], **clips)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; the label of a clip is its position in this list."""
        return list(self._class_names)

    def decode(self, features: Mapping[str, Any], name: str) -> StoredVideo:
        """The frames of `video`, and the class of `label`."""
        frames = features.get(self.video)
        if not isinstance(frames, list) or not frames:
            raise UnreadableVideo(name, f"no images in the feature {self.video!r}")
        label = 0
        if self.label is not None:
            values = features.get(self.label, [])
            if isinstance(values, list) or len(values) != 1 or not 0 <= values[0] < len(self._class_names):
                found = values if isinstance(values, list) else values.tolist()
                expected = f"one number from 0 to {len(self._class_names) - 1}"
                raise UnreadableVideo(name, f"the feature {self.label!r} is {str(found)[:60]}; expected {expected}")
            label = int(values[0])
        return ImageVideo(frames, name, self.max_pixels, label)


def shards(folder: pathlib.Path, split: str, on_error: str = "skip") -> list[pathlib.Path]:
    """The files of a split that TensorFlow Datasets has prepared.

    Raises:
        FileNotFoundError: there is none, or one is missing and `on_error="raise"`.
    """
    pattern = re.compile(rf"(.+)-{re.escape(split)}\.tfrecord-(\d{{5}})-of-(\d{{5}})")
    names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    found = {int(match[2]): (match[0], int(match[3])) for match in map(pattern.fullmatch, names) if match}
    if not found:
        raise FileNotFoundError(f"no file <name>-{split}.tfrecord-00000-of-00001 or the like in {folder}")
    total = max(count for _, count in found.values())
    missing = sorted(set(range(total)) - set(found))
    if missing:
        text = (
            f"{len(missing)} of the {total} files of the split {split} are not in {folder}; the first is {missing[0]}"
        )
        if on_error == "raise":
            raise FileNotFoundError(text)
        warnings.warn(text, UnreadableVideoWarning, stacklevel=3)
    return [folder / found[number][0] for number in sorted(found)]


def prepared_folder(root: pathlib.Path, name: str, split: str) -> pathlib.Path | None:
    """Where a prepared data set lies: the folder itself, or its highest version below `root/name`; None if nowhere."""
    below = sorted((root / name).glob("*.*.*"), key=_version, reverse=True) if (root / name).is_dir() else []
    for folder in [root, *below]:
        if any(folder.glob(f"*-{split}.tfrecord-*-of-*")):
            return folder
    return None


def _version(folder: pathlib.Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in folder.name.split("."))
