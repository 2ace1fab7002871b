"""The whole path on small made videos: files, tokens, training, new clips, one HTML page."""

import json
import math
import pathlib
import time

import numpy as np
from keras import ops

from magvit_keras.checks import to_float
from magvit_keras.data import MovingShapes, VideoFolder
from magvit_keras.generation import Generation
from magvit_keras.magvit import Magvit
from magvit_keras.run import Settings, train_run
from magvit_keras.visualize import Figure, Section, decoding_steps, save_gif, token_map, write_report

#: Moving Shapes that small models can learn in minutes: few shapes, faint textures, nothing in front of them.
DEMO_SHAPES = {"shapes": ("circle", "square", "star"), "occlusion": 0.0, "texture": 0.15}

_FPS = 8
_SCALE = 4


def demo_settings(fast: bool = False) -> Settings:
    """Small enough for two CPU cores and ten minutes; `fast` only shows that everything runs."""
    return Settings(
        num_frames=8,
        height=32,
        width=32,
        tasks=("frame_prediction", "class_conditional_generation"),
        tokenizer="3dvq_moving_shapes",
        transformer={"num_layers": 4, "hidden_size": 128, "num_heads": 4, "mlp_dim": 512, "dropout": 0.0},
        batch_size=4,
        transformer_batch_size=16,
        tokenizer_steps=6 if fast else 100,
        transformer_steps=6 if fast else 500,
        steps_per_epoch=3 if fast else 50,
        tokenizer_learning_rate=1e-4,
        transformer_learning_rate=1e-3,
        token_passes=1,
        class_dropout=0.1,
        held_out=0.1,
    )


def run_demo(out: pathlib.Path, fast: bool = False, verbose: int = 1) -> pathlib.Path:
    """Writes videos to `out/videos`, trains on them, and writes GIFs and `out/index.html`.

    Args:
        out: the folder; a demo that was stopped goes on where it was.
        fast: a few steps only.
        verbose: as in `train_run`.

    Returns:
        The path of the page.
    """
    began = time.monotonic()
    out = pathlib.Path(out)
    shapes = MovingShapes(
        24 if fast else 400,
        num_frames=12,
        size=(32, 32),
        motions=("left_right", "up_down", "orbit"),
        **DEMO_SHAPES,
    )
    shapes.write_videos(out / "videos", fps=_FPS)
    settings = demo_settings(fast)
    magvit = train_run(out / "videos", out / "run", settings, verbose=verbose)
    source = VideoFolder(out / "videos", settings.num_frames, (settings.height, settings.width))
    _, held_out = source.split(settings.held_out, seed=settings.seed)
    # Spread over the classes, in which the clips are sorted.
    chosen = np.linspace(0, len(held_out) - 1, min(6, len(held_out))).astype(int)
    clips = to_numpy(to_float(np.stack([held_out[int(index)]["video"] for index in chosen])))
    predicted = magvit.generate("frame_prediction", video=clips[:3], return_details=True)
    count = min(6, source.num_classes)
    labels = np.arange(count) * source.num_classes // count
    made = magvit.generate("class_conditional_generation", label=labels, return_details=True)
    _write_gifs(out, magvit, clips, predicted, made)
    page = write_report(
        out / "index.html", _sections(magvit, out, clips, predicted, made, labels, source), "MAGVIT on Moving Shapes"
    )
    if verbose:
        print(f"Done after {(time.monotonic() - began) / 60:.1f} minutes.")
    return page


def to_numpy(x: object) -> np.ndarray:
    """A backend tensor as a NumPy array."""
    return ops.convert_to_numpy(ops.stop_gradient(x))


def reconstruct(magvit: Magvit, clips: np.ndarray) -> np.ndarray:
    """Clips after encoding and decoding, in [0, 1]."""
    return np.clip(to_numpy(magvit.tokenizer.decode(magvit.tokenizer.encode(clips))), 0, 1)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over clips of the peak signal-to-noise ratio in dB, pixels in [0, 1]."""
    error = np.mean((a - b) ** 2, axis=(1, 2, 3, 4))
    return float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))


def _write_gifs(out: pathlib.Path, magvit: Magvit, clips: np.ndarray, predicted: Generation, made: Generation) -> None:
    save_gif(out / "reconstruction.gif", np.concatenate([clips, reconstruct(magvit, clips)]), _FPS, len(clips))
    save_gif(out / "frame_prediction.gif", np.concatenate([clips[:3], predicted.video]), _FPS, 3)
    save_gif(out / "generated.gif", made.video, _FPS)


def _sections(
    magvit: Magvit,
    out: pathlib.Path,
    clips: np.ndarray,
    predicted: Generation,
    made: Generation,
    labels: np.ndarray,
    source: VideoFolder,
) -> list[Section]:
    codes = magvit.tokenizer.codebook_size
    again = reconstruct(magvit, clips)
    tokens = to_numpy(magvit.tokenizer.encode(clips))
    frozen = np.repeat(clips[:3, :1], clips.shape[1], axis=1)
    steps = _steps_as_picture(predicted, codes)
    history = _history(out)
    return [
        Section(
            "Videos in",
            f"{len(source)} .mp4 files of {source.num_classes} classes were written, read back and cut into clips of "
            f"{clips.shape[1]} frames, {clips.shape[2]}x{clips.shape[3]}. These were held out of the training.",
            [Figure(_large(clips), "Held-out clips.", fps=_FPS, columns=3)],
        ),
        Section(
            "Tokens and back (Sec. 3.1)",
            f"The tokenizer turns a clip into {'x'.join(map(str, tokens.shape[1:]))} tokens out of {codes}. "
            "It began with the weights that come with the package, and was trained further on these videos. "
            f"Decoded again, the held-out clips have {psnr(clips, again):.1f} dB; "
            f"these clips use {len(np.unique(tokens))} codes.",
            [
                Figure(_large(again), "The same clips, encoded and decoded.", fps=_FPS, columns=3),
                Figure(
                    [np.repeat(_large(token_map(t, codes), 16), 2, axis=0) for t in tokens[:3]],
                    "Their tokens, a colour for each code; a frame here is a frame of tokens.",
                    fps=2,
                    columns=3,
                ),
            ],
        ),
        Section(
            "Frame prediction (Sec. 3.2)",
            "One frame is given; the masked transformer makes the others in 12 steps. One frame does not say which way "
            "things move: what is made may be right and still not the true clip. "
            f"PSNR to the true clips {psnr(clips[:3], predicted.video):.1f} dB; "
            f"repeating the given frame has {psnr(clips[:3], frozen):.1f} dB.",
            [
                Figure(_large(predicted.condition_video), "Given: the first frame, repeated.", fps=_FPS, columns=3),
                Figure(_large(predicted.video), "Made.", fps=_FPS, columns=3),
                Figure(_large(clips[:3]), "True.", fps=_FPS, columns=3),
            ],
        ),
        Section(
            "Decoding, step by step (Algorithm 1, Fig. 3)",
            "All tokens are predicted at once, and the most certain ones are kept; grey tokens are predicted again.",
            [
                Figure(
                    steps, "The first prediction, step by step in reading order; in each the frames of tokens in a row."
                )
            ],
        ),
        Section(
            "Class-conditional generation",
            "Nothing is given but the class. A few minutes on a CPU teach colours and places, and hardly shapes.",
            [
                Figure(
                    _large(made.video),
                    "Made from the class alone.",
                    fps=_FPS,
                    columns=3,
                    labels=[source.class_names[label] for label in labels],
                )
            ],
        ),
        Section("Training", "Losses at the first and the last epoch.", [Figure(history, "From run/history.json.")]),
    ]


def _large(clips: np.ndarray, factor: int = _SCALE) -> np.ndarray:
    return np.repeat(np.repeat(clips, factor, axis=-3), factor, axis=-2)


def _steps_as_picture(predicted: Generation, codebook_size: int) -> np.ndarray:
    """The steps of the first clip in three columns, each a row of the frames of tokens."""
    pictures = decoding_steps(predicted.steps.predicted[:, 0], predicted.steps.unknown[:, 0], codebook_size)
    rows = [np.concatenate(list(step), axis=1) for step in np.asarray(pictures)]  # K times (h, t * w, 3)
    rows = [np.pad(_large(row, 8), ((6, 6), (6, 6), (0, 0)), constant_values=255) for row in rows]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % 3)
    return np.concatenate([np.concatenate(rows[i : i + 3], axis=1) for i in range(0, len(rows), 3)])


def _history(out: pathlib.Path) -> dict[str, str]:
    stages = json.loads((out / "run" / "history.json").read_text())
    rows = {}
    for stage, name in (("tokenizer", "reconstruction_loss"), ("tokenizer", "psnr"), ("transformer", "loss")):
        values = [value for value in stages[stage].get(name, []) if math.isfinite(value)]
        if values:
            rows[f"{stage} {name}"] = f"{values[0]:.4g} to {values[-1]:.4g}"
    return rows
