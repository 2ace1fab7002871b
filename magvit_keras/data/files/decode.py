"""Decoding with PyAV: opens a file, finds its frames, reads some of them."""

from __future__ import annotations

import bisect
import contextlib
import os
from array import array
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from magvit_keras.data.source import UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_PIXELS = 8192 * 4320  # a frame larger than 8K counts as broken: its header would claim gigabytes
_WALKED = ("mpeg", "mpegts")  # without an index: after a seek FFmpeg guesses the times, at times wrongly
_PICTURES = ("image2",)
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
        timestamps: the time of each frame in ascending order, in units of the stream's clock; compact, since many
            files are remembered.
        exact: decoded frames carry these times. Otherwise (raw streams, H.264 in AVI and ASF, clocks that start again)
            they can only be counted.
        indexed: the container finds the packets of a time by itself.
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
    timestamps: Sequence[int]
    clock: float = 0.0
    num_bytes: int = 0
    stream: int = 0
    turns: int = 0
    colour_matrix: int = 2
    full_range: bool = False
    exact: bool = True
    indexed: bool = True

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
        rate = float(stream.average_rate or 0)
        times, packets, end, first, told, last = [], 0, 0, None, True, None
        for packet in container.demux(stream):
            if first is None:
                first = next(iter(packet.decode()), None)
            if packet.size == 0:  # the flush packet at the end
                continue
            # Recordings that were put together may start their clock again: more than a second back.
            again = last is not None and packet.dts is not None and (last - packet.dts) * clock > 1
            told, last = told and packet.pts is not None and not again, packet.dts
            time = packet.pts if packet.pts is not None else packet.dts or 0
            end, packets = max(end, time + (packet.duration or 0)), packets + 1
            if not packet.is_discard:  # what lies before the cut of a video that was cut without encoding it again
                times.append(time)
        # Where a container tells the order of decoding alone, times ascend although frames come in another order.
        exact = told and len(set(times)) == len(times) and not (context.has_b_frames and times == sorted(times))
        if not told:
            times, clock = range(len(times)), 1 / rate if rate else 0.0
        elif exact and first is not None and first.pts is not None:  # a recording may begin between two key frames
            times = [time for time in times if time >= first.pts]
        rotation = first.rotation if first is not None else 0
        info = VideoInfo(
            path=os.fsdecode(path),
            **dict(zip(("height", "width"), _turned(context.height, context.width, rotation), strict=True)),
            fps=rate,
            timestamps=_compact(sorted(times)),
            clock=clock,
            num_bytes=container.size,
            stream=stream.index,
            turns=_quarter_turns(rotation),
            colour_matrix=int(context.colorspace),
            full_range=int(context.color_range) == _FULL_RANGE and not (context.pix_fmt or "").startswith("yuvj"),
            exact=exact,
            indexed=container.format.name not in _WALKED,
        )
        start, is_gif = stream.start_time or 0, container.format.name == "gif"
    if not times:
        raise UnreadableVideo(path, "it holds no frames")
    if first is None:
        raise UnreadableVideo(path, f"none of its {packets} frames can be decoded")
    if promised and packets < _COMPLETE * promised:
        raise UnreadableVideo(path, f"truncated: {packets} of {promised} frames are there")
    if is_gif and not _ends_as_a_gif(path):  # a GIF promises nothing, but it has an end mark
        raise UnreadableVideo(path, f"truncated: the end mark after {len(times)} frames is missing")
    if not promised and told and length and (end - start) * clock < _COMPLETE * length - 0.5 / max(info.fps, 1):
        raise UnreadableVideo(path, f"truncated: {(end - start) * clock:.1f} of {length:.1f} seconds are there")
    return info


def read_frames(
    info: VideoInfo, indices: Sequence[int], size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes some frames, from the last key frame before them.

    A frame is known by its time, and every time is checked on the way. Where one is not as expected, or the decoder
    doubts what it made after a seek, the file is read from its start; what it doubts then is damaged.

    Args:
        info: from `probe`.
        indices: which frames, each `0 <= index < info.num_frames`, in any order, repeats allowed.
        size: the frames are scaled to this (height, width), bilinear, while they are converted: large frames never
            become large arrays. The default keeps their size.
        max_pixels: as for `probe`.

    Returns:
        uint8 (len(indices), H, W, 3), RGB.

    Raises:
        UnreadableVideo: the file cannot be decoded up to the last of the frames, or is damaged there.
    """
    wanted = check_indices(info, indices)
    frames = None
    if info.exact and wanted[0] > 0:
        frames = _decode(info, wanted, size, max_pixels, near=True)
    if frames is None:
        frames = _decode(info, wanted, size, max_pixels, near=False)
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


def _decode(info, wanted, size, max_pixels, near) -> dict[int, np.ndarray] | None:
    """The wanted frames by index, decoded from a key frame near them or from the start; None where that fails."""
    found: dict[int, np.ndarray] = {}
    pending, position, damaged = list(reversed(wanted)), None if near else -1, False
    with _opened(info.path, max_pixels) as (container, stream):
        packets = _near(container, stream, info, wanted[0]) if near else container.demux(stream)
        for frame in (frame for packet in packets for frame in packet.decode()):
            before = position
            position = _index_of(info.timestamps, frame.pts) if info.exact else before + 1
            if position is None and not near:  # what a cut has left over
                position = before
                continue
            if position is None or (near and before is None and position > pending[-1]):
                return None
            damaged = frame.is_corrupt or (damaged and not frame.key_frame)
            # A packet may hold what others refer to and no frame of its own; the next frame then stands in its place.
            hidden = info.exact and before is not None and position == before + 2
            while pending and (pending[-1] == position or (hidden and pending[-1] == position - 1)):
                if damaged and near:
                    return None
                if damaged:
                    raise UnreadableVideo(info.path, f"damaged: frame {pending[-1]} cannot be decoded as it was made")
                found[pending.pop()] = _pixels(frame, size)
            if not pending:
                return found
            if info.exact and position > pending[-1]:
                return None
    return None


def _near(container, stream, info, index) -> Iterator:
    """The packets from a key frame on that is not after the wanted frame."""
    time = info.timestamps[index]
    if info.indexed:
        with contextlib.suppress(OSError):  # it cannot seek: the packets are those from the start
            container.seek(time, stream=stream)
        yield from container.demux(stream)
        return
    held: list | None = []
    for packet in container.demux(stream):
        if held is None:
            yield packet
            continue
        if packet.is_keyframe and packet.pts is not None and packet.pts <= time:
            held.clear()
        held.append(packet)
        if packet.pts == time:
            yield from held
            held = None


def _compact(times: list[int]) -> Sequence[int]:
    """Ascending whole numbers in as few bytes as may be."""
    if not times:
        return ()
    even = range(times[0], times[-1] + 1, max(1, times[1] - times[0]) if len(times) > 1 else 1)
    if len(even) == len(times) and list(even) == times:
        return even
    return array("i" if max(-times[0], times[-1]) < 2**31 else "q", times)


def _ends_as_a_gif(path) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(64, os.path.getsize(path)), os.SEEK_END)
        return file.read().rstrip(b"\0\r\n ").endswith(b";")


def _index_of(timestamps, time) -> int | None:
    index = bisect.bisect_left(timestamps, time) if time is not None else len(timestamps)
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
def address(path: str | os.PathLike, mode: str = "r") -> Iterator[str | BinaryIO]:
    """What FFmpeg opens for a path: a file whatever its name looks like, also one that is no text."""
    name = os.fsdecode(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with open(path, f"{mode}b") as file:
            yield file
    else:
        yield f"file:{name}"


@contextlib.contextmanager
def _opened(path: str | os.PathLike, max_pixels: int) -> Iterator[tuple]:
    """The container and its first video stream; every error of FFmpeg becomes UnreadableVideo."""
    av = import_av()
    # FFmpeg itself refuses larger frames as well: opening a file may decode one already. Lists of other addresses are
    # not followed into the network.
    options = {"max_pixels": str(max_pixels), "protocol_whitelist": "file"}
    try:
        with address(path) as source, av.open(source, options=options, metadata_errors="replace") as container:
            if container.format.name in _PICTURES or container.format.name.endswith("_pipe"):
                raise UnreadableVideo(path, "it is a picture, not a video")
            if not container.streams.video:
                raise UnreadableVideo(path, "it has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise UnreadableVideo(path, "its codec is not known")
            height, width = stream.codec_context.height, stream.codec_context.width
            if not 0 < height * width <= max_pixels:
                found = f"are {width} x {height}" if height * width else "have no known size or more"
                raise UnreadableVideo(path, f"its frames {found} pixels; at most {max_pixels} are read")
            stream.codec_context.thread_count = 1  # processes, not threads, share the work
            if stream.codec_context.name == "hevc":  # whose pictures may carry checksums
                stream.codec_context.options = {"err_detect": "crccheck+explode"}
            yield container, stream
    except UnreadableVideo:
        raise
    except (av.error.FFmpegError, OSError, EOFError, MemoryError, UnicodeError) as error:
        raise UnreadableVideo(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
