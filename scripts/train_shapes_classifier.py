"""Trains the classifier of Moving Shapes that the package ships, `shapes_classifier`, and writes it into the package.

    KERAS_BACKEND=torch python scripts/train_shapes_classifier.py --run runs/shapes_classifier
    KERAS_BACKEND=torch python scripts/train_shapes_classifier.py --run runs/shapes_classifier --ship

The first command renders the clips once, into the folder of the run, and goes on where it was when it is given again.
The second measures the last checkpoint on held-out clips, and writes weights (float16), scores and command to
`magvit_keras/presets/shipped/`, and outputs for a few clips to `tests/metrics/`, with which those of each backend are
compared.

A third of the clips are as `MovingShapes` makes them, a third as those of the demo (plain, free), a third anything in
between. What a clip shows stays what it is when the clip is mirrored or played backwards; turned by a quarter,
left_right and up_down change places. Batches are of 8 or 16 frames, of 64 x 64 or 32 x 32. Made clips are softer than
rendered ones, so some of those it learns from have flat blocks mixed in, or noise: little, for features must still tell
damage.
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
from magvit_keras.metrics.shapes_network import NAME, ShapesClassifier, shapes_classifier
from magvit_keras.metrics.shapes_scores import shapes_accuracy
from magvit_keras.presets.shipped import write_shipped

OUTPUTS = pathlib.Path(__file__).parents[1] / "tests" / "metrics" / "shapes_classifier_outputs.npz"
FRAMES, SIZE, SHORT = 16, 64, 8
BATCH, EPOCH = 32, 100
HELD_OUT = {  # name -> settings of MovingShapes, split "test"
    "default, 16x64x64": {"num_frames": 16, "size": 64},
    "default, 16x32x32": {"num_frames": 16, "size": 32},
    "default, 8x64x64": {"num_frames": 8, "size": 64},
    "demo, 8x32x32": {"num_frames": 8, "size": 32, **DEMO_SHAPES},
}
HELD_OUT_CLIPS = 720


class Views(keras.utils.PyDataset):
    """Batches of views of the clips; which ones depends on seed, epoch and step alone."""

    def __init__(self, clips: np.ndarray, labels: np.ndarray, turned: np.ndarray, seed: int):
        super().__init__()
        self.clips, self.labels, self.turned, self.seed, self.epoch = clips, labels, turned, seed, 0

    def __len__(self) -> int:
        return EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        order = np.random.default_rng([self.seed, (self.epoch * EPOCH + step) * BATCH // len(self.clips)])
        first = (self.epoch * EPOCH + step) * BATCH % len(self.clips)
        chosen = order.permutation(len(self.clips))[first : first + BATCH]
        frames, half = SHORT if rng.random() < 0.4 else FRAMES, rng.random() < 0.3
        found = [self._view(rng, int(index), frames, half) for index in chosen]
        return np.stack([clip for clip, _ in found]), np.array([label for _, label in found], "int32")

    def _view(self, rng: np.random.Generator, index: int, frames: int, half: bool) -> tuple[np.ndarray, int]:
        start = rng.integers(0, FRAMES - frames + 1)
        clip, label = self.clips[index, start : start + frames], self.labels[index]
        for axis in range(3):
            if rng.random() < 0.5:
                clip = np.flip(clip, axis)
        if rng.random() < 0.5:
            clip, label = clip.transpose(0, 2, 1, 3), self.turned[label]
        x = clip.astype("float32") / 255
        if half:
            x = _mean(x, 2)  # the network resizes it
        if rng.random() < 0.3:
            block = int(rng.choice([2, 4]))
            flat = _mean(x, block).repeat(block, axis=1).repeat(block, axis=2)
            x += rng.uniform(0.1, 0.6) * (flat - x)
        if rng.random() < 0.25:
            x += rng.uniform(0.0, 0.06) * rng.standard_normal(x.shape, "float32")
        x = (x - 0.5) * np.float32(rng.uniform(0.8, 1.1)) + np.float32(0.5 + rng.uniform(-0.08, 0.08))
        return np.clip(x, 0, 1, out=x), int(label)


def _mean(x: np.ndarray, block: int) -> np.ndarray:
    t, h, w, c = x.shape
    return x.reshape(t, h // block, block, w // block, block, c).mean(axis=(2, 4))


def render(folder: pathlib.Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The clips (memory-mapped), their labels, and what each class becomes when a clip is turned by a quarter."""
    plain, settings = MovingShapes(count, FRAMES, SIZE, seed), np.random.default_rng([seed, count]).random((count, 3))
    path = folder / f"clips_{count}_{seed}.npy"
    if not path.exists():
        partial = path.with_name("partial.npy")
        clips = np.lib.format.open_memmap(partial, "w+", "uint8", (count, FRAMES, SIZE, SIZE, 3))
        for index, (kind, occlusion, texture) in enumerate(settings):
            if kind < 1 / 3:
                look = {}
            elif kind < 2 / 3:
                look = {name: DEMO_SHAPES[name] for name in ("occlusion", "texture")}
            else:
                look = {"occlusion": occlusion, "texture": texture}
            clips[index] = MovingShapes(count, FRAMES, SIZE, seed, **look).read(index)["video"]
            if index % 1000 == 999:
                print(f"{index + 1} of {count} clips", flush=True)
        clips.flush()
        partial.rename(path)
    labels = np.array([plain.class_names.index(plain.name(index).split("/")[0]) for index in range(count)])
    swap = {"left_right": "up_down", "up_down": "left_right"}
    names = [name.split("_", 1) for name in plain.class_names]
    turned = np.array([plain.class_names.index(f"{shape}_{swap.get(motion, motion)}") for shape, motion in names])
    return np.load(path, mmap_mode="r"), labels, turned


def held_out(split: str, clips: int, **settings: object) -> tuple[np.ndarray, np.ndarray, list[str]]:
    source = MovingShapes(clips, split=split, **settings)
    arrays = source.arrays()
    return arrays["video"], arrays["label"], source.class_names


def compile_for(model: ShapesClassifier, steps: int, rate: float) -> None:
    warm = max(1, min(200, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 20, max(steps - warm, 1), alpha=0.0, warmup_target=rate, warmup_steps=warm
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False if keras.config.backend() == "torch" else "auto",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the clips and checkpoints")
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--clips", type=int, default=9600)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ship", action="store_true", help="write the last checkpoint into the package")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    model = ShapesClassifier()
    compile_for(model, options.steps, options.learning_rate)
    checkpoint = Checkpoint(options.run / "checkpoints")
    if options.ship:
        ship(model, checkpoint, options)
        return
    options.run.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "scripts/train_shapes_classifier.py", *sys.argv[1:]])
    write_text(options.run / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    data = Views(*render(options.run, options.clips, options.seed), options.seed)
    checkpoint.data = data
    video, label, _ = held_out("validation", 360)
    model.fit(
        data,
        validation_data=(video.astype("float32") / 255, label),
        validation_batch_size=BATCH,
        validation_freq=5,
        initial_epoch=checkpoint.restore(model),
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint],
        shuffle=False,
        verbose=2,
    )


def ship(model: ShapesClassifier, checkpoint: Checkpoint, options: argparse.Namespace) -> None:
    epochs = checkpoint.restore(model)
    if not epochs:
        raise SystemExit(f"{options.run} has no checkpoint: train first.")
    alone = ShapesClassifier()  # without the optimizer
    alone.set_weights(model.get_weights())
    folder = write_shipped(alone, NAME)
    shipped, clips = shapes_classifier(), held_out("test", 4)[0]
    outputs = {"features": shipped.features(clips), "logits": shipped(clips)}
    np.savez(OUTPUTS, **{name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()})
    scores = {}
    for name, settings in HELD_OUT.items():
        scores[name] = round(float(shapes_accuracy(*held_out("test", HELD_OUT_CLIPS, **settings))), 4)
        print(name, scores[name], flush=True)
    curve = checkpoint.history.get("val_accuracy", [])
    told = {
        "data": f"MovingShapes, {options.clips} clips {(FRAMES, SIZE, SIZE)} of all 36 classes, split 'train', seed "
        f"{options.seed}: a third by default settings, a third {_look()}, a third in between",
        "command": (options.run / "command.txt").read_text(),
        "steps": EPOCH * epochs,
        "batch": BATCH,
        "learning_rate": options.learning_rate,
        "seed": options.seed,
        "hardware": "one CPU core, float32",
        "date": time.strftime("%Y-%m-%d"),
        "held_out": f"{HELD_OUT_CLIPS} clips each of the split 'test'",
        "accuracy": scores,
        "validation_accuracy": {str(5 * EPOCH * (i + 1)): round(value, 4) for i, value in enumerate(curve)},
        "parameters": alone.count_params(),
        "licence": "Apache-2.0",
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


def _look() -> str:
    return ", ".join(f"{name} {DEMO_SHAPES[name]}" for name in ("occlusion", "texture"))


if __name__ == "__main__":
    main()
