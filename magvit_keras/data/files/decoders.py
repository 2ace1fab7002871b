"""Other decoders than PyAV, behind one argument: torchcodec and tensorflow-io.

PyAV finds the frames of a file, and what is wrong with it, whichever decoder reads them (`decode.probe`). So all of
them have the same frames, sizes and errors. What a decoder is known or seen to read otherwise, PyAV reads in its place.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from magvit_keras.data.files import decode, tensorflow_io
from magvit_keras.data.files.images import fitted
from magvit_keras.files import version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from magvit_keras.data.files.decode import VideoInfo

_LATE = 1e-3  # seconds: a frame that is shown further away than this from its time is another frame


def read_frames(
    info: VideoInfo,
    indices: Sequence[int],
    size: tuple[int, int] | None = None,
    max_pixels: int = decode.MAX_PIXELS,
    decoder: str = "pyav",
) -> np.ndarray:
    """Decodes some frames with one of the decoders.

    At their own size, frames of 8-bit video have the same bytes from each decoder. Scaled ones differ at the edges of
    strong colours, by less than 3 of 255 on average (PSNR above 30 dB): PyAV scales brightness and colour before they
    become RGB, which costs less, and the frames of the others are scaled as RGB. Those of 10-bit video differ likewise
    at any size.

    Args:
        info: from `decode.probe`.
        indices: which frames, each `0 <= index < info.num_frames`, in any order, repeats allowed.
        size: the frames are scaled to this (height, width), bilinear. The default keeps their size.
        max_pixels: as for `decode.probe`. torchcodec and tensorflow-io check the first frame alone.
        decoder: one of `DECODERS`.

    Returns:
        uint8 (len(indices), H, W, 3), RGB.

    Raises:
        UnreadableVideo: the file cannot be decoded up to the last of the frames.
        ValueError: the decoder is unknown.
        ImportError: it is not installed.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes
        >>> path = MovingShapes(1, num_frames=6, size=(32, 32)).write_videos(tempfile.mkdtemp())[0]
        >>> read_frames(decode.probe(path), [2, 5], size=(16, 16), decoder="pyav").shape
        (2, 16, 16, 3)
    """
    chosen = _chosen(decoder)
    wanted = decode.check_indices(info, indices)
    frames = chosen.frames and chosen.frames(info, wanted, size)
    if frames is None:
        return decode.read_frames(info, indices, size, max_pixels)
    return np.stack([frames[index] for index in indices])


def check_decoder(name: str) -> str:
    """Returns the name of a decoder that can be used.

    Raises:
        ValueError: it is not one of `DECODERS`.
        ImportError: it, or PyAV, is not installed or does not load; the message names the extra to install.
    """
    decode.import_av()
    _chosen(name).load()
    return name


class _Decoder(NamedTuple):
    load: Callable[[], object]
    # The frames by index, upright and scaled; None where PyAV should read them. Without it PyAV always does.
    frames: Callable[[VideoInfo, list[int], tuple[int, int] | None], dict[int, np.ndarray] | None] | None


def _chosen(name: str) -> _Decoder:
    if name not in DECODERS:
        raise ValueError(f"decoder={name!r}: expected one of {', '.join(DECODERS)}")
    return DECODERS[name]


# --- torchcodec ---


@functools.cache
def _torchcodec() -> ModuleType:
    try:
        import torchcodec.decoders
    except (ImportError, OSError, RuntimeError) as error:
        raise ImportError(
            "decoder='torchcodec' needs torchcodec 0.11 or newer, made for the PyTorch that is installed, and the "
            f"shared libraries of FFmpeg 4 to 8; found torchcodec {version('torchcodec')} and torch {version('torch')} "
            f"({error}). Install them with: "
            "pip install 'magvit-keras[torchcodec]', and FFmpeg, for example with: apt-get install ffmpeg."
        ) from error
    return torchcodec.decoders


def _torchcodec_frames(info, wanted, size) -> dict[int, np.ndarray] | None:
    decoders = _torchcodec()
    if info.full_range or not info.exact:  # it does not see the flag, and frames without times it may take for others
        return None
    frames = {}
    try:
        # CPU, whatever PyTorch's default device is; one thread, since processes share the work.
        decoder = decoders.VideoDecoder(
            os.path.abspath(info.path),
            stream_index=info.stream,
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            device="cpu",
        )
        if len(decoder) != info.num_frames:
            return None
        for index in wanted:  # one by one, so that large frames never become large arrays
            frame = decoder.get_frame_at(index)
            # It counts frames in the order of their packets where these have no times (AVI with B-frames): its frame
            # of this number is then another one.
            if abs(frame.pts_seconds - info.timestamps[index] * info.clock) > _LATE:
                return None
            frames[index] = fitted(frame.data.numpy(), info, size)
    except (RuntimeError, ValueError, IndexError):  # what PyAV cannot read either, it will say
        return None
    return frames


DECODERS = {
    "pyav": _Decoder(decode.import_av, None),
    "torchcodec": _Decoder(_torchcodec, _torchcodec_frames),
    "tensorflow_io": _Decoder(tensorflow_io.load, tensorflow_io.frames),
}
