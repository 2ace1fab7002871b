"""What the studio does with a model: clips to start from, and one visitor's wish after the other."""

import base64
import io
import itertools
import pathlib
import queue
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from magvit_keras.commit.conditions import condition_plan
from magvit_keras.data import MovingShapes, read_clip
from magvit_keras.data.files.encode import gif_bytes
from magvit_keras.model.generation import GenerationStep
from magvit_keras.model.magvit import Magvit
from magvit_keras.visualize import decoding_steps, to_uint8, upscale

#: The task of a region that the visitor has painted.
PAINTED = "painted"
MOST_BYTES = 64 << 20  # of a dropped video
FPS = 8
_START_CLIPS, _MOST_CLIPS = 8, 24  # built-in ones, and all with those that were dropped
_GIF_WIDE = 256
# What is set to the decoding: name -> (smallest, largest, default)
_NUMBERS: dict[str, tuple] = {
    "num_steps": (1, 64, 12),
    "num_revisions": (0, 8, 1),
    "temperature": (0.0, 100.0, 4.5),
    "guidance_scale": (0.0, 20.0, 0.0),
    "seed": (0, 2**31 - 1, 0),
}


class Stopped(Exception):
    """The visitor has left."""


class Job:
    """A clip that a visitor has asked for: what happens to it, as events, and whether it is still wanted."""

    def __init__(self, number: int, options: dict[str, Any]):
        self.number, self.options = number, options
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        self.unwanted = threading.Event()


class Studio:
    """A model at work for several visitors, in the order in which they come.

    All work is done in one thread: the model makes one clip at a time, and memory is that of one clip.

    Args:
        magvit: a trained `Magvit`.
        name: what the page calls it.
        frame_stride: every how many frames of a dropped video one is taken.
    """

    def __init__(self, magvit: Magvit, name: str, frame_stride: int = 1):
        self.magvit, self.name, self.frame_stride = magvit, name, frame_stride
        frames, height, width = magvit.video_shape
        source = MovingShapes(_START_CLIPS, frames, (height, width), split="test", look="grid")
        self._clips: OrderedDict[str, np.ndarray] = OrderedDict()
        self._start = {self.add_clip(sample["video"]): source.class_names[sample["label"]] for sample in source}
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._numbers, self._finished = itertools.count(1), 0
        self.ready = False
        threading.Thread(target=self._work, daemon=True).start()

    def about(self) -> dict[str, Any]:
        """What the page needs to know of the model."""
        magvit = self.magvit
        frames, tasks = magvit.video_shape[0], []
        for task in magvit.tasks.values():
            tasks.append(
                {
                    "name": task.name,
                    "text": task.in_words(frames),
                    "needs_class": task.needs_class,
                    "reads_clip": not task.is_unconditional,
                    "given": _bits(condition_plan(task, magvit.video_shape, magvit.latent_shape).is_condition),
                }
            )
        names = magvit.class_names or [f"class {number}" for number in range(magvit.transformer.num_classes)]
        return {
            "name": self.name,
            "video_shape": magvit.video_shape,
            "latent_shape": magvit.latent_shape,
            "fps": FPS,
            "tasks": tasks,
            "classes": names,
            "guidance": magvit.class_dropout > 0,
            "revisions": not magvit.transformer.causal,
            "defaults": {name: default for name, (_, _, default) in _NUMBERS.items()},
            "clips": [self.describe(key, name) for key, name in self._start.items()],
            "most_bytes": MOST_BYTES,
        }

    def add_clip(self, clip: np.ndarray) -> str:
        """Keeps a clip, uint8 (T, H, W, 3), and returns its key; of those that were dropped, the oldest one goes."""
        key = str(len(self._clips) if len(self._clips) < _START_CLIPS else time.monotonic_ns())
        self._clips[key] = clip
        for old in list(self._clips)[_START_CLIPS : len(self._clips) - _MOST_CLIPS + _START_CLIPS]:
            del self._clips[old]
        return key

    def describe(self, key: str, name: str) -> dict[str, Any]:
        """A clip as the page takes it."""
        return {"key": key, "name": name.replace("_", " "), "film": _film(self._clips[key])}

    def read_video(self, body: BinaryIO, length: int) -> dict[str, Any]:
        """A dropped video as a clip of the model's size.

        The name that the visitor gave to the file is not asked for, and its kind is told by the first bytes: formats
        that name other files, such as playlists, never reach the decoder.

        Raises:
            ValueError: no video file of a known kind, or one that cannot be read.
        """
        frames, height, width = self.magvit.video_shape
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "dropped"
            with path.open("wb") as file:
                while length and (part := body.read(min(length, 1 << 20))):
                    file.write(part)
                    length -= len(part)
            with path.open("rb") as file:
                if not _is_video(file.read(16)):
                    raise ValueError("This is no video: expected an MP4, MOV, WebM, MKV, AVI or GIF file.")
            try:
                clip = read_clip(path, frames, (height, width), self.frame_stride)
                if len(clip) < frames:  # closer together, if there are not enough
                    clip = read_clip(path, frames, (height, width))
            except ValueError as error:
                raise ValueError(f"This video cannot be read: {getattr(error, 'reason', error)}.") from error
        found = len(clip)
        clip = np.concatenate([clip, np.repeat(clip[-1:], frames - found, axis=0)])
        described = self.describe(self.add_clip(clip), "your video")
        if found < frames:
            described["note"] = f"The model makes {frames} frames, this video has {found}: the last one stands still."
        return described

    def ask(self, wish: Mapping[str, Any]) -> Job:
        """Puts a wish at the end of the queue.

        Raises:
            ValueError: it is none that the model can fulfil.
        """
        job = Job(next(self._numbers), self._options(wish))
        self._jobs.put(job)
        return job

    def ahead(self, job: Job) -> int:
        """How many wishes come before this one."""
        return max(0, job.number - self._finished - 1)

    def _options(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `generate`."""
        magvit, name = self.magvit, wish.get("task")
        options: dict[str, Any] = {key: _number(key, wish.get(key)) for key in _NUMBERS}
        if name != PAINTED and name not in magvit.tasks:
            raise ValueError(f"This model has no task {name!r}; it has {', '.join((PAINTED, *magvit.tasks))}.")
        task = magvit.tasks.get(name)
        if task is not None:
            options["task"] = name
        if task is not None and task.needs_class:
            classes = magvit.transformer.num_classes
            if not isinstance(wish.get("label"), int) or not 0 <= wish["label"] < classes:
                raise ValueError(f"Choose a class, a number from 0 to {classes - 1}; received {wish.get('label')!r}.")
            options["label"] = [wish["label"]]
        if not (task is not None and task.needs_class and magvit.class_dropout):
            options["guidance_scale"] = 0.0
        if task is None or not task.is_unconditional:
            if wish.get("clip") not in self._clips:
                raise ValueError("This clip is no longer here: drop it again, or choose another one.")
            options |= {"video": self._clips[wish["clip"]][None], "keep_condition": wish.get("keep") is not False}
        if task is None:
            hole = _from_bits(wish.get("hole"), magvit.video_shape)
            if not hole.any():
                raise ValueError("Nothing is painted: paint over what the model is to invent.")
            options["condition_mask"] = ~hole
        if magvit.transformer.causal:
            options["num_revisions"] = 0
        return options

    def _work(self) -> None:
        """Warms up, so that the first visitor does not wait for compilers, and does one job after the other."""
        clip = next(iter(self._clips.values()))
        mask = np.ones(self.magvit.video_shape, bool)
        mask[:, : mask.shape[1] // 2] = False
        options = {name: default for name, (_, _, default) in _NUMBERS.items()} | {"video": clip[None]}
        if self.magvit.transformer.causal:
            options["num_revisions"] = 0
        try:
            self._make(Job(0, {**options, "condition_mask": mask}))
        except Exception:  # the first visitor will be told
            traceback.print_exc(file=sys.stderr)
        self.ready = True
        while True:
            job = self._jobs.get()
            try:
                self._make(job)
            except Stopped:
                pass
            except ValueError as error:
                job.events.put({"kind": "error", "message": str(error)})
            except Exception as error:  # the studio goes on for the next visitor
                traceback.print_exc(file=sys.stderr)
                job.events.put({"kind": "error", "message": f"{type(error).__name__}: {error}"})
            self._finished = job.number
            job.events.put(None)

    def _make(self, job: Job) -> None:
        began, events = time.monotonic(), job.events

        def show(step: GenerationStep) -> None:
            if job.unwanted.is_set():
                raise Stopped
            events.put(self._step_event(step))

        if job.unwanted.is_set():
            raise Stopped
        step_by_step = {} if self.magvit.transformer.causal else {"on_step": show}
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            made = to_uint8(self.magvit.generate(**job.options, **step_by_step)[0])
        notes = [str(one.message) for one in noted if one.category.__module__.startswith("magvit_keras")]
        gif = gif_bytes(upscale(made, max(1, _GIF_WIDE // made.shape[2])), FPS)
        events.put(
            {
                "kind": "done",
                "film": _film(made),
                "gif": _uri("image/gif", gif),
                "seconds": round(time.monotonic() - began, 1),
                "notes": notes,
            }
        )

    def _step_event(self, step: GenerationStep) -> dict[str, Any]:
        tokens = decoding_steps(step.tokens, step.unknown, self.magvit.tokenizer.codebook_size)[0]
        return {
            "kind": "step",
            "number": step.number,
            "count": step.count,
            "known": 1 - float(step.unknown.mean()),
            "film": _film(to_uint8(step.video[0])),
            "tokens": _film(tokens),
            "unknown": _bits(step.unknown[0]),
        }


def _number(name: str, value: Any) -> Any:
    """A number that the visitor has set, or its default."""
    least, most, default = _NUMBERS[name]
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name.replace('_', ' ')} must be a number from {least} to {most}; received {value!r}.")
    return type(least)(value)


def _is_video(head: bytes) -> bool:
    """Whether a file begins as MP4 and MOV, AVI, MKV and WebM, or GIF do."""
    return (
        head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"GIF8") or (head[:4], head[8:12]) == (b"RIFF", b"AVI ")
    )


def _film(frames: np.ndarray) -> str:
    """uint8 (T, H, W, 3), one frame below the other, as the address of a picture without loss."""
    file = io.BytesIO()
    Image.fromarray(frames.reshape(-1, *frames.shape[2:])).save(file, "PNG", compress_level=3)
    return _uri("image/png", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _bits(mask: np.ndarray) -> str:
    """A mask in reading order, the first cell in the highest bit of the first byte, in base64."""
    return base64.b64encode(np.packbits(mask)).decode()


def _from_bits(text: Any, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        data = b""
    if len(data) != -(-count // 8):
        raise ValueError(f"hole must be {count} bits in base64, one for each pixel of the clip.")
    return np.unpackbits(np.frombuffer(data, np.uint8))[:count].reshape(shape).astype(bool)
