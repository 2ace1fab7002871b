"""One model for all ten tasks (Table 4 in miniature), on Moving Shapes: losses by task, and a picture of every task.

    KERAS_BACKEND=jax python benchmarks/ten_tasks.py --out build/ten_tasks_jax

Fine-tunes the shipped tokenizer and trains a transformer of ten tasks in `--out`; started again it goes on. Prints the
loss of each task in the first and the last epoch, and writes `tasks.png` (first row: the condition; second: made;
third: true) and `tasks.gif`. Exit status 1 where a task's loss did not fall.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from heading import heading

import magvit_keras as mk
from magvit_keras import visualize
from magvit_keras.checks import to_float
from magvit_keras.commit.tasks import TASKS
from magvit_keras.data import MovingShapes
from magvit_keras.demo import DEMO_SHAPES
from magvit_keras.model.magvit import Magvit

SHAPES = {"num_frames": 8, "size": (32, 32), **DEMO_SHAPES}


def train(out: pathlib.Path, clips: int, tokenizer_steps: int, transformer_steps: int, epoch: int) -> Magvit:
    """Trains small models for all tasks in `out`, or goes on there."""
    return mk.train(
        MovingShapes(clips, **SHAPES),
        out,
        verbose=2,
        num_frames=8,
        size=(32, 32),
        tasks=tuple(TASKS),
        tokenizer="3dvq_moving_shapes",
        transformer={"num_layers": 4, "hidden_size": 128, "num_heads": 4, "mlp_dim": 512, "dropout": 0.0},
        tokenizer_steps=tokenizer_steps,
        transformer_steps=transformer_steps,
        checkpoint_steps=epoch,
        token_passes=1,
        changes={"tokenizer.learning_rate": 1e-4, "transformer.learning_rate": 1e-3},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--tokenizer-steps", type=int, default=50)
    parser.add_argument("--transformer-steps", type=int, default=300)
    parser.add_argument("--epoch", type=int, default=50, help="its length in steps")
    options = parser.parse_args()
    magvit = train(**vars(options))
    picture(magvit, options.out)
    history = json.loads((options.out / "history.json").read_text())["transformer"]
    print("\n" + heading(f"{len(history['loss'])} epochs of {options.epoch} steps") + "\n")
    print("| task | loss, first epoch | last epoch | accuracy, first epoch | last epoch |\n|---|---|---|---|---|")
    fell = []
    for task in TASKS:
        loss, accuracy = (history[f"{task}_{name}"] for name in ("loss", "accuracy"))
        print(f"| {task} | {loss[0]:.3f} | {loss[-1]:.3f} | {accuracy[0]:.1%} | {accuracy[-1]:.1%} |")
        fell.append(loss[-1] < loss[0])
    return 0 if all(fell) else 1


def picture(magvit: Magvit, out: pathlib.Path) -> None:
    """What every task makes of one held-out clip."""
    sample = MovingShapes(len(TASKS), split="validation", **SHAPES)
    rows, names = [], []
    for index, task in enumerate(TASKS):
        clip = keras.ops.convert_to_numpy(to_float(sample[index]["video"][None]))
        label = sample[index]["label"] if TASKS[task].needs_class else None
        made = magvit.generate(task, video=clip, label=label, return_details=True)
        rows += [made.condition_video[0], made.video[0], clip[0]]
        names += [f"{task}: given", "made", "true"]
    visualize.save_png_strip(out / "tasks.png", np.stack(rows), labels=names, scale=2)
    visualize.save_gif(out / "tasks.gif", np.stack(rows), fps=8, columns=6, scale=3)


if __name__ == "__main__":
    sys.exit(main())
