"""Trains the transformer of the shipped model `magvit_tiny_moving_shapes`, and writes the model into the package.

    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --tokens
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --steps 3000
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --ship

The first command encodes clips, and what each task is given of them, by the shipped tokenizer
`3dvq_tiny_moving_shapes`; the second trains; both go on where they were. The third measures the last checkpoint on
held-out clips and writes weights and scores to `magvit_keras/presets/shipped/`. A later training may start from what is
shipped: `--stage transformer_2 --from-shipped`, and `--stage transformer_2 --ship`.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import keras
import numpy as np
from shipped_parts import CLIP, LOOK, KernelMuon, curves

from magvit_keras.callbacks.checkpoint import Checkpoint, write_text
from magvit_keras.data import MovingShapes
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.hardware import keep_memory
from magvit_keras.magvit import Magvit
from magvit_keras.metrics.shapes_scores import shapes_accuracy, shapes_fvd
from magvit_keras.optimizers import warmup_cosine
from magvit_keras.presets.shipped import CHECKSUM_FILE, SHIPPED, write_shipped
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

NAME, TOKENIZER = "magvit_tiny_moving_shapes", "3dvq_tiny_moving_shapes"
EPOCH, BATCH = 100, 8
CHUNK = 36
FIRST_STAGE = "transformer"
LEARNING_RATE = 0.01
OFTEN = {"class_conditional_generation": 4.0}  # how often a task is drawn; 1 for the others. Nothing given is hardest.


def model_with_tokenizer() -> Magvit:
    magvit = Magvit.from_preset(NAME, load_weights=False)
    magvit.tokenizer.set_weights(VideoTokenizer.from_preset(TOKENIZER).get_weights())
    return magvit


def check_tokens(folder: pathlib.Path) -> None:
    """Refuses a folder whose tokens are not of the tokenizer that is shipped now."""
    mark = folder / CHECKSUM_FILE
    if not mark.exists() or mark.read_text() != (SHIPPED / TOKENIZER / CHECKSUM_FILE).read_text():
        raise ValueError(f"{folder} has no tokens of today's {TOKENIZER}: remove it and give --tokens first.")


def start_from_codes(magvit: Magvit, seed: int) -> None:
    """Gives codes that look alike rows of the token table that are alike: their vectors, turned at random."""
    table = magvit.transformer.embedding.tokens
    rows = keras.ops.convert_to_numpy(table).copy()
    codes = keras.ops.convert_to_numpy(magvit.tokenizer.quantizer.codebook)
    codes = (codes - codes.mean(0)) / codes.std()
    size, width = codes.shape[1], rows.shape[1]
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, size)))[0].T * (width / size) ** 0.5
    rows[: len(codes)] = 0.3 * rows[: len(codes)] + 0.02 * codes @ turn
    table.assign(rows.astype("float32"))


def encode(folder: pathlib.Path, count: int, seed: int, process: tuple[int, int] = (0, 1)) -> None:
    """Writes the tokens of `count` clips in files of CHUNK clips; each of several processes writes its part."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("part-*.npz")):
        write_text(folder / CHECKSUM_FILE, (SHIPPED / TOKENIZER / CHECKSUM_FILE).read_text())
    check_tokens(folder)
    magvit, source = model_with_tokenizer(), MovingShapes(count, CLIP[0], CLIP[1:], seed=seed, **LOOK)
    began = time.monotonic()
    for part in range(process[0], -(-count // CHUNK), process[1]):
        path = folder / f"part-{part:04d}.npz"
        if path.exists():
            continue
        clips = [source[i] for i in range(part * CHUNK, min(count, (part + 1) * CHUNK))]
        batch = {"video": np.stack([c["video"] for c in clips]), "label": np.array([c["label"] for c in clips])}
        tokens = magvit.tokenize(batch, batch_size=4)
        narrow = {name: array.astype("uint16") for name, array in tokens.items()}
        partial = folder / f"partial-{process[0]}.npz"
        np.savez(partial, **narrow)
        os.replace(partial, path)
        print(f"{(part + 1) * CHUNK} of {count} clips, {time.monotonic() - began:.0f} s", flush=True)


def tokens_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    parts = [np.load(path) for path in sorted(folder.glob("part-*.npz"))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}


def train(options: argparse.Namespace) -> None:
    folder = options.run / options.stage
    folder.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "scripts/train_shipped_transformer.py", *sys.argv[1:]])
    write_text(folder / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    check_tokens(options.run / "tokens")
    magvit = model_with_tokenizer()
    magvit.tokenizer.trainable = False
    magvit.task_weights = [OFTEN.get(name, 1.0) for name in magvit.tasks]
    schedule = warmup_cosine(LEARNING_RATE, options.steps, 100)
    magvit.compile(
        optimizer=KernelMuon(schedule, adam_lr_ratio=0.1, adam_beta_2=0.98, weight_decay=0.0, adam_weight_decay=0.0)
    )
    data = TokenBatches(tokens_of(options.run / "tokens"), BATCH, options.seed, steps_per_epoch=EPOCH)
    checkpoint = Checkpoint(folder, data=data)
    note_plan(folder, EPOCH * checkpoint.read().get("epoch", 0), options.steps)
    if not checkpoint.read():
        if options.from_shipped:
            # Of the transformer alone: the shipped model's tokenizer may be an earlier one than that of the tokens.
            magvit.transformer.set_weights(Magvit.from_preset(NAME).transformer.get_weights())
        else:
            start_from_codes(magvit, options.seed)
    magvit.fit(
        data,
        initial_epoch=checkpoint.restore(magvit),
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint],
        verbose=2,
    )


def note_plan(folder: pathlib.Path, step: int, steps: int) -> None:
    """Writes down how many steps the training is to have, and from which step on that holds."""
    path = folder / "plans.json"
    plans = json.loads(path.read_text()) if path.exists() else []
    if not plans or plans[-1][1] != steps:
        write_text(path, json.dumps([*plans, [step, steps]]))


def plan(folder: pathlib.Path) -> dict[str, str]:
    """What the learning rates followed, where that was changed on the way."""
    first, *changes = json.loads((folder / "plans.json").read_text())
    said = "".join(f", changed to {steps} after {step}" for step, steps in changes)
    return {"plan": f"made for {first[1]} steps{said}: learning rates as planned at the time"} if changes else {}


def ship(options: argparse.Namespace) -> None:
    check_tokens(options.run / "tokens")
    magvit = model_with_tokenizer()
    magvit.compile(optimizer=KernelMuon(LEARNING_RATE))
    stage = options.run / options.stage
    steps = EPOCH * Checkpoint(stage).restore(magvit)
    alone = model_with_tokenizer()  # without the optimizer
    alone.set_weights(magvit.get_weights())
    before = SHIPPED / NAME / "training.json"
    earlier = json.loads(before.read_text()) if options.stage != FIRST_STAGE else {}
    folder = write_shipped(alone, NAME)
    told = {
        "data": f"MovingShapes, {len(tokens_of(options.run / 'tokens')['tokens'])} clips {CLIP}, {LOOK}, all classes",
        "commands": {**earlier.get("commands", {}), options.stage: (stage / "command.txt").read_text()},
        "steps": {**earlier.get("steps", {}), options.stage: steps},
        "batch": BATCH,
        "seed": options.seed,
        "curves": {**earlier.get("curves", {}), options.stage: curves(stage)},
        "hardware": f"one to two CPU cores, {keras.config.backend()}, {options.precision}",
        "date": time.strftime("%Y-%m-%d"),
        "licence": "Apache-2.0",
        **plan(stage),
        "tokens_of_a_prediction": a_prediction(Magvit.from_preset(NAME)),
        **scores(Magvit.from_preset(NAME), options.held_out),
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps({name: value for name, value in told.items() if name != "tokens_of_a_prediction"}, indent=2))


def a_prediction(magvit: Magvit) -> list:
    """Tokens that a test compares on every backend."""
    sample = MovingShapes(1, CLIP[0], CLIP[1:], split="validation", **LOOK)[0]
    found = magvit.generate("frame_prediction", video=sample["video"][None], seed=0, return_details=True)
    return np.asarray(found.tokens)[0].tolist()


def scores(magvit: Magvit, count: int) -> dict:
    """Class accuracy of made clips, and for each task the PSNR to the true clip beside that of what it was given."""
    source = MovingShapes(count, CLIP[0], CLIP[1:], split="validation", **LOOK)
    clips = source.arrays()
    video, label = clips["video"].astype("float32") / 255, clips["label"]
    result: dict = {"held_out": f"{count} clips of the split 'validation'", "tasks": {}}
    for task in magvit.tasks.values():
        made, given = [], []
        for i in range(0, count, 12):
            options = {"label": label[i : i + 12]} if task.needs_class else {}
            options |= {} if task.name == "class_conditional_generation" else {"video": video[i : i + 12]}
            found = magvit.generate(task.name, **options, return_details=True, seed=i)
            made.append(found.video)
            given.append(found.condition_video)
        made = np.concatenate(made)
        entry = {"accuracy": float(shapes_accuracy(made, label)), "shapes_fvd": float(shapes_fvd(video, made))}
        if task.name != "class_conditional_generation":
            entry |= {"psnr_db": psnr(video, made), "condition_psnr_db": psnr(video, np.concatenate(given))}
        result["tasks"][task.name] = {name: round(value, 3) for name, value in entry.items()}
        print(task.name, result["tasks"][task.name], flush=True)
        if task.name == "frame_prediction":
            result["rivals"] = against_rivals(video, made, task.num_condition_frames)
            print(result["rivals"], flush=True)
    return result


def against_rivals(video: np.ndarray, made: np.ndarray, given: int) -> dict[str, dict[str, float]]:
    """PSNR of the frames after the given ones, and shapes-FVD of given and made frames, beside two simple ways."""
    last, before = video[:, given - 1 : given], video[:, given - 2 : given - 1]
    ahead = np.arange(1, video.shape[1] - given + 1, dtype="float32").reshape(1, -1, 1, 1, 1)
    ways = {
        "this model": made[:, given:],
        "repeating the last frame": np.repeat(last, ahead.size, axis=1),
        "linear extrapolation": np.clip(last + ahead * (last - before), 0, 1),
    }
    result = {}
    for name, frames in ways.items():
        whole = np.concatenate([video[:, :given], frames], axis=1)
        entry = {"psnr_db": psnr(video[:, given:], frames), "shapes_fvd": float(shapes_fvd(video, whole))}
        result[name] = {key: round(value, 3) for key, value in entry.items()}
    return result


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of the error of all clips together: where a shape stays in the given part, a padded plain clip has no error."""
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--tokens", action="store_true", help="encode the clips")
    parser.add_argument("--clips", type=int, default=1080, help="training clips")
    parser.add_argument("--process", type=int, nargs=2, default=(0, 1), help="encode part I of N, to share the work")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--stage", default=FIRST_STAGE, help="folder of the checkpoints in RUN")
    parser.add_argument("--from-shipped", action="store_true", help="start from the shipped weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=72, help="clips to measure on")
    parser.add_argument("--precision", default="mixed_bfloat16", help="a policy of Keras, for the training")
    parser.add_argument("--ship", action="store_true", help="write the model into the package")
    options = parser.parse_args()
    if keras.config.backend() == "torch":
        keep_memory()
    keras.utils.set_random_seed(options.seed)
    if options.ship:
        ship(options)
        return
    if options.tokens:
        encode(options.run / "tokens", options.clips, options.seed, options.process)
        return
    keras.config.set_dtype_policy(options.precision)
    train(options)


if __name__ == "__main__":
    main()
