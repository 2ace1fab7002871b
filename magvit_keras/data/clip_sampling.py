"""From a video to a clip: windows in time, resizing, crops and flips. Pure functions on numbers and arrays.

The conventions are those of the paper's evaluation protocol (App. B.3).
"""

from collections.abc import Sequence

import numpy as np


def last_offset(video_frames: int, num_frames: int, stride: int = 1) -> int:
    """The last frame at which a window of `num_frames * stride` frames may start; 0 for a short video."""
    return max(0, video_frames - num_frames * stride)


def random_offset(rng: np.random.Generator, video_frames: int, num_frames: int, stride: int = 1) -> int:
    """The start of a training window, uniform over all of them."""
    return int(rng.integers(last_offset(video_frames, num_frames, stride) + 1))


def centre_offset(video_frames: int, num_frames: int, stride: int = 1) -> int:
    """The start of the window in the middle, for evaluation."""
    return last_offset(video_frames, num_frames, stride) // 2


def linspace_offsets(video_frames: int, num_frames: int, stride: int, windows: int) -> list[int]:
    """The starts of several windows, spread evenly from the first to the last."""
    return np.linspace(0, last_offset(video_frames, num_frames, stride), windows).astype(int).tolist()


def window(offset: int, video_frames: int, num_frames: int, stride: int = 1) -> list[int]:
    """The frames of a window; a video that is too short is tiled, that is, it starts again from its first frame."""
    return [(offset + step * stride) % video_frames for step in range(num_frames)]


def resampled_length(times: Sequence[int], clock: float, fps: float) -> int:
    """How many frames a video has at another rate.

    Args:
        times: of its frames, ascending, in units of `clock`.
        clock: such a unit in seconds.
        fps: the wanted frames per second.
    """
    steps = max(1, len(times) - 1)
    return max(1, round((times[-1] - times[0]) * clock * (steps + 1) / steps * fps))


def nearest_frames(times: Sequence[int], clock: float, fps: float, indices: Sequence[int]) -> list[int]:
    """The frames nearest in time to those at another rate; arguments as for `resampled_length`.

    Example:
        >>> nearest_frames(range(0, 30), 1 / 30, 12, [0, 1, 2, 3, 4])  # at 0, 2.5, 5, 7.5 and 10 thirtieths
        [0, 2, 5, 7, 10]
    """
    times = np.asarray(times)
    wanted = times[0] + np.asarray(indices) / (fps * clock)
    after = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(times[after] - wanted < wanted - times[before] - 1e-6, after, before).tolist()


def covering_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The size to which a frame is scaled, its shape kept, so that it just covers the target.

    For a square target this makes the short side equal to it.

    Args:
        size: (height, width) of the frame.
        target: (height, width) of the crop that will be taken.

    Returns:
        (height, width), each at least that of the target and one of them equal to it.
    """
    scale = max(target[0] / size[0], target[1] / size[1])
    return max(target[0], round(size[0] * scale)), max(target[1], round(size[1] * scale))


def random_corner(rng: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The top left corner of a random crop, the same for all frames of the clip."""
    return int(rng.integers(size[0] - target[0] + 1)), int(rng.integers(size[1] - target[1] + 1))


def centre_corner(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The top left corner of the crop in the middle."""
    return (size[0] - target[0]) // 2, (size[1] - target[1]) // 2


def spread_corners(size: tuple[int, int], target: tuple[int, int], crops: int) -> list[tuple[int, int]]:
    """The top left corners of several crops, spread evenly over the frame; one is that in the middle.

    A frame that just covers the target has room along its longer side only, so 3 crops are its start, middle and end.
    """
    if crops == 1:
        return [centre_corner(size, target)]
    tops, lefts = (np.linspace(0, size[axis] - target[axis], crops).astype(int).tolist() for axis in (0, 1))
    return list(zip(tops, lefts, strict=True))


def crop(clip: np.ndarray, corner: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Cuts (T, H, W, C) to the target's height and width."""
    (top, left), (height, width) = corner, target
    return clip[:, top : top + height, left : left + width]


def flip(clip: np.ndarray) -> np.ndarray:
    """Mirrors (T, H, W, C), left to right."""
    return clip[:, :, ::-1]
