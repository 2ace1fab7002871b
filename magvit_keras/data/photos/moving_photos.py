"""Moving Photos: clips out of a folder of pictures, with camera, layers, light and cuts from a seed."""

from __future__ import annotations

import copy
import dataclasses
import os
import pathlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from magvit_keras.data.arguments import check_choice, check_clip_shape, check_count, printable
from magvit_keras.data.files.decode import MAX_PIXELS
from magvit_keras.data.files.images import ERRORS, FORMATS
from magvit_keras.data.photos.camera import MOVES
from magvit_keras.data.photos.scene import Pyramid, Style, render
from magvit_keras.data.readers.video_folder import find_videos, folder_classes
from magvit_keras.data.source import ON_ERROR, Source, UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTENSIONS = ("jpg", "jpeg", "png")
_LARGEST = 12  # pictures are kept with a shorter side of at most this many frame sizes, so that a camera can go near
_KEPT = 64 * 2**20  # pixels of pictures in memory


class MovingPhotos(Source):
    """Video clips out of photographs that a camera moves over.

    Each clip shows a part of a picture. The camera stands, pans, zooms, turns or shakes; bodies cut out of other
    pictures pass in front of it, in and out of focus; the light differs and may change; sometimes there is a cut. With
    a few dozen photographs a tokenizer learns what real videos look like. A training clip is drawn anew in each
    epoch; an evaluation clip is always the same. What is drawn depends on `(seed, epoch, index)`, the pictures and the
    arguments; a longer clip begins with the frames of the shorter one.

    Args:
        folder: holds the pictures, PNG or JPEG. Sub-folders, where there are any, are classes; otherwise the one class
            is `"video"`.
        num_clips: the number of clips; pictures take turns.
        num_frames: T, 1 or more.
        size: `(height, width)` in pixels, at least 8; an int for squares.
        seed: a non-negative int; another seed gives other clips.
        camera: some of still, pan, zoom, turn, shake.
        layers: the most bodies that pass in front, 0 to 8.
        light: how much colours, contrast and brightness differ from those of the pictures; 0 leaves them.
        cuts: the part of the clips of 16 frames with a cut, 0 to 1.
        training: clips drawn anew in each epoch.
        on_error: `"skip"` replaces a broken picture with the next one, and warns; `"raise"` raises.

    Raises:
        FileNotFoundError: the folder is missing, empty, or holds no picture.
        NotADirectoryError: the path is a file.
        ValueError: an argument is out of range.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from magvit_keras.data import MovingPhotos
        >>> folder = tempfile.mkdtemp()
        >>> Image.effect_noise((160, 120), 60).save(f"{folder}/noise.png")
        >>> clips = MovingPhotos(folder, num_clips=8, num_frames=4, size=(32, 32))
        >>> clips[0]["video"].shape, str(clips[0]["video"].dtype)
        ((4, 32, 32, 3), 'uint8')
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        num_clips: int = 1000,
        num_frames: int = 16,
        size: tuple[int, int] = (64, 64),
        seed: int = 0,
        camera: Sequence[str] = MOVES,
        layers: int = 4,
        light: float = 1.0,
        cuts: float = 0.05,
        training: bool = True,
        on_error: str = "skip",
    ):
        self.folder, self.num_clips = pathlib.Path(folder), check_count("num_clips", num_clips)
        self.num_frames, self.size = check_clip_shape(num_frames, size)
        camera = (camera,) if isinstance(camera, str) else tuple(camera)
        if not camera or set(camera) - set(MOVES):
            raise ValueError(f"camera={camera}: expected some of {', '.join(MOVES)}")
        for name, value, most in (("layers", layers, 8), ("light", light, 10), ("cuts", cuts, 1)):
            kinds = (int, np.integer) if name == "layers" else (int, float, np.number)
            if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= value <= most:
                raise ValueError(f"{name}={value!r}: expected a number from 0 to {most}")
        self.seed, self.training = check_count("seed", seed, 0), training
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.style = Style(camera, int(layers), float(light), float(cuts))
        self.pictures = find_videos(self.folder, EXTENSIONS, "picture")
        self._class_names, labels = folder_classes(self.folder, self.pictures, kind="picture")
        self.labels = dict(zip(self.pictures, labels, strict=True))
        self._kept: OrderedDict[str, Pyramid] = OrderedDict()

    def __len__(self) -> int:
        return self.num_clips

    @property
    def class_names(self) -> list[str]:
        """The sub-folders; `["video"]` where there are none."""
        return self._class_names

    def settings(self) -> dict:
        """Those of every source, and what happens in clips."""
        return {**super().settings(), **dataclasses.asdict(self.style)}

    def read(self, index: int, epoch: int = 0) -> dict:
        """Renders one clip.

        Raises:
            UnreadableVideo: the picture is broken.
        """
        path = self.pictures[index % len(self.pictures)]
        first = self._pyramid(path)

        def other(rng: np.random.Generator) -> Pyramid:
            try:
                return self._pyramid(self.pictures[rng.integers(len(self.pictures))])
            except UnreadableVideo:
                return first  # a broken picture is told of when a clip begins with it

        rng = np.random.default_rng([self.seed, epoch if self.training else 0, index, not self.training])
        video = render(rng, first, other, self.num_frames, self.size, self.style)
        return {"video": video, "label": self.labels[path]}

    def name(self, index: int) -> str:
        """The path, in the folder, of the picture that the clip begins with."""
        return printable(self.pictures[index % len(self.pictures)])

    def for_evaluation(self) -> MovingPhotos:
        """Clips that are the same in each epoch, and others than those of training."""
        return self._with(self.pictures, self.num_clips, training=False)

    def split(self, fraction: float, seed: int = 0) -> tuple[MovingPhotos, MovingPhotos]:
        """Holds out pictures, and with them clips, for validation; see `Source.split`. No picture is on both sides.

        Raises:
            ValueError: `fraction` is not between 0 and 1, or there are fewer than two pictures.
        """
        by_picture = self._with(self.pictures, len(self.pictures), self.training)
        parts = [[self.pictures[i] for i in part.indices] for part in Source.split(by_picture, fraction, seed)]
        counts = [max(1, round(self.num_clips * len(part) / len(self.pictures))) for part in parts]
        return self._with(parts[0], counts[0], self.training), self._with(parts[1], counts[1], training=False)

    def _with(self, pictures: list[str], num_clips: int, training: bool) -> MovingPhotos:
        found = copy.copy(self)
        for name in ("_failures_by_index", "_visits"):
            found.__dict__.pop(name, None)
        found.pictures, found.num_clips, found.training = pictures, num_clips, training
        return found

    def _pyramid(self, path: str) -> Pyramid:
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        try:
            with Image.open(self.folder / path, formats=FORMATS) as image:
                if image.size[0] * image.size[1] > MAX_PIXELS:
                    raise ValueError(f"{image.size[0]} x {image.size[1]} pixels; at most {MAX_PIXELS} are read")
                most = _LARGEST * max(self.size)
                scale = most / min(image.size)
                smaller = tuple(max(1, round(side * min(scale, 1))) for side in image.size)
                image.draft("RGB", smaller)
                picture = ImageOps.exif_transpose(image.convert("RGB"))
                smaller = smaller if (picture.size[0] > picture.size[1]) == (smaller[0] > smaller[1]) else smaller[::-1]
                if smaller != picture.size:
                    picture = picture.resize(smaller, Image.Resampling.BOX)
        except ERRORS as error:
            raise UnreadableVideo(str(self.folder / path), str(error) or type(error).__name__) from None
        self._kept[path] = Pyramid(picture)
        while len(self._kept) > 1 and sum(p.size[0] * p.size[1] for p in self._kept.values()) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[path]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": OrderedDict()}  # processes read the pictures themselves
