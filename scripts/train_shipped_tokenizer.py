"""Trains the tokenizer that the package ships, `3dvq_moving_shapes`, and writes it into the package.

    KERAS_BACKEND=torch python scripts/train_shipped_tokenizer.py --run runs/3dvq_moving_shapes
    python scripts/train_shipped_tokenizer.py --run runs/3dvq_moving_shapes --ship

First on small windows, which show a step many clips for little work, then on whole clips. The first command goes on
where it was when it is given again. The second measures the last checkpoint on held-out clips, and writes weights
(float16), scores and command to `magvit_keras/presets/shipped/`; the training need not have ended.
"""

import argparse
import json
import pathlib
import sys
import time

import keras
import numpy as np

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.data import MovingShapes
from magvit_keras.demo import DEMO_SHAPES
from magvit_keras.files import write_text
from magvit_keras.presets.shipped import write_shipped
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.optimizers import tokenizer_optimizer

NAME = "3dvq_moving_shapes"
CLIP = (8, 32, 32)
STAGES = {
    "windows": {"window": (4, 16, 16), "batch": 8, "learning_rate": 5e-4},
    "clips": {"window": CLIP, "batch": 4, "learning_rate": 1.5e-4},
}
EPOCH = 100


class Windows(keras.utils.PyDataset):
    """Random windows of random clips; which ones depends on seed, epoch and step alone."""

    def __init__(self, clips: np.ndarray, window: tuple[int, int, int], batch: int, seed: int):
        super().__init__()
        self.clips, self.window, self.batch, self.seed, self.epoch = clips, window, batch, seed, 0

    def __len__(self) -> int:
        return EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        chosen = []
        for index in rng.integers(0, len(self.clips), self.batch):
            starts = [rng.integers(0, size - w + 1) for size, w in zip(CLIP, self.window, strict=True)]
            t, y, x = (slice(s, s + w) for s, w in zip(starts, self.window, strict=True))
            chosen.append(self.clips[index, t, y, x])
        return np.stack(chosen)


def shapes(count: int, **options: object) -> np.ndarray:
    source = MovingShapes(count, num_frames=CLIP[0], size=CLIP[1:], **DEMO_SHAPES, **options)
    return source.arrays()["video"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--window-steps", type=int, default=20000)
    parser.add_argument("--clip-steps", type=int, default=1500)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ship", action="store_true", help="write the last checkpoint into the package")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    tokenizer = VideoTokenizer.from_preset(NAME, load_weights=False)
    held_out = shapes(64, split="validation")
    if options.ship:
        ship(tokenizer, options, held_out)
        return
    note(options.run)
    clips = shapes(options.clips, seed=options.seed)
    for stage, steps in (("windows", options.window_steps), ("clips", options.clip_steps)):
        about = STAGES[stage]
        data = Windows(clips, about["window"], about["batch"], options.seed)
        tokenizer.compile(optimizer=tokenizer_optimizer(steps, about["learning_rate"], beta_1=0.9))
        checkpoint = Checkpoint(options.run / stage, data=data)
        tokenizer.fit(
            data,
            validation_data=held_out,
            validation_batch_size=8,
            validation_freq=5,
            initial_epoch=checkpoint.restore(tokenizer),
            epochs=-(-steps // EPOCH),
            callbacks=[checkpoint],
            verbose=2,
        )


def note(run: pathlib.Path) -> None:
    """Keeps the command and the backend that trained, for the description of what is shipped."""
    run.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "scripts/train_shipped_tokenizer.py", *sys.argv[1:]])
    write_text(run / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")


def ship(tokenizer: VideoTokenizer, options: argparse.Namespace, held_out: np.ndarray) -> None:
    tokenizer.compile(optimizer=tokenizer_optimizer(1, beta_1=0.9))
    steps = {stage: EPOCH * Checkpoint(options.run / stage).restore(tokenizer) for stage in STAGES}
    alone = VideoTokenizer.from_preset(NAME, load_weights=False)  # without the optimizer
    alone.set_weights(tokenizer.get_weights())
    folder = write_shipped(alone, NAME)
    shipped = VideoTokenizer.from_preset(NAME)
    shipped.compile()
    scores = shipped.evaluate(held_out, batch_size=8, verbose=0, return_dict=True)
    ids = [keras.ops.convert_to_numpy(shipped.encode(held_out[i : i + 8])) for i in range(0, len(held_out), 8)]
    told = {
        "data": f"MovingShapes, {options.clips} clips {CLIP}, {DEMO_SHAPES}, split 'train', seed {options.seed}",
        "command": (options.run / "command.txt").read_text(),
        "stages": STAGES,
        "steps": steps,
        "date": time.strftime("%Y-%m-%d"),
        "held_out": f"{len(held_out)} clips of the split 'validation'",
        "psnr_db": round(float(scores["psnr"]), 2),
        "codes_used": f"{len(np.unique(ids))} of {tokenizer.codebook_size}",
        "licence": "Apache-2.0",
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
