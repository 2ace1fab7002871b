"""Trains the models for Moving Shapes that the package ships, and writes them into the package.

    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage image
    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage windows
    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage clips
    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage adversarial

The 2D-VQ learns frames; the 3D-VQ is inflated from it and learns windows of 16x32x32, which show a step more clips for
the work, then whole clips, then whole clips against a discriminator. Each command goes on where it was when it is
given again; `--steps` says how long the stage is to be, and the learning rate falls to zero there. With `--ship` a
stage's last checkpoint is measured on held-out clips and written to `magvit_keras/presets/shipped/`.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import keras
import numpy as np

from magvit_keras.callbacks.checkpoint import Checkpoint, write_text
from magvit_keras.data import MovingShapes
from magvit_keras.optimizers import tokenizer_optimizer
from magvit_keras.presets.shipped import write_shipped
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN

CLIP = (16, 64, 64)
#: How the clips look: plain shapes with faint textures, and nothing in front of them. All 36 classes.
LOOK = {"occlusion": 0.0, "texture": 0.15}
IMAGE_TOKENIZER = "2dvq_tiny_moving_shapes"
EPOCH = 50
STAGES = {  # in this order
    "image": {
        "window": (1, 64, 64),
        "batch": 32,
        "steps": 1500,
        "learning_rate": 1e-3,
        "of": "2dvq_tiny_moving_shapes",
    },
    "windows": {"window": (16, 32, 32), "batch": 8, "steps": 2000, "learning_rate": 1e-3},
    "clips": {"window": CLIP, "batch": 4, "steps": 800, "learning_rate": 5e-4},
    "adversarial": {"window": CLIP, "batch": 4, "steps": 300, "learning_rate": 1e-4},
}


class Windows(keras.utils.PyDataset):
    """Random windows of random clips, mirrored, transposed or backwards; seed, epoch and step decide which."""

    def __init__(self, clips: np.ndarray, window: tuple[int, int, int], batch: int, seed: int):
        super().__init__()
        self.clips, self.window, self.batch, self.seed, self.epoch = clips, window, batch, seed, 0

    def __len__(self) -> int:
        return EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        found = np.stack([self._view(rng, index) for index in rng.integers(0, len(self.clips), self.batch)])
        return found[:, 0] if self.window[0] == 1 else found

    def _view(self, rng: np.random.Generator, index: int) -> np.ndarray:
        starts = [rng.integers(0, size - w + 1) for size, w in zip(CLIP, self.window, strict=True)]
        clip = self.clips[index][tuple(slice(s, s + w) for s, w in zip(starts, self.window, strict=True))]
        for axis in range(3):
            if rng.random() < 0.5:
                clip = np.flip(clip, axis)
        return clip.transpose(0, 2, 1, 3) if rng.random() < 0.5 else clip


def rendered(folder: pathlib.Path, count: int, seed: int) -> np.ndarray:
    """The clips of the split "train", memory-mapped; rendered once."""
    path = folder / f"clips_{count}_{seed}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name("partial.npy")
        clips = np.lib.format.open_memmap(partial, "w+", "uint8", (count, *CLIP, 3))
        source = MovingShapes(count, CLIP[0], CLIP[1:], seed=seed, **LOOK)
        for index in range(count):
            clips[index] = source.read(index)["video"]
            if index % 1000 == 999:
                print(f"{index + 1} of {count} clips", flush=True)
        clips.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def held_out(count: int) -> np.ndarray:
    return MovingShapes(count, CLIP[0], CLIP[1:], split="validation", **LOOK).arrays()["video"]


def trainer(stage: str, options: argparse.Namespace) -> keras.Model:
    """The compiled model that a stage trains, with the weights of the stage before it."""
    about = STAGES[stage]
    if stage == "image":
        model = ImageTokenizer.from_preset(IMAGE_TOKENIZER, load_weights=False)
    else:
        model = VideoTokenizer.from_preset("3dvq_tiny_moving_shapes", load_weights=False)
    if stage == "windows":
        image = ImageTokenizer.from_preset(IMAGE_TOKENIZER, load_weights=False)
        image.load_weights(options.run / "image" / "model.weights.h5")
        inflate(image, model)
    elif stage != "image":
        before = list(STAGES)[list(STAGES).index(stage) - 1]
        model.load_weights(options.run / before / "model.weights.h5")
    rates = {"total_steps": options.steps, "learning_rate": about["learning_rate"]}
    if stage != "adversarial":
        model.compile(optimizer=tokenizer_optimizer(beta_1=0.9, **rates))
        return model
    discriminator = VideoDiscriminator.from_preset("discriminator_tiny_moving_shapes")
    vqgan = VQGAN(model, discriminator, perceptual_loss=None, ema_decay=0.99)
    vqgan.compile(tokenizer_optimizer(**rates), tokenizer_optimizer(**rates))
    return vqgan


def train(stage: str, options: argparse.Namespace) -> None:
    about, folder = STAGES[stage], options.run / stage
    folder.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "scripts/train_shipped_magvit.py", *sys.argv[1:]])
    write_text(folder / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    model = trainer(stage, options)
    data = Windows(rendered(options.run, options.clips, options.seed), about["window"], about["batch"], options.seed)
    checkpoint = Checkpoint(folder, data=data)
    clips = held_out(16)
    began, before = time.monotonic(), checkpoint.read().get("epoch", 0)
    model.fit(
        data,
        validation_data=clips[:, 0] if stage == "image" else clips,
        validation_batch_size=8,
        validation_freq=4,
        initial_epoch=checkpoint.restore(model),
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint],
        verbose=2,
    )
    tokenizer = model.ema_tokenizer if stage == "adversarial" else model
    alone = type(tokenizer).from_config(tokenizer.get_config())  # without the optimizer
    alone.set_weights(tokenizer.get_weights())
    alone.save_weights(folder / "partial.weights.h5", overwrite=True)
    os.replace(folder / "partial.weights.h5", folder / "model.weights.h5")
    print(f"{stage}: {checkpoint.read()['epoch'] - before} epochs in {time.monotonic() - began:.0f} s", flush=True)


def ship(stage: str, options: argparse.Namespace) -> None:
    kind, name = (ImageTokenizer, IMAGE_TOKENIZER) if stage == "image" else (VideoTokenizer, "3dvq_tiny_moving_shapes")
    model = kind.from_preset(name, load_weights=False)
    model.load_weights(options.run / stage / "model.weights.h5")
    folder = write_shipped(model, name)
    shipped = kind.from_preset(name)
    shipped.compile()
    clips = held_out(144)
    scores = shipped.evaluate(clips, batch_size=8, verbose=0, return_dict=True)
    ids = [keras.ops.convert_to_numpy(shipped.encode(clips[i : i + 8])) for i in range(0, len(clips), 8)]
    stages = ["image"] if stage == "image" else list(STAGES)[: list(STAGES).index(stage) + 1]
    told = {
        "data": f"MovingShapes, {options.clips} clips {CLIP}, {LOOK}, all classes, split 'train', seed {options.seed}",
        "commands": {name: (options.run / name / "command.txt").read_text() for name in stages},
        "stages": {name: {k: v for k, v in STAGES[name].items() if k in ("window", "batch")} for name in stages},
        "steps": {name: EPOCH * Checkpoint(options.run / name).read()["epoch"] for name in stages},
        "date": time.strftime("%Y-%m-%d"),
        "held_out": f"{len(clips)} clips of the split 'validation'",
        "psnr_db": round(float(scores["psnr"]), 2),
        "codes_used": f"{len(np.unique(ids))} of {shipped.codebook_size}",
        "licence": "Apache-2.0",
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--steps", type=int, help="length of the stage")
    parser.add_argument("--clips", type=int, default=6000, help="training clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="mixed_bfloat16", help="a policy of Keras")
    parser.add_argument("--ship", action="store_true", help="write the stage's model into the package")
    options = parser.parse_args()
    options.steps = options.steps or STAGES[options.stage]["steps"]
    keras.utils.set_random_seed(options.seed)
    if options.ship:
        ship(options.stage, options)
        return
    keras.config.set_dtype_policy(options.precision)
    train(options.stage, options)


if __name__ == "__main__":
    main()
