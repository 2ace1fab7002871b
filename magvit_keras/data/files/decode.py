"""Decoding with PyAV: opens a file, finds its frames, reads some of them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.data.source import UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_PIXELS = 8192 * 4320  # a frame larger than 8K counts as broken: its header would claim gigabytes
_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
_COMPLETE = 0.9  # a file with fewer than this part of the frames that its header promises counts as truncated


def import_av() -> ModuleType:
    """Returns PyAV.

    Raises:
        ImportError: PyAV is missing; the message names the extra to install.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "video files need PyAV, which is not installed. Install it with: pip install 'magvit-keras[video]'."
        ) from error
    av.logging.set_level(av.logging.PANIC)  # FFmpeg's own messages; ours name the file
    return av


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds.

    Attributes:
        path: the file.
        height: of the frames as they are shown, after the rotation that phones store, in pixels.
        width: likewise.
        fps: frames per second, on average; 0 where the file does not say.
        timestamps: the time of each frame in ascending order, in units of the stream's clock.
        clock: the length of such a unit in seconds.
        num_bytes: the size of the file.
        stream: the number of the video among the streams of the file.
        turns: quarter turns to the left that bring a stored frame upright.
        colour_matrix: from YCbCr to RGB, by FFmpeg's number: 1 is BT.709, 5 and 6 BT.601, 2 is not told.
        full_range: luma is told to fill 0 to 255 in a pixel format that does not imply it.
    """

    path: str
    height: int
    width: int
    fps: float
    timestamps: tuple[int, ...]
    clock: float = 0.0
    num_bytes: int = 0
    stream: int = 0
    turns: int = 0
    colour_matrix: int = 2
    full_range: bool = False

    @property
    def num_frames(self) -> int:
        """The number of frames that the file holds, whatever its header says."""
        return len(self.timestamps)


def probe(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Finds the frames of a video while it decodes the first only.

    The packets are walked through: VP9 files report 0 frames, GIFs change speed, and truncated files promise more than
    they hold. The first frame tells the rotation, and whether the content can be decoded at all.

    Args:
        path: the file.
        max_pixels: the largest `width * height` of a frame.

    Returns:
        The number of frames, their times and their size.

    Raises:
        UnreadableVideo: the file is missing, broken, truncated, has no video or too large frames.
        ImportError: PyAV is not installed.
    """
    with _opened(path, max_pixels) as (container, stream):
        promised, clock, context = stream.frames, float(stream.time_base or 0), stream.codec_context
        length = float(stream.duration * stream.time_base) if stream.duration else None
        if length is None and container.duration and len(container.streams) == 1:
            length = container.duration / 1e6
        times, packets, end, rotation = [], 0, 0, None
        for packet in container.demux(stream):
            if packet.size == 0:  # the flush packet at the end
                continue
            if rotation is None:
                rotation = next((frame.rotation for frame in packet.decode()), None)
            time = packet.pts if packet.pts is not None else packet.dts
            time = packets if time is None else time
            end, packets = max(end, time + (packet.duration or 0)), packets + 1
            if not packet.is_discard:  # what lies before the cut of a video that was cut without encoding it again
                times.append(time)
        info = VideoInfo(
            str(path),
            *_turned(context.height, context.width, rotation),
            float(stream.average_rate or 0),
            tuple(sorted(times)),
            clock,
            container.size,
            stream.index,
            _quarter_turns(rotation),
            int(context.colorspace),
            int(context.color_range) == _FULL_RANGE and not (context.pix_fmt or "").startswith("yuvj"),
        )
        start, is_gif = stream.start_time or 0, container.format.name == "gif"
    if not times:
        raise UnreadableVideo(str(path), "it holds no frames")
    if promised and packets < _COMPLETE * promised:
        raise UnreadableVideo(str(path), f"truncated: {packets} of {promised} frames are there")
    if is_gif and not _ends_as_a_gif(path):  # a GIF promises nothing, but it has an end mark
        raise UnreadableVideo(str(path), f"truncated: the end mark after {len(times)} frames is missing")
    if not promised and length and (end - start) * clock < _COMPLETE * length - 0.5 / max(info.fps, 1):
        raise UnreadableVideo(str(path), f"truncated: {(end - start) * clock:.1f} of {length:.1f} seconds are there")
    return info


def read_frames(
    info: VideoInfo, indices: Sequence[int], size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes some frames, from the last key frame before them.

    Args:
        info: from `probe`.
        indices: which frames, each `0 <= index < info.num_frames`, in any order, repeats allowed.
        size: the frames are scaled to this (height, width), bilinear, while they are converted: large frames never
            become large arrays. The default keeps their size.
        max_pixels: as for `probe`.

    Returns:
        uint8 (len(indices), H, W, 3), RGB.

    Raises:
        UnreadableVideo: the file cannot be decoded up to the last of the frames.
    """
    wanted = check_indices(info, indices)
    frames = _decode(info, wanted, size, max_pixels, seek=wanted[0] > 0)
    if frames is None:  # the container cannot seek, or went past the frame
        frames = _decode(info, wanted, size, max_pixels, seek=False)
    if frames is None:
        raise UnreadableVideo(info.path, f"truncated: it cannot be decoded up to frame {wanted[-1]}")
    return np.stack([frames[index] for index in indices])


def check_indices(info: VideoInfo, indices: Sequence[int]) -> list[int]:
    """The indices in ascending order, each once.

    Raises:
        IndexError: there is none, or one that the video does not have.
    """
    wanted = sorted(set(indices))
    if not wanted or wanted[0] < 0 or wanted[-1] >= info.num_frames:
        raise IndexError(f"frames {list(indices)}: {info.path} has frames 0 to {info.num_frames - 1}")
    return wanted


def read_video(path: str | os.PathLike) -> np.ndarray:
    """Reads a whole video at its own size.

    Args:
        path: a video file or GIF.

    Returns:
        uint8 (T, H, W, 3), RGB.

    Raises:
        UnreadableVideo: see `probe`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes, read_video
        >>> paths = MovingShapes(1, num_frames=6, size=(32, 32)).write_videos(tempfile.mkdtemp())
        >>> read_video(paths[0]).shape
        (6, 32, 32, 3)
    """
    info = probe(path)
    return read_frames(info, range(info.num_frames))


def _decode(info, wanted, size, max_pixels, seek) -> dict[int, np.ndarray] | None:
    """The wanted frames by index, or None where they were not all found."""
    found: dict[int, np.ndarray] = {}
    with _opened(info.path, max_pixels) as (container, stream):
        position = 0
        if seek:
            try:
                container.seek(info.timestamps[wanted[0]], stream=stream)
            except OSError:
                return None
            position = None
        pending = list(reversed(wanted))
        for frame in container.decode(stream):
            if position is None:
                # After a seek the time tells where we are, once; from there frames are counted.
                position = _index_of(info.timestamps, frame.pts)
                if position is None or position > wanted[0]:
                    return None
            if position == pending[-1]:
                found[pending.pop()] = _pixels(frame, size)
                if not pending:
                    return found
            position += 1
    return None


def _ends_as_a_gif(path) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(64, os.path.getsize(path)), os.SEEK_END)
        return file.read().rstrip(b"\0\r\n ").endswith(b";")


def _index_of(timestamps, time) -> int | None:
    index = int(np.searchsorted(timestamps, time)) if time is not None else len(timestamps)
    return index if index < len(timestamps) and timestamps[index] == time else None


def _pixels(frame, size) -> np.ndarray:
    turns = _quarter_turns(frame.rotation)
    height, width = size if size is not None else _turned(frame.height, frame.width, frame.rotation)
    if turns % 2:
        height, width = width, height
    array = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    return np.rot90(array, turns) if turns else array


def _quarter_turns(rotation: float) -> int:
    return round((rotation or 0) / 90) % 4


def _turned(height: int, width: int, rotation: float) -> tuple[int, int]:
    return (width, height) if _quarter_turns(rotation) % 2 else (height, width)


@contextlib.contextmanager
def _opened(path: str | os.PathLike, max_pixels: int) -> Iterator[tuple]:
    """The container and its first video stream; every error of FFmpeg becomes UnreadableVideo."""
    av = import_av()
    try:
        # FFmpeg itself refuses larger frames as well: opening a file may decode one already.
        with av.open(os.fspath(path), options={"max_pixels": str(max_pixels)}) as container:
            if not container.streams.video:
                raise UnreadableVideo(str(path), "it has no video stream")
            stream = container.streams.video[0]
            height, width = stream.codec_context.height, stream.codec_context.width
            if not 0 < height * width <= max_pixels:
                found = f"are {width} x {height}" if height * width else "have no known size or more"
                raise UnreadableVideo(str(path), f"its frames {found} pixels; at most {max_pixels} are read")
            stream.codec_context.thread_count = 1  # processes, not threads, share the work
            yield container, stream
    except UnreadableVideo:
        raise
    except (av.error.FFmpegError, OSError, EOFError, MemoryError, UnicodeError) as error:
        raise UnreadableVideo(
            str(path), getattr(error, "strerror", None) or str(error) or type(error).__name__
        ) from None
