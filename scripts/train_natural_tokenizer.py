"""Trains the tokenizers for real video that the package ships, and writes them into the package.

    KERAS_BACKEND=torch python scripts/train_natural_tokenizer.py 3dvq_fast_natural --photos PHOTOS --run RUN
    python scripts/train_natural_tokenizer.py 3dvq_fast_natural --photos PHOTOS --run RUN --judge CLIPS.npy --ship

PHOTOS is the folder that `gather_photographs.py` writes. `MovingPhotos` sets them in motion; clips are rendered once,
into RUN. The weights start in closed form (`adapt`), and few steps follow. CLIPS.npy, uint8 (N, 16, 64, 64, 3), are
real clips that no one trains on, beside CLIPS.json, a list of `{source, first_frame, sha256}`; they are scored on the
way and at the end. The command goes on where it was when it is given again.
"""

import argparse
import json
import pathlib
import sys
import time

import keras
import numpy as np
from gather_photographs import LIST
from shipped_parts import CLIP, EPOCH, KernelMuon, Windows, curves, note_plan, plans

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.data import MovingPhotos, MovingShapes
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import write_text
from magvit_keras.presets.shipped import write_shipped
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

KINDS = {"3dvq_fast_natural": (VideoTokenizer, CLIP, 8), "2dvq_fast_natural": (ImageTokenizer, (1, *CLIP[1:]), 64)}
ADAPTED = 256  # clips from which the closed form starts
LEARNING_RATE, WARM_UP = 0.005, 20


@keras.saving.register_keras_serializable("train_natural")
class Muon(KernelMuon):
    """Leaves to Adam the matrices that begin as principal components: they are right already, but for a little."""

    def _should_use_adamw(self, variable):
        return "shortcut" in variable.path or super()._should_use_adamw(variable)


class Score(keras.callbacks.Callback):
    """PSNR and codes on real clips, every few epochs, kept as a list in a file."""

    def __init__(self, clips: np.ndarray | None, file: pathlib.Path, every: int = 2):
        super().__init__()
        self.clips, self.file, self.every = clips, file, every

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.clips is not None and (epoch + 1) % self.every == 0:
            self.add((epoch + 1) * EPOCH)

    def add(self, step: int) -> None:
        told = {"step": step, "cpu_seconds": round(time.process_time()), **scores(self.model, self.clips)}
        rows = json.loads(self.file.read_text()) if self.file.exists() else []
        write_text(self.file, json.dumps([*rows, told]))
        print(told, flush=True)


def scores(tokenizer: keras.Model, clips: np.ndarray) -> dict:
    """Mean over clips of the PSNR, and the number of different codes."""
    found, ids = [], []
    for start in range(0, len(clips), 8):
        part = clips[start : start + 8]
        tokens = keras.ops.convert_to_numpy(tokenizer.encode(part))
        made = np.clip(keras.ops.convert_to_numpy(tokenizer.decode(tokens)), 0, 1)
        found += (-10 * np.log10(np.square(made - part / np.float32(255)).mean((1, 2, 3, 4)))).tolist()
        ids.append(np.unique(tokens))
    return {"psnr_db": round(float(np.mean(found)), 2), "codes": len(np.unique(np.concatenate(ids)))}


def rendered(options: argparse.Namespace) -> np.ndarray:
    """The training clips, mapped from a file that is rendered on the first call."""
    path = options.run / f"clips_{options.clips}.npy"
    if not path.exists():
        clips = MovingPhotos(options.photos, options.clips, CLIP[0], CLIP[1:], seed=options.seed)
        partial = path.with_suffix(".partial")
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (options.clips, *CLIP, 3))
        for index in range(options.clips):
            array[index] = clips.read(index)["video"]
        array.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def rate(steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Up in `WARM_UP` steps, level for half of the steps, then down to nought in a straight line."""
    level = keras.optimizers.schedules.PolynomialDecay(LEARNING_RATE, steps // 2, 0.0)

    @keras.saving.register_keras_serializable("train_natural")
    class Rate(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            step = keras.ops.cast(step, "float32")
            return level(keras.ops.maximum(step - steps // 2, 0)) * keras.ops.minimum((step + 1) / WARM_UP, 1)

        def get_config(self):
            return {}

    return Rate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=KINDS)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of clips and checkpoints")
    parser.add_argument("--judge", type=pathlib.Path, help="real clips, .npy")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ship", action="store_true", help="write the last checkpoint into the package")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    if keras.config.backend() == "torch":
        keep_memory()
    keras.utils.set_random_seed(options.seed)
    judge = None if options.judge is None else np.load(options.judge)
    if options.ship:
        ship(options, judge)
        return
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, window, batch = KINDS[options.name]
    tokenizer = model.from_preset(options.name, load_weights=False)
    clips = rendered(options)
    data = Windows(clips, window, batch, options.seed, pairs=False, turned=True)
    tokenizer.compile(optimizer=optimizer(options.steps))
    checkpoint = Checkpoint(options.run / options.name, data=data)
    first = checkpoint.restore(tokenizer)
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    note_plan(checkpoint.folder, first * EPOCH, options.steps)
    score = Score(judge, options.run / options.name / "scores.json")
    score.set_model(tokenizer)
    if not first:
        start = np.asarray(clips[:ADAPTED])
        tokenizer.adapt(start if model is VideoTokenizer else start[:, ::4])
        command = " ".join(["python", "scripts/train_natural_tokenizer.py", *sys.argv[1:]])
        write_text(score.file.with_name("command.txt"), f"KERAS_BACKEND={keras.config.backend()} {command}")
        if judge is not None:
            score.add(0)
    tokenizer.fit(
        data,
        initial_epoch=first,
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint, score],
        verbose=2,
    )


def optimizer(steps: int) -> Muon:
    return Muon(rate(steps), adam_lr_ratio=0.1, adam_beta_2=0.99, weight_decay=0.0, adam_weight_decay=0.0)


def ship(options: argparse.Namespace, judge: np.ndarray) -> None:
    """Writes weights, scores and sources into the package."""
    model, window, batch = KINDS[options.name]
    trained = model.from_preset(options.name, load_weights=False)
    trained.compile(optimizer=optimizer(options.steps))
    run = options.run / options.name
    epochs = Checkpoint(run).restore(trained)
    alone = model.from_preset(options.name, load_weights=False)  # without the optimizer
    alone.set_weights(trained.get_weights())
    folder = write_shipped(alone, options.name)
    shipped = model.from_preset(options.name)
    shipped.compile()
    found = scores(shipped, judge)
    shapes = MovingShapes(8, split="validation").arrays()["video"]
    shapes = shapes[:, 0] if model is ImageTokenizer else shapes
    told = {
        "data": f"MovingPhotos, {options.clips} clips {CLIP} of the photographs below, seed {options.seed}",
        "commands": {"train": (run / "command.txt").read_text()},
        "stages": {"train": {"window": window, "batch": batch}},
        "steps": {"train": epochs * EPOCH},
        **plans([run]),
        "seed": options.seed,
        "curves": {"train": curves(run)},
        "curve_on_real_clips": json.loads((run / "scores.json").read_text()),
        "hardware": f"less than one CPU core, {keras.config.backend()}, mixed_bfloat16",
        "date": time.strftime("%Y-%m-%d"),
        "held_out": f"{len(judge)} clips (16, 64, 64) of real videos",
        "psnr_db": found["psnr_db"],
        "codes_used": f"{found['codes']} of {shipped.codebook_size}",
        "psnr_of_the_first_8_db": round(float(shipped.evaluate(shapes, verbose=0, return_dict=True)["psnr"]), 3),
        "psnr_of_means_db": {
            "the whole clip": means_psnr(judge, CLIP),
            "blocks of 4x8x8": means_psnr(judge, (4, 8, 8)),
            "blocks of 4x4x4": means_psnr(judge, (4, 4, 4)),
        },
        "licence": "Apache-2.0; the photographs have licences of their own",
        "photographs": json.loads(LIST.read_text()),
        "real_clips": json.loads(options.judge.with_suffix(".json").read_text()),
    }
    write_text(folder / "training.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({name: told[name] for name in ("held_out", "psnr_db", "codes_used", "psnr_of_means_db")}))


def means_psnr(clips: np.ndarray, block: tuple[int, int, int]) -> float:
    """PSNR, mean over clips, where each block of pixels has its mean colour."""
    t, h, w = block
    x = clips.astype("float32") / 255
    x = x.reshape(len(x), CLIP[0] // t, t, CLIP[1] // h, h, CLIP[2] // w, w, 3)
    error = np.square(x - x.mean((2, 4, 6), keepdims=True)).mean((1, 2, 3, 4, 5, 6, 7))
    return round(float(np.mean(-10 * np.log10(error))), 2)


if __name__ == "__main__":
    main()
