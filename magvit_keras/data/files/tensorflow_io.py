"""The decoder of tensorflow-io, which reads whole files, with FFmpeg 4 alone."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.data.files.images import fitted
from magvit_keras.files import version

if TYPE_CHECKING:
    from types import ModuleType

    from magvit_keras.data.files.decode import VideoInfo

_BT601 = (0, 2, 5, 6)  # and RGB (0), and files that do not tell (2), which FFmpeg takes for BT.601
_MAX_WHOLE = 1 << 30  # bytes that it may take for a file, or for all of its frames


@functools.cache
def load() -> ModuleType:
    """The package.

    Raises:
        ImportError: it, or its FFmpeg, is missing or of another version.
    """
    # With older FFmpeg libraries it gives the first frame again and again, and does not say so: no substitute is taken.
    library = "libavformat.58.dylib" if sys.platform == "darwin" else "libavformat.so.58"
    try:
        ctypes.CDLL(library)
        import tensorflow_io
        from tensorflow_io.python.ops import ffmpeg_ops  # noqa: F401 (loads FFmpeg, which the package puts off)
    except Exception as error:  # with another TensorFlow: errors of many kinds
        raise ImportError(
            "decoder='tensorflow_io' needs tensorflow-io 0.37.1, which loads with TensorFlow 2.16 alone, and the "
            f"shared libraries of FFmpeg 4 ({library}); found tensorflow-io {version('tensorflow-io')} and tensorflow "
            f"{version('tensorflow')} ({error}). Install it in an environment of its own with: "
            "pip install 'magvit-keras[tfio]', and FFmpeg 4, on Ubuntu 22.04 and Debian 11: apt-get install ffmpeg."
        ) from error
    return tensorflow_io


def frames(info: VideoInfo, wanted: list[int], size: tuple[int, int] | None) -> dict[int, np.ndarray] | None:
    """The frames by index, upright and scaled; None where PyAV should read them."""
    tensorflow_io = load()
    if info.colour_matrix not in _BT601 or info.full_range or not info.exact:  # it knows of one matrix and range
        return None
    if max(info.num_bytes, info.num_frames * info.height * info.width * 3) > _MAX_WHOLE:
        return None
    try:
        content = pathlib.Path(info.path).read_bytes()
        if len(content) != info.num_bytes:  # a file that became shorter since PyAV saw it would end the process
            return None
        video = tensorflow_io.experimental.ffmpeg.decode_video(content, 0).numpy()
        if len(video) != info.num_frames:
            return None
        return {index: fitted(np.rot90(video[index], info.turns), info, size) for index in wanted}
    except Exception:  # TensorFlow's errors have no common base; what PyAV cannot read either, it will say
        return None
