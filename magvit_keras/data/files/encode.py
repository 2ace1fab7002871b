"""Writing clips as video files with PyAV."""

from __future__ import annotations

import io
import os
import pathlib
from fractions import Fraction

import numpy as np
from PIL import Image

from magvit_keras.data.arguments import check_fps
from magvit_keras.data.files.decode import address, import_av
from magvit_keras.files import atomic_path

# extension -> codec, pixel format, options of the encoder; near-lossless, since the files are training data
_H264 = ("libx264", "yuv420p", {"crf": "14", "preset": "veryfast", "threads": "1"})
FORMATS = {
    "mp4": _H264,
    "mov": _H264,
    "mkv": _H264,
    "avi": ("mpeg4", "yuv420p", {"flags": "+qscale", "global_quality": str(2 * 118), "threads": "1"}),
    "webm": ("libvpx-vp9", "yuv420p", {"crf": "18", "b": "0", "deadline": "realtime", "cpu-used": "8", "threads": "1"}),
}


def check_extension(extension: str) -> str:
    """Returns the extension in lower case and without its dot.

    Raises:
        ValueError: no encoder is known for it.
    """
    plain = str(extension).lower().lstrip(".")
    if plain not in FORMATS and plain != "gif":
        raise ValueError(f"cannot write .{plain} videos; expected one of {', '.join(FORMATS)}, gif")
    return plain


def write_video(path: str | os.PathLike, clip: np.ndarray, fps: float = 8) -> pathlib.Path:
    """Writes one clip; the format follows the extension of the path.

    The file appears under its name when it is complete, so that a killed process leaves no half video.

    Args:
        path: ends in .mp4, .mov, .mkv (H.264), .avi (XVID), .webm (VP9) or .gif.
        clip: uint8 (T, H, W, 3). Odd heights and widths are kept. A GIF stores equal neighbouring frames as one.
        fps: frames per second, 0.01 to 1000.

    Returns:
        The path.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: the clip has another shape or type, or the extension is unknown.

    Example:
        >>> import numpy as np, tempfile
        >>> from magvit_keras.data import read_video, write_video
        >>> path = write_video(tempfile.mkdtemp() + "/clip.mp4", np.zeros((5, 32, 48, 3), np.uint8), fps=8)
        >>> read_video(path).shape
        (5, 32, 48, 3)
    """
    path, clip = pathlib.Path(path), np.asarray(clip)
    extension = check_extension(path.suffix)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or 0 in clip.shape:
        raise ValueError(f"clip: expected uint8 (T, H, W, 3), received {clip.dtype} {clip.shape}")
    fps = check_fps(fps)
    with atomic_path(path) as partial:
        if extension == "gif":
            partial.write_bytes(gif_bytes(clip, fps))
        else:
            _encode(partial, clip, fps, extension)
    return path


def _encode(path: pathlib.Path, clip: np.ndarray, fps: float, extension: str) -> None:
    av = import_av()
    codec, pixel_format, options = FORMATS[extension]
    height, width = clip.shape[1:3]
    if codec == "libx264" and (height % 2 or width % 2):
        pixel_format = "yuv444p"  # 4:2:0 halves the colour planes, and H.264 then wants even sizes
    kind = "matroska" if extension == "mkv" else extension
    with address(path, "w") as file, av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if extension == "avi":
            stream.codec_context.codec_tag = "XVID"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def gif_bytes(clip: np.ndarray, fps: float = 8) -> bytes:
    """Encodes a GIF that loops for ever.

    Args:
        clip: uint8 (T, H, W, 3).
        fps: frames per second, at most 50: browsers slow anything faster down.

    Returns:
        The content of the file, the same for the same clip.
    """
    fps = check_fps(fps)
    # Without dither: its grain would flicker from frame to frame.
    frames = [
        Image.fromarray(frame).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for frame in clip
    ]
    # GIF counts in hundredths of a second: rounding the times, not the durations, keeps the speed.
    times = np.round(np.arange(len(clip) + 1) * 100 / min(fps, 50)).astype(int) * 10
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=np.diff(times).tolist(), loop=0, optimize=False
    )
    return file.getvalue()
