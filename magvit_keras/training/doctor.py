"""Examines a folder of videos before training: what it holds, how well it can be learned, and how long that takes."""

import math
import os
import pathlib
import shlex
import statistics
from collections.abc import Callable

import keras
import numpy as np

from magvit_keras.data import VideoFolder
from magvit_keras.data.files.decode import probe
from magvit_keras.metrics.frames import psnr
from magvit_keras.presets.listing import list_presets
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training import measure
from magvit_keras.training.data import some_clips
from magvit_keras.training.recipe import DEFAULT_MODEL, Settings
from magvit_keras.training.steps import duration
from magvit_keras.training.train import seconds_of_steps
from magvit_keras.visualize import save_png_strip, side_by_side

#: Frames a second at which things move far enough from frame to frame.
_FPS = 12
_CLIPS = 4
_SHAPE = (Settings.num_frames, *Settings.size)
# How much faster half precision must be for its numbers to be worth it.
_WORTH_IT = 1.2


def examine(
    folder: str | os.PathLike, out: str | os.PathLike, minutes: float = 120.0, say: Callable[[str], None] = print
) -> str:
    """Scans a folder, reconstructs four clips through every tokenizer that has weights, and times a few steps.

    Args:
        folder: of videos.
        out: picture to write, .png: a row for each tokenizer, the true clips first.
        minutes: how long the training may take.
        say: is called with each line of the report.

    Returns:
        The command that trains.

    Raises:
        ValueError: no video can be read.
        FileNotFoundError: there is none.

    Example:
        >>> examine("videos", "videos.png")  # doctest: +SKIP
    """
    source = VideoFolder(folder, _SHAPE[0], _SHAPE[1:])
    report = source.scan()
    say(str(report))
    if not report.readable:
        raise ValueError(f"None of the {len(source)} videos can be read; the list above says why.")
    found = [probe(pathlib.Path(folder, name)) for name in report.readable[:50]]
    rates = [info.fps for info in found if info.fps]
    frames = statistics.median(info.num_frames for info in found)
    fps = statistics.median(rates) if rates else _FPS
    mixed = rates and max(rates) > 1.2 * min(rates)
    stride = max(1, min(round((_FPS if mixed else fps) / _FPS), int(frames) // _SHAPE[0]))
    rows, columns = (statistics.median(getattr(info, side) for info in found) for side in ("height", "width"))
    rate = f"{min(rates):g} to {max(rates):g}" if mixed else f"{fps:g}"
    say(f"Half of them have {frames:.0f} frames or more; {columns:.0f} x {rows:.0f} pixels, {rate} frames a second.")

    clips = some_clips(source, _CLIPS)
    ceiling, best = _reconstructions(clips, pathlib.Path(out), say)
    say(f"The best of them, {best}, reaches {ceiling:.1f} dB: what a training on your own videos should reach, too.")

    # Of the size of the model that has learned something already.
    settings = Settings(start_from=DEFAULT_MODEL)
    seconds, faster = seconds_of_steps(settings, source), _seconds_in_half_precision(settings, source)
    half = sum(seconds) >= _WORTH_IT * sum(faster)
    say(f"A step of each stage: {sum(seconds):.2f} s; with --precision bfloat16 {sum(faster):.2f} s.")
    seconds = faster if half else seconds
    steps = measure.chosen_steps(seconds, 60 * minutes, settings.decoder_only)
    total = sum(n * each for n, each in zip(steps, seconds, strict=True))
    memory = measure.memory_bytes() / 1e9
    clip = "x".join(map(str, _SHAPE))
    say(f"Recommended: {DEFAULT_MODEL} trained further, clips of {clip}, one frame in {stride}; {duration(total)}.")
    if memory:
        say(f"Memory of this process: {memory:.1f} GB.")
    sizes = ["--frames", _SHAPE[0], "--size", f"{_SHAPE[1]}x{_SHAPE[2]}", "--stride", stride]
    lengths = ["--tokenizer-steps", steps[0], "--transformer-steps", steps[1]]
    more = [*(["--fps", _FPS] if mixed else []), *(["--precision", "bfloat16"] if half else [])]
    name = pathlib.Path(folder).resolve().name
    return shlex.join(map(str, ["magvit-keras", "train", folder, "--out", f"runs/{name}", *sizes, *more, *lengths]))


def _seconds_in_half_precision(settings: Settings, source: VideoFolder) -> tuple[float, float]:
    """Of a step of each stage, as `seconds_of_steps`."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return seconds_of_steps(settings, source)
    finally:
        keras.config.set_dtype_policy(policy)


def _reconstructions(clips: np.ndarray, out: pathlib.Path, say: Callable[[str], None]) -> tuple[float, str]:
    """Writes the picture; returns the best PSNR and whose it is."""
    shown, scores = {"true": clips}, {}
    true = clips.astype("float32") / 255
    for row in list_presets(weights=True):
        if row["class"] == "VideoTokenizer":
            tokenizer = VideoTokenizer.from_preset(row["name"])
            made = np.clip(np.asarray(tokenizer.predict(clips, batch_size=2, verbose=0), "float32"), 0, 1)
            scores[row["name"]] = float(keras.ops.convert_to_numpy(psnr(true, made)).mean())
            shown[f"{row['name']}: {scores[row['name']]:.1f} dB"] = np.round(255 * made).astype("uint8")
            tokens = math.prod(tokenizer.latent_shape(clips.shape[1:4]))
            blocks = measure.block_means_psnr(clips, tokenizer.downsampling)
            say(f"{row['name']}: {scores[row['name']]:.1f} dB with {tokens} tokens; block means {blocks:.1f} dB")
    best = max(scores, key=scores.get)
    middle = clips.shape[1] // 2
    frames = {name: each[:, middle : middle + 1] for name, each in shown.items()}
    save_png_strip(out, side_by_side(frames, scale=2)[None])
    say(f"The picture is {out}.")
    return scores[best], best
