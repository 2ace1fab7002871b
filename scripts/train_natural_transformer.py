"""Trains the transformer of `magvit_tiny_natural`, all ten tasks, on clips of `train_natural_tokenizer.py`.

    KERAS_BACKEND=torch python scripts/train_natural_transformer.py --run RUN --clips RUN/clips_5000.npy
    KERAS_BACKEND=torch python scripts/train_natural_transformer.py --run RUN --judge CLIPS.npy

The tokenizer is the shipped `3dvq_fast_natural`, or the checkpoint that `--tokenizer` names. Clips are mirrored,
transposed and turned backwards at random, and encoded as they come. Given again, the command goes on where it was. The
second command measures frame prediction and central inpainting on real clips, beside the last frame repeated and the
hole filled with the mean of its border.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
from shipped_parts import CLIP, EPOCH, KernelMuon, Windows
from train_shipped_transformer import start_from_codes, start_from_places

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import write_text
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.optimizers import warmup_cosine

MODEL, TOKENIZER = "magvit_tiny_natural", "3dvq_fast_natural"


class Labelled(Windows):
    """Whole clips, all of class 0."""

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        video = super().__getitem__(step)
        return {"video": video, "label": np.zeros(len(video), "int32")}


def model(options: argparse.Namespace) -> Magvit:
    """The model with its tokenizer's weights, ready to be fitted."""
    magvit = Magvit.from_preset(MODEL, load_weights=False)
    if options.tokenizer is None:
        tokenizer = VideoTokenizer.from_preset(TOKENIZER)
    else:
        tokenizer = VideoTokenizer.from_preset(TOKENIZER, load_weights=False)
        tokenizer.load_weights(options.tokenizer)
    magvit.tokenizer.set_weights(tokenizer.get_weights())
    magvit.tokenizer.trainable = False
    rate = warmup_cosine(options.learning_rate, options.steps, 100)
    magvit.compile(
        optimizer=KernelMuon(rate, adam_lr_ratio=0.1, adam_beta_2=0.98, weight_decay=0.0, adam_weight_decay=0.0)
    )
    return magvit


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over clips."""
    error = np.square(a - b).reshape(len(a), -1).mean(1)
    return round(float(np.mean(-10 * np.log10(np.maximum(error, 1e-10)))), 2)


def measure(magvit: Magvit, clips: np.ndarray) -> dict:
    """PSNR of what a task makes, where nothing was given, beside that of a fill that learned nothing."""
    truth = clips.astype("float32") / 255
    found = {}
    known = magvit.tasks["frame_prediction"].num_condition_frames
    made = np.concatenate([magvit.generate("frame_prediction", video=c[None], seed=0) for c in truth])
    still = np.broadcast_to(truth[:, known - 1 : known], truth[:, known:].shape)
    found["frame_prediction"] = {
        "psnr_db": psnr(made[:, known:], truth[:, known:]),
        "last_frame_db": psnr(still, truth[:, known:]),
    }
    made = np.concatenate([magvit.generate("central_inpainting", video=c[None], seed=0) for c in truth])
    h, w = CLIP[1] // 4, CLIP[2] // 4
    hole = (slice(None), slice(None), slice(h, 3 * h), slice(w, 3 * w))
    ring = np.zeros(CLIP[1:], bool)  # four pixels around the hole
    ring[h - 4 : 3 * h + 4, w - 4 : 3 * w + 4] = True
    ring[h : 3 * h, w : 3 * w] = False
    border = truth[:, :, ring].mean(2)[:, :, None, None]
    found["central_inpainting"] = {
        "psnr_db": psnr(made[hole], truth[hole]),
        "border_mean_db": psnr(np.broadcast_to(border, truth[hole].shape), truth[hole]),
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--clips", type=pathlib.Path, help="training clips, .npy; trains")
    parser.add_argument("--tokenizer", type=pathlib.Path, help="weights, .weights.h5; the shipped ones by default")
    parser.add_argument("--judge", type=pathlib.Path, help="real clips, .npy; measures")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.006)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if keras.config.backend() == "torch":
        keep_memory()
    keras.utils.set_random_seed(options.seed)
    folder = options.run / MODEL
    if options.clips is not None:
        keras.config.set_dtype_policy("mixed_bfloat16")
    magvit = model(options)
    checkpoint = Checkpoint(folder)
    if options.clips is None:
        checkpoint.restore(magvit)
        told = {"date": time.strftime("%Y-%m-%d"), "steps": EPOCH * checkpoint.read().get("epoch", 0)}
        told |= measure(magvit, np.load(options.judge))
        write_text(folder / "scores.json", json.dumps(told, indent=1) + "\n")
        print(json.dumps(told))
        return
    data = Labelled(np.load(options.clips, mmap_mode="r"), CLIP, options.batch, options.seed, pairs=False, turned=True)
    checkpoint = Checkpoint(folder, data=data)
    first = checkpoint.restore(magvit)
    if not first:
        start_from_codes(magvit, options.seed)
        start_from_places(magvit)
    magvit.fit(data, initial_epoch=first, epochs=-(-options.steps // EPOCH), callbacks=[checkpoint], verbose=2)


if __name__ == "__main__":
    main()
