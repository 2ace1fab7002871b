"""What so many minutes of `magvit-keras train` make of a folder of one's own videos: the table of "Your own videos".

    KERAS_BACKEND=torch python benchmarks/own_videos.py FOLDER --judge CLIPS.npy --run RUN --minutes 5 30 120

Each row is a run of the command, by RUN/MINUTES-START, with its defaults and with `--from none`; one that is there
already is measured only. CLIPS.npy, uint8 (N, 16, 64, 64, 3), are clips of videos that are not in FOLDER. The picture
shows some of them, as they are, as tokens hold them, and continued from their first frames. The first row is of the
weights that come with the package, as they are.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
from heading import heading
from page import table, write_part

import magvit_keras as mk
from magvit_keras.checks import to_numpy
from magvit_keras.training.measure import block_means_psnr
from magvit_keras.training.recipe import DEFAULT_MODEL
from magvit_keras.visualize.notebook import picture_bytes

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE = DOCS / "how_to" / "own_videos.md"
PICTURE = "own_videos_{}.webp"
SIZES = ["--frames", "16", "--size", "64x64"]
STARTS = {"natural": ([], "the weights that come with the package"), "none": (["--from", "none"], "fresh weights")}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=pathlib.Path)
    asked.add_argument("--judge", type=pathlib.Path, required=True)
    asked.add_argument("--run", type=pathlib.Path, required=True)
    asked.add_argument("--minutes", type=float, nargs="*", default=[5.0, 30.0, 120.0])
    asked.add_argument("--show", type=int, nargs="*", default=[0, 1, 2, 3], help="clips of the picture")
    options = asked.parse_args()
    clips, rows = np.load(options.judge), []
    options.run.mkdir(parents=True, exist_ok=True)
    untrained = measured(mk.load_run(DEFAULT_MODEL), clips, options.run / "0.json", options.show, "0")
    rows.append(row("0", STARTS["natural"][1], "none", untrained, "0"))
    for minutes in options.minutes:
        for start, (arguments, said) in STARTS.items():
            out = options.run / f"{minutes:g}-{start}"
            if not (out / "magvit" / "model.weights.h5").exists():
                command = [sys.executable, "-m", "magvit_keras", "train", str(options.folder), "--out", str(out)]
                command += ["--minutes", f"{minutes:g}", *SIZES, *arguments, "--verbose", "2"]
                subprocess.run(command, check=True)
            found = measured(mk.load_run(out), clips, out / "measured.json", options.show, f"{minutes:g}_{start}")
            steps = json.loads((out / "settings.json").read_text())["settings"]
            count = f"{steps['tokenizer_steps']}, {steps['transformer_steps']}"
            rows.append(row(f"{minutes:g}", said, count, found, f"{minutes:g}_{start}"))
    of_table = ["Minutes", "Start", "Steps", "Tokens hold", "Codes", "Continued", "True, by tokens, continued"]
    still = np.repeat(clips[:, 4:5], clips.shape[1], axis=1)
    beside = (
        f"Means of blocks of 4x8x8 pixels reach {block_means_psnr(clips, (4, 8, 8)):.1f} dB, those of 4x4x4 "
        f"{block_means_psnr(clips, (4, 4, 4)):.1f} dB; the last frame given, repeated in place of a continuation, "
        f"{psnr(still[:, 5:], clips[:, 5:]):.1f} dB."
    )
    about = heading(f"{len(list(options.folder.rglob('*.*')))} videos, measured on {len(clips)} clips of others")
    write_part("own_videos", f"{table(of_table, rows, 3)}\n\n{beside}\n\n{about}", PAGE)


def row(minutes: str, start: str, steps: str, found: dict, name: str) -> list[str]:
    """Of the table."""
    numbers = [f"{found['psnr_db']:.1f} dB", f"{found['codes']} of {found['of']}", f"{found['prediction_db']:.1f} dB"]
    return [minutes, start, steps, *numbers, f"![](../images/{PICTURE.format(name)})"]


def measured(magvit: mk.Magvit, clips: np.ndarray, kept: pathlib.Path, show: list[int], name: str) -> dict:
    """PSNR of reconstructions and of frames that continue five given ones; draws the picture."""
    if kept.exists():
        return json.loads(kept.read_text())
    parts = [clips[i : i + 8] for i in range(0, len(clips), 8)]
    tokens = [magvit.tokenizer.encode(part) for part in parts]
    coded = np.concatenate([to_numpy(magvit.tokenizer.decode(ids)) for ids in tokens])
    continued = magvit.generate("frame_prediction", video=clips, keep_condition="details", num_revisions=1)
    used = len(np.unique(np.concatenate([to_numpy(ids).ravel() for ids in tokens])))
    found = {
        "psnr_db": psnr(coded, clips),
        "prediction_db": psnr(continued[:, 5:], clips[:, 5:]),
        "codes": used,
        "of": magvit.tokenizer.codebook_size,
    }
    columns = [np.concatenate([x[i] for i in show], axis=1) for x in (clips / 255, coded, continued)]
    frames = (np.concatenate(columns, axis=2) * 255).round().astype("uint8").repeat(2, axis=1).repeat(2, axis=2)
    (DOCS / "images" / PICTURE.format(name)).write_bytes(picture_bytes(frames)[1])
    kept.write_text(json.dumps(found))
    return found


def psnr(made: np.ndarray, clips: np.ndarray) -> float:
    """Mean over clips; `clips` uint8 or floats like `made`."""
    made, real = (x / np.float32(255) if x.dtype == np.uint8 else x for x in (made, clips))
    error = np.square(made - real).reshape(len(real), -1).mean(1)
    return float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
