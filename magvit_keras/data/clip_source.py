"""Clips cut out of stored videos: windows in time, crops and flips as in the paper's protocol (App. B.3)."""

from __future__ import annotations

import abc
import copy
import inspect
from typing import TYPE_CHECKING, Protocol

import numpy as np

from magvit_keras.data import clip_sampling
from magvit_keras.data.arguments import check_choice, check_clip_shape, check_count
from magvit_keras.data.files.decode import MAX_PIXELS
from magvit_keras.data.source import ON_ERROR, Source, UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS = ("centre", "first")


class StoredVideo(Protocol):
    """One opened video: its size is known, its frames are read on request.

    Attributes:
        num_frames: how many frames it has.
        height: of a frame, in pixels.
        width: of a frame, in pixels.
        label: its class, -1 where the data set does not tell it.
    """

    num_frames: int
    height: int
    width: int
    label: int

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Frames scaled to (height, width), bilinear: uint8 (len(indices), H, W, 3)."""


class ClipSource(Source):
    """The base of readers of stored videos: it chooses the frames, the crop and the flip of each clip.

    A reader defines `num_videos`, `class_names`, `open_video(video)` and `name_of(video)`.

    A training clip is a random window, one random crop and perhaps one flip, new in each epoch; an evaluation clip
    is a fixed window and crop. A video that is too short is tiled. What is drawn depends on `(seed, epoch, index)`
    alone, so any process draws the same.

    Args:
        num_frames: T, the frames of a clip.
        size: (height, width) of a clip in pixels, at least 8; an int for squares. Frames are scaled, bilinear, until
            they just cover it, and cropped.
        frame_stride: takes every n-th frame.
        training: random windows and crops, or fixed ones.
        horizontal_flip: mirrors every second clip at random, in training. Leave it off where left and right matter.
        seed: a non-negative int.
        on_error: `"skip"` replaces an unreadable video by the next readable one, and warns with the number and names
            of them; `"raise"` raises.
        max_pixels: a video with larger frames (width x height) counts as unreadable.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.data.clip_source import ClipSource
        >>> from magvit_keras.data.files.images import ArrayVideo
        >>> class Grey(ClipSource):
        ...     num_videos, class_names = 2, ["grey"]
        ...     def open_video(self, video):
        ...         return ArrayVideo(np.full((20, 16, 24, 3), 100 + video, np.uint8))
        >>> source = Grey(num_frames=4, size=(16, 16))
        >>> source[1]["video"].shape, len(source.for_evaluation(windows=2, crops=3))
        ((4, 16, 16, 3), 12)

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3.
    """

    def __init__(
        self,
        num_frames: int = 16,
        size: tuple[int, int] = (128, 128),
        frame_stride: int = 1,
        training: bool = True,
        horizontal_flip: bool = False,
        seed: int = 0,
        on_error: str = "skip",
        max_pixels: int = MAX_PIXELS,
    ):
        self.num_frames, self.size = check_clip_shape(num_frames, size)
        self.frame_stride = check_count("frame_stride", frame_stride)
        for name, value in (("training", training), ("horizontal_flip", horizontal_flip)):
            # bool("false") is True
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name}={value!r}: expected true or false")
        self.seed, self.max_pixels = check_count("seed", seed, 0), check_count("max_pixels", max_pixels)
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.training, self.horizontal_flip = bool(training), bool(horizontal_flip)
        self.windows, self.crops = "centre", 1

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Writes the arguments of this class out in the signature of a reader that passes them on by `**clips`."""
        super().__init_subclass__(**kwargs)
        signature = inspect.signature(cls.__init__)
        own = list(signature.parameters.values())[1:]  # without self
        if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            names, base, keyword = {p.name for p in own}, cls.__mro__[1], inspect.Parameter.KEYWORD_ONLY
            shared = [p for p in inspect.signature(base).parameters.values() if base is ClipSource or p.kind is keyword]
            own = [*own[:-1], *(p.replace(kind=keyword) for p in shared if p.name not in names)]
        cls.__signature__ = signature.replace(parameters=own)

    # --- what a reader defines ---

    @property
    @abc.abstractmethod
    def num_videos(self) -> int:
        """The number of stored videos."""

    @abc.abstractmethod
    def open_video(self, video: int) -> StoredVideo:
        """Opens one video.

        Raises:
            UnreadableVideo: the file or record is missing or broken.
        """

    def name_of(self, video: int) -> str:
        """What messages call the video."""
        return f"video {video}"

    # --- what follows from it ---

    @property
    def clips_per_video(self) -> int:
        """Windows times crops; 1 in training."""
        return (1 if isinstance(self.windows, str) else self.windows) * self.crops

    def __len__(self) -> int:
        return self.num_videos * self.clips_per_video

    def settings(self) -> dict:
        """Those of every source, and which windows and crops."""
        return {**super().settings(), "windows": self.windows, "crops": self.crops}

    def name(self, index: int) -> str:
        """The name of the video, and which window and crop where there are several."""
        video, part = divmod(index, self.clips_per_video)
        if self.clips_per_video == 1:
            return self.name_of(video)
        return f"{self.name_of(video)} (window {part // self.crops}, crop {part % self.crops})"

    def read(self, index: int, epoch: int = 0) -> dict:
        """Decodes one clip; see `Source.read`."""
        number, part = divmod(index, self.clips_per_video)
        video = self.open_video(number)
        rng = np.random.default_rng([self.seed, epoch, index])
        scaled = clip_sampling.covering_size((video.height, video.width), self.size)
        if scaled[0] * scaled[1] > self.max_pixels:
            reason = f"{video.width} x {video.height} is too long a strip to be scaled"
            raise UnreadableVideo(self.name_of(number), reason)
        window = video.num_frames, self.num_frames, self.frame_stride
        if self.training:
            offset = clip_sampling.random_offset(rng, *window)
            corner = clip_sampling.random_corner(rng, scaled, self.size)
        else:
            offset = self._fixed_offset(part // self.crops, window)
            corner = clip_sampling.spread_corners(scaled, self.size, self.crops)[part % self.crops]
        frames = video.read(clip_sampling.window(offset, *window), scaled)
        clip = clip_sampling.crop(frames, corner, self.size)
        if self.training and self.horizontal_flip and rng.uniform() < 0.5:
            clip = clip_sampling.flip(clip)
        return {"video": np.ascontiguousarray(clip), "label": video.label}

    def for_evaluation(self, windows: int | str | None = None, crops: int | None = None) -> ClipSource:
        """The same videos with fixed windows and crops, and no flips.

        Clips of one video follow one another: clip `(video * windows + window) * crops + crop`.

        Args:
            windows: `"centre"`, `"first"` (the first frames), or a number of 2 and more, spread evenly from the first
                to the last. By default as it is: the centre.
            crops: 1 for the centre, or how many are spread along the longer side. By default as it is: 1.

        Returns:
            A source of `num_videos * windows * crops` clips.

        Raises:
            ValueError: an argument is out of range.

        Reference:
            MAGVIT (arXiv 2212.05199), App. B.3: for example 2 windows x 3 crops on Kinetics-600, and all 15 windows
            on BAIR.
        """
        windows = self.windows if windows is None else windows
        if windows not in WINDOWS and (isinstance(windows, (str, bool)) or windows < 2):
            raise ValueError(f"windows={windows!r}: expected 'centre', 'first', or a number of 2 and more")
        other = copy.copy(self)
        other.__dict__.pop("_visits", None)
        other.training = other.horizontal_flip = False
        other.windows = windows if isinstance(windows, str) else check_count("windows", windows)
        other.crops = self.crops if crops is None else check_count("crops", crops)
        before, now = self.clips_per_video, other.clips_per_video
        bad = {index // before: reason for index, reason in self.failures.items()}
        other._failures_by_index = {video * now + part: bad[video] for video in bad for part in range(now)}
        return other

    def _fixed_offset(self, number: int, window: tuple[int, int, int]) -> int:
        if self.windows == "centre":
            return clip_sampling.centre_offset(*window)
        return 0 if self.windows == "first" else clip_sampling.linspace_offsets(*window, self.windows)[number]
