"""Small made data sets in the formats of the published ones, for trying things without a download."""

from __future__ import annotations

import json
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.data.files.encode import write_video
from magvit_keras.data.files.examples import make_example
from magvit_keras.data.files.images import encode_image
from magvit_keras.data.files.records import write_records
from magvit_keras.data.shapes.moving_shapes import MovingShapes

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASSES = {"shapes": ("circle", "star"), "motions": ("orbit",)}
_NAMES = ("CircleOrbit", "StarOrbit")
_DRIVES, _PICTURES = 2, 33


def write_sample(name: str, folder: str | os.PathLike, num_videos: int = 4) -> pathlib.Path:
    """Writes moving shapes in the format of a data set, in each of its splits.

    Args:
        name: one of `SAMPLES`, the formats that `open_source` reads.
        folder: made where it is missing.
        num_videos: videos in each split, 2 or more; nuScenes always has two drives.

    Returns:
        The folder, which the format's reader takes.

    Raises:
        ValueError: the format is unknown, or `num_videos` is below 2.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import open_source
        >>> folder = write_sample("moving_mnist", tempfile.mkdtemp())
        >>> open_source("moving_mnist", folder)[0]["video"].shape
        (16, 64, 64, 3)
    """
    if name not in SAMPLES:
        raise ValueError(f"Unknown format {name!r}; expected one of {', '.join(SAMPLES)}")
    if num_videos < 2:
        raise ValueError(f"num_videos={num_videos!r}: expected 2 or more")
    root = pathlib.Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    SAMPLES[name](root, num_videos)
    return root


def _clips(count: int, split: str = "train", frames: int = 20, size: tuple[int, int] = (48, 64)) -> list[dict]:
    return list(MovingShapes(count, frames, size, split="train" if split == "train" else "test", **_CLASSES))


def _text(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _video(path: pathlib.Path, clip: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, clip["video"])


def _records(path: pathlib.Path, examples: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, [make_example(example) for example in examples])


def _folder(root: pathlib.Path, count: int) -> None:
    MovingShapes(count, 20, (48, 64), **_CLASSES).write_videos(root)


def _ucf101(root: pathlib.Path, count: int) -> None:
    lists = root / "ucfTrainTestlist"
    _text(lists / "classInd.txt", "".join(f"{i} {name}\r\n" for i, name in enumerate(_NAMES, 1)))
    for split, group in (("train", 8), ("test", 1)):
        lines = []
        for number, clip in enumerate(_clips(count, split), 1):
            name = _NAMES[clip["label"]]
            path = f"{name}/v_{name}_g{group:02}_c{number:02}.avi"
            _video(root / "UCF-101" / path, clip)
            lines.append(path + (f" {clip['label'] + 1}" if split == "train" else ""))
        for fold in (1, 2, 3):
            _text(lists / f"{split}list{fold:02}.txt", "\r\n".join(lines) + "\r\n")


def _prepared(folder: pathlib.Path, count: int) -> None:
    for split in ("train", "test"):
        examples = [
            {"video": [encode_image(frame, "JPEG") for frame in clip["video"]], "label": [clip["label"]]}
            for clip in _clips(count, split)
        ]
        _records(folder / f"ucf101-{split}.tfrecord-00000-of-00001", examples)
    _text(folder / "label.labels.txt", "\n".join(_NAMES) + "\n")


def _prepared_ucf101(root: pathlib.Path, count: int) -> None:
    for fold in (1, 2, 3):
        _prepared(root / f"ucf101/ucf101_{fold}/2.0.0", count)


def _bair(root: pathlib.Path, count: int) -> None:
    for split in ("train", "test"):
        examples = []
        for clip in _clips(count, split, 30, (64, 64)):
            example = {}
            for time, frame in enumerate(clip["video"]):
                example[f"{time}/image_main/encoded"] = [frame[:, ::-1].tobytes()]
                example[f"{time}/image_aux1/encoded"] = [frame.tobytes()]
                example[f"{time}/action"], example[f"{time}/endeffector_pos"] = [0.0] * 4, [0.0] * 3
            examples.append(example)
        _records(root / "softmotion30_44k" / split / f"traj_0_to_{count - 1}.tfrecords", examples)


def _kinetics600(root: pathlib.Path, count: int) -> None:
    for split in ("train", "validate", "test"):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for number, clip in enumerate(_clips(count, split)):
            _video(root / f"{split}{number:06}_000010_000020.mp4", clip)
            rows.append(f"{_NAMES[clip['label']]},{split}{number:06},10,20,{split}")
        _text(root / f"{split}.csv", "\n".join(rows) + "\n")


def _ssv2(root: pathlib.Path, count: int) -> None:
    templates = [f"Moving [something] like a {name}" for name in _NAMES]
    labels = {template.replace("[", "").replace("]", ""): str(i) for i, template in enumerate(templates)}
    _text(root / "labels.json", json.dumps(labels))
    for split, first in (("train", 1), ("validation", 1000), ("test", 2000)):
        entries = []
        for number, clip in enumerate(_clips(count, split), first):
            _video(root / f"20bn-something-something-v2/{number}.webm", clip)
            entry = {"id": str(number), "label": "moving", "template": templates[clip["label"]], "placeholders": ["it"]}
            entries.append({"id": entry["id"]} if split == "test" else entry)
        _text(root / f"{split}.json", json.dumps(entries))


def _nuscenes(root: pathlib.Path, count: int) -> None:
    rows = []
    for drive, clip in enumerate(_clips(_DRIVES, frames=_PICTURES, size=(45, 80))):
        for i, frame in enumerate(clip["video"]):
            name = f"{'sweeps' if i % 6 else 'samples'}/CAM_FRONT/drive{drive}__CAM_FRONT__{1_000_000 + i}.jpg"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(encode_image(frame, "JPEG"))
            tokens = {"prev": f"{drive}-{i - 1}" if i else "", "next": f"{drive}-{i + 1}" if i < _PICTURES - 1 else ""}
            row = {"token": f"{drive}-{i}", "filename": name, "timestamp": 1_000_000 + i, "is_key_frame": i % 6 == 0}
            rows.append({**row, **tokens, "calibrated_sensor_token": "0"})
    _text(root / "v1.0-trainval/sample_data.json", json.dumps(rows, indent=0))


def _objectron(root: pathlib.Path, count: int) -> None:
    for batch, split in enumerate(("train", "test")):
        lines: dict[str, list[str]] = {}
        for number, clip in enumerate(_clips(count, split)):
            name = ("cup", "shoe")[clip["label"]]
            place = f"{name}/batch-{batch}/{number}"
            _video(root / "videos" / place / "video.mov", clip)
            (root / "videos" / place / "video.mov").rename(root / "videos" / place / "video.MOV")
            lines.setdefault(name, []).append(place)
        for name, places in lines.items():
            _text(root / f"index/{name}_annotations_{split}", "\n".join(places) + "\n")


def _moving_mnist(root: pathlib.Path, count: int) -> None:
    videos = np.stack([clip["video"][..., 0] for clip in _clips(count, size=(64, 64))], axis=1)
    np.save(root / "mnist_test_seq.npy", videos)


def _web(root: pathlib.Path, count: int) -> None:
    rows = ["path,label,caption"]
    for number, clip in enumerate(_clips(count)):
        _video(root / f"videos/{number}.mp4", clip)
        rows.append(f'videos/{number}.mp4,{_NAMES[clip["label"]]},"A shape, moving."')
    _text(root / "list.csv", "\n".join(rows) + "\n")


SAMPLES: dict[str, Callable[[pathlib.Path, int], None]] = {
    "folder": _folder,
    "ucf101": _ucf101,
    "ucf101_tfds": _prepared_ucf101,
    "bair": _bair,
    "kinetics600": _kinetics600,
    "ssv2": _ssv2,
    "nuscenes": _nuscenes,
    "objectron": _objectron,
    "moving_mnist": _moving_mnist,
    "tfds": _prepared,
    "web": _web,
}
