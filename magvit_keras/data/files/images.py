"""Videos that are stored as single images (PNG, JPEG) or as arrays of pixels."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from magvit_keras.data.files.decode import MAX_PIXELS
from magvit_keras.data.source import UnreadableVideo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magvit_keras.data.files.decode import VideoInfo

FORMATS = ("PNG", "JPEG")  # no other parser of Pillow's is ever run on the data
_SMALLER = 2  # a JPEG is decoded at a fraction of its size, as long as it stays this many times larger than the frame


class ImageVideo:
    """A video whose frames are encoded images.

    Args:
        images: the frames in order: bytes of a PNG or JPEG, or paths.
        name: what messages call the video.
        max_pixels: the largest `width * height` of a frame.
        label: its class.

    Raises:
        UnreadableVideo: there is no image, or the first is broken or too large.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.data.files.images import ImageVideo, encode_image
        >>> frames = [encode_image(np.full((8, 12, 3), value, np.uint8)) for value in (0, 9)]
        >>> video = ImageVideo(frames)
        >>> video.num_frames, video.height, video.width, video.read([1], (8, 12))[0, 0, 0].tolist()
        (2, 8, 12, [9, 9, 9])
    """

    def __init__(
        self,
        images: Sequence[bytes | memoryview | os.PathLike | str],
        name: str = "video",
        max_pixels: int = MAX_PIXELS,
        label: int = 0,
    ):
        self.images, self.name, self.max_pixels, self.label = images, name, max_pixels, label
        self.num_frames = len(images)
        if not images:
            raise UnreadableVideo(name, "it holds no frames")
        try:
            with self._opened(0) as image:
                self.width, self.height = image.size
        except ERRORS as error:
            raise UnreadableVideo(name, f"image 0: {error or type(error).__name__}") from None

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Frames scaled to (height, width), bilinear: uint8 (len(indices), H, W, 3)."""
        frames = {index: self._decoded(index, size) for index in sorted(set(indices))}
        return np.stack([frames[index] for index in indices])

    def _decoded(self, index: int, size: tuple[int, int]) -> np.ndarray:
        try:
            with self._opened(index) as image:
                if image.size != (self.width, self.height):
                    raise ValueError(f"{image.size[0]} x {image.size[1]} pixels among {self.width} x {self.height}")
                image.draft("RGB", (size[1] * _SMALLER, size[0] * _SMALLER))
                return scaled(image.convert("RGB"), size)
        except ERRORS as error:
            raise UnreadableVideo(self.name, f"image {index}: {error or type(error).__name__}") from None

    def _opened(self, index: int) -> Image.Image:
        data = self.images[index]
        image = Image.open(io.BytesIO(data) if isinstance(data, (bytes, memoryview)) else data, formats=FORMATS)
        # The header alone has been read: pixels are not allocated yet.
        if image.size[0] * image.size[1] > self.max_pixels:
            image.close()
            raise ValueError(f"{image.size[0]} x {image.size[1]} pixels; at most {self.max_pixels} are read")
        return image


# Pillow tells of a broken PNG by SyntaxError too.
ERRORS = (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError)


class ArrayVideo:
    """A video in memory, or mapped into it.

    Args:
        array: uint8 (T, H, W), (T, H, W, 1) or (T, H, W, 3).
        label: its class.

    Raises:
        ValueError: another shape or type.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.data.files.images import ArrayVideo
        >>> ArrayVideo(np.zeros((5, 8, 8), np.uint8)).read([0, 4], (16, 16)).shape
        (2, 16, 16, 3)
    """

    def __init__(self, array: np.ndarray, label: int = 0):
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
            shape = "(T, H, W), (T, H, W, 1) or (T, H, W, 3)"
            raise ValueError(f"expected uint8 {shape}; received {array.dtype} {array.shape}")
        self.array, self.label = array, label
        self.num_frames, self.height, self.width = array.shape[:3]

    def read(self, indices: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Frames scaled to (height, width), bilinear: uint8 (len(indices), H, W, 3)."""
        frames = np.asarray(self.array[list(indices)])
        frames = frames[..., None] if frames.ndim == 3 else frames
        frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
        if (self.height, self.width) == tuple(size):
            return np.ascontiguousarray(frames)
        return np.stack([scaled(Image.fromarray(np.ascontiguousarray(frame)), size) for frame in frames])


def encode_image(frame: np.ndarray, kind: str = "PNG") -> bytes:
    """The file of one image.

    Args:
        frame: uint8 (H, W), (H, W, 1) or (H, W, 3).
        kind: "PNG" or "JPEG".

    Example:
        >>> import numpy as np
        >>> encode_image(np.zeros((4, 4, 3), np.uint8))[1:4]
        b'PNG'
    """
    file = io.BytesIO()
    Image.fromarray(frame[..., 0] if frame.shape[2:] == (1,) else frame).save(file, kind)
    return file.getvalue()


def scaled(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an image at (height, width), bilinear."""
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def fitted(frame: np.ndarray, info: VideoInfo, size: tuple[int, int] | None) -> np.ndarray:
    """A frame that another decoder has made, at (height, width).

    Raises:
        ValueError: it has another size than the frames of the video.
    """
    if frame.shape[:2] != (info.height, info.width):
        raise ValueError(f"a frame of {frame.shape} in a video of {info.height} x {info.width}")
    return frame if size is None else scaled(Image.fromarray(np.ascontiguousarray(frame)), size)
