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
from magvit_keras.training.recipe import DEFAULT_MODEL, Settings
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
    source = mk.data.VideoFolder(options.folder, 16, (64, 64))
    held_out, rows = source.split(Settings.held_out, seed=Settings.seed)[1], []
    windows = [held_out.sample(index, window)[0]["video"] for index in range(len(held_out)) for window in range(6)]
    judged = {"others": np.load(options.judge), "own": np.stack(windows)}
    options.run.mkdir(parents=True, exist_ok=True)
    untrained = measured(mk.load_run(DEFAULT_MODEL), judged, options.run / "0.json", options.show, "0")
    rows.append(row("0", STARTS["natural"][1], "none", untrained))
    for minutes in options.minutes:
        for start, (arguments, said) in STARTS.items():
            out = options.run / f"{minutes:g}-{start}"
            if not (out / "magvit" / "model.weights.h5").exists():
                command = [sys.executable, "-m", "magvit_keras", "train", str(options.folder), "--out", str(out)]
                command += ["--minutes", f"{minutes:g}", *SIZES, *arguments, "--verbose", "2"]
                subprocess.run(command, check=True)
            found = measured(mk.load_run(out), judged, out / "measured.json", options.show, f"{minutes:g}_{start}")
            steps = json.loads((out / "settings.json").read_text())["settings"]
            count = f"{steps['tokenizer_steps']}, {steps['transformer_steps']}"
            rows.append(row(f"{minutes:g}", said, count, found))
    of_table = ["Minutes", "Start", "Steps", "Tokens hold, others", "Continued, others", "Tokens hold, own"]
    of_table += ["Continued, own", "Codes, others"]
    still = {which: np.repeat(clips[:, 4:5], clips.shape[1], axis=1) for which, clips in judged.items()}
    repeated = [f"{psnr(still[which][:, 5:], judged[which][:, 5:]):.1f} dB" for which in ("others", "own")]
    beside = (
        f"*Others*: {len(judged['others'])} clips of videos that are not in the folder; *own*: {len(judged['own'])} "
        f"clips of the {len(held_out)} videos in it that are held out. Means of blocks of 4x8x8 pixels reach "
        f"{block_means_psnr(judged['others'], (4, 8, 8)):.1f} dB on others, those of 4x4x4 "
        f"{block_means_psnr(judged['others'], (4, 4, 4)):.1f} dB; the last frame given, repeated in place of a "
        f"continuation, {repeated[0]} on others and {repeated[1]} on one's own."
    )
    longest = f"{max(options.minutes):g}"
    names = {"0": "As they come with the package", f"{longest}_natural": f"These, after {longest} minutes"}
    names[f"{longest}_none"] = f"Fresh weights, after {longest} minutes"
    pictures = [f"{said}:\n\n![{said}](../images/{PICTURE.format(name)})" for name, said in names.items()]
    shown = "Clips of others: true, by their tokens, and continued from their first five frames."
    about = heading(f"{len(source)} videos in the folder")
    parts = [table(of_table, rows, 3), beside, shown, *pictures, about]
    write_part("own_videos", "\n\n".join(parts), PAGE)


def row(minutes: str, start: str, steps: str, found: dict) -> list[str]:
    """Of the table."""
    numbers = [f"{found[which][what]:.1f} dB" for which in ("others", "own") for what in ("tokens", "continued")]
    codes = f"{found['others']['codes']} of {found['of']}"
    return [minutes, start, steps, *numbers, codes]


def measured(magvit: mk.Magvit, judged: dict[str, np.ndarray], kept: pathlib.Path, show: list[int], name: str) -> dict:
    """PSNR of reconstructions and of frames that continue five given ones; draws the picture. What is kept stays."""
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for which, clips in judged.items():
        if which in found:
            continue
        parts = [clips[i : i + 8] for i in range(0, len(clips), 8)]
        tokens = [magvit.tokenizer.encode(part) for part in parts]
        coded = np.concatenate([to_numpy(magvit.tokenizer.decode(ids)) for ids in tokens])
        continued = magvit.generate("frame_prediction", video=clips, keep_condition="details", num_revisions=1)
        used = len(np.unique(np.concatenate([to_numpy(ids).ravel() for ids in tokens])))
        found["of"] = magvit.tokenizer.codebook_size
        found[which] = {"tokens": psnr(coded, clips), "continued": psnr(continued[:, 5:], clips[:, 5:]), "codes": used}
        if which == "others":
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
