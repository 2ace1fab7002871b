"""One clip out of one video file, from a given frame on: what the command line continues."""

import os

import numpy as np

from magvit_keras.data import clip_sampling
from magvit_keras.data.arguments import check_clip_shape, check_count, check_fps
from magvit_keras.data.files.decode import probe, read_frames
from magvit_keras.data.source import UnreadableVideo


def read_clip(
    path: str | os.PathLike,
    num_frames: int,
    size: tuple[int, int],
    frame_stride: int = 1,
    start: int = 0,
    fps: float | None = None,
) -> np.ndarray:
    """Reads frames `start, start + frame_stride, ...`, scaled to cover `size` and cropped in the middle.

    Args:
        path: a video file.
        num_frames: how many frames at most; a shorter video gives fewer.
        size: (height, width) in pixels.
        frame_stride: takes every n-th frame.
        start: the first frame, from 0.
        fps: frames per second that the video is brought to before frames are counted; None keeps its own.

    Returns:
        (T, H, W, 3) uint8, T <= num_frames.

    Raises:
        UnreadableVideo: the file is missing or broken, or ends before `start`.
        ValueError: a number is out of range.
    """
    num_frames, size = check_clip_shape(num_frames, size)
    frame_stride, start = check_count("frame_stride", frame_stride), check_count("start", start, 0)
    info = probe(path)
    own = fps is None
    length = info.num_frames if own else clip_sampling.resampled_length(info.timestamps, info.clock, check_fps(fps))
    wanted = list(range(start, length, frame_stride))[:num_frames]
    if wanted and not own:
        wanted = clip_sampling.nearest_frames(info.timestamps, info.clock, fps, wanted)
    if not wanted:
        raise UnreadableVideo(path, f"it has {length} frames, and frame {start} was asked for")
    scaled = clip_sampling.covering_size((info.height, info.width), size)
    frames = read_frames(info, wanted, scaled)
    return np.ascontiguousarray(clip_sampling.crop(frames, clip_sampling.centre_corner(scaled, size), size))
