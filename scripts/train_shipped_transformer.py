"""Trains the transformer of the shipped model `magvit_tiny_moving_shapes`, and writes the model into the package.

    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --tokens
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --stage part --steps 10500
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --stage window --steps 3000
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --stage whole --steps 500
    KERAS_BACKEND=torch python scripts/train_shipped_transformer.py --run runs/shipped --stage whole --ship

The first command encodes a clip of each training scene of the grid look, and what each task is given of it, by the
shipped tokenizer `3dvq_grid_shapes`.
The next two train on a quarter of each clip's tokens, which is quicker: scattered ones first, then those of a window,
whose neighbours tell more; the fourth trains on whole clips. All go on where they were. The last measures a stage's
checkpoint on held-out clips and writes weights and scores to `magvit_keras/presets/shipped/`. With `--from-shipped` a
stage starts from what is shipped; without, from the stage before it, or afresh where there was none.
"""

import argparse
import hashlib
import itertools
import json
import pathlib
import sys
import time

import keras
import numpy as np
from shipped_parts import CLIP, KernelMuon, curves, grow, history, note_plan, note_start, plans, shipped_transformer
from shipped_scores import LOOK, MODEL, a_prediction, scores

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.commit.masking import MaskedTokens
from magvit_keras.data.shapes import drawing as draw
from magvit_keras.data.shapes.grid import Scene, render_on_grid, scenes
from magvit_keras.data.shapes.moving_shapes import MOTIONS
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import atomic_path, write_text
from magvit_keras.model.magvit import Magvit, batch_of
from magvit_keras.presets.shipped import CHECKSUM_FILE, write_shipped
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.optimizers import warmup_cosine

TOKENIZER = "3dvq_grid_shapes"
EPOCH = 100
CHUNK = 36
FEWEST = 80  # clips of a class in a pass: its scenes come again where there are fewer. An orbit has 16
STAGES = {"part": 0.01, "window": 0.006, "whole": 0.003}  # in this order, with the highest learning rate
BATCH = {"part": 16, "window": 16, "whole": 4}
SPINS = {"part": 1, "window": 5, "whole": 3}  # times as many clips of what spins: each phase shows other pieces
SPIN = MOTIONS.index("spin")
PART = 256  # tokens of a clip
HARDEST = "class_conditional_generation"  # nothing is given
OFTEN = 8.0  # how often it is drawn; 1 for each other task


class LearnsFromSome(Magvit):
    """Reads the prefix and PART of the tokens of each clip, others in each step, as if the clip had no more."""

    def losses_and_logs(self, data, training):
        batch = batch_of(data)
        prefix, masked, task = self._masked(batch)
        kept = self._kept(keras.ops.reshape(batch["label"], (-1,)))  # (B, PART)
        masked = MaskedTokens(*(keras.ops.take_along_axis(field, kept, axis=1) for field in masked))
        embedding, before = self.transformer.embedding, prefix.shape[1]
        first = keras.ops.broadcast_to(keras.ops.arange(before, dtype="int32"), (kept.shape[0], before))
        places = keras.ops.concatenate([first, kept + before], axis=1)
        rows = keras.ops.take(keras.ops.convert_to_tensor(embedding.positions), places, axis=0)
        x = embedding._embed(keras.ops.concatenate([prefix, masked.ids], axis=1), rows, None, training)
        for block in self.transformer.blocks:
            x = block(x, training=training)
        return self._loss_and_logs(self.transformer._logits(x[:, before:], True), masked, task)


@keras.saving.register_keras_serializable("train_shipped")
class LearnsFromPart(LearnsFromSome):
    """The tokens lie anywhere, in all clips of a step at the same places."""

    def _kept(self, label):
        count = np.prod(self.transformer.latent_shape)
        kept = keras.ops.cast(keras.ops.argsort(self._uniform((int(count),)))[:PART], "int32")
        return keras.ops.broadcast_to(kept, (label.shape[0], PART))


@keras.saving.register_keras_serializable("train_shipped")
class LearnsFromWindow(LearnsFromSome):
    """The tokens are those of a window at all times; of a spin it is the middle, which shows the whole shape."""

    def _kept(self, label):
        times, rows, columns = self.transformer.latent_shape
        side = int((PART // times) ** 0.5)
        free = np.array([rows - side, columns - side])
        start = keras.ops.cast(self._uniform((label.shape[0], 2)) * (free + 1), "int32")
        start = keras.ops.where((label % len(MOTIONS) == SPIN)[:, None], keras.ops.cast(free // 2, "int32"), start)
        t, y, x = np.indices((times, side, side), "int32").reshape(3, 1, -1)
        inside = keras.ops.convert_to_tensor((t * rows + y) * columns + x)  # of the window at (0, 0)
        return inside + start[:, :1] * columns + start[:, 1:]


def model_with_tokenizer(kind: type[Magvit] = Magvit) -> Magvit:
    magvit = kind.from_preset(MODEL, load_weights=False)
    magvit.tokenizer.set_weights(VideoTokenizer.from_preset(TOKENIZER).get_weights())
    return magvit


def mark_of_tokens() -> str:
    """A hash of what makes the tokens: the shipped encoder and codes. The decoder may learn on."""
    tokenizer = VideoTokenizer.from_preset(TOKENIZER)
    weights = [*tokenizer.encoder.get_weights(), *tokenizer.quantizer.get_weights()]
    return hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest() + "\n"


def check_tokens(folder: pathlib.Path) -> None:
    """Refuses a folder whose tokens are not of the tokenizer that is shipped now."""
    mark = folder / CHECKSUM_FILE
    if not mark.exists() or mark.read_text() != mark_of_tokens():
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


def start_from_places(magvit: Magvit) -> None:
    """Gives places of the clip that lie near each other rows of the position table that are alike: slow waves."""
    table = magvit.transformer.embedding.positions
    rows = keras.ops.convert_to_numpy(table).copy()
    shape = magvit.transformer.latent_shape
    place = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), -1).reshape(-1, len(shape))
    waves = [f(np.pi * k * place[:, axis]) for axis in range(len(shape)) for k in range(1, 9) for f in (np.sin, np.cos)]
    rows[-len(place) :, : len(waves)] += 0.02 * np.stack(waves, -1)
    table.assign(rows.astype("float32"))


def training_scenes() -> list[tuple[int, Scene]]:
    """Each scene of the split "train" with its class: clips drawn at random repeat some, and miss half of the spins."""
    pairs = itertools.product(draw.SHAPES, MOTIONS)
    return [(label, scene) for label, pair in enumerate(pairs) for scene in scenes("train", *pair)]


def clip_of(label: int, scene: Scene) -> np.ndarray:
    shape, motion = list(draw.SHAPES)[label // len(MOTIONS)], MOTIONS[label % len(MOTIONS)]
    return render_on_grid(scene, shape, motion, CLIP[0], CLIP[1:])


def encode(options: argparse.Namespace) -> None:
    """Writes the tokens of the scenes in files of CHUNK clips; each of several processes writes its part."""
    folder, process, found = options.run / "tokens", options.process, training_scenes()
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("part-*.npz")):
        write_text(folder / CHECKSUM_FILE, mark_of_tokens())
    check_tokens(folder)
    magvit = model_with_tokenizer()
    began = time.monotonic()
    for part in range(process[0], -(-len(found) // CHUNK), process[1]):
        path = folder / f"part-{part:04d}.npz"
        if path.exists():
            continue
        chunk = found[part * CHUNK : (part + 1) * CHUNK]
        batch = {"video": np.stack([clip_of(*one) for one in chunk]), "label": np.array([label for label, _ in chunk])}
        tokens = magvit.tokenize(batch, batch_size=4)
        narrow = {name: array.astype("uint16") for name, array in tokens.items()}
        with atomic_path(path) as partial:
            np.savez(partial, **narrow)
        print(f"{part * CHUNK + len(chunk)} of {len(found)} clips, {time.monotonic() - began:.0f} s", flush=True)


def tokens_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    parts = [np.load(path) for path in sorted(folder.glob("part-*.npz"))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}


def even(tokens: dict[str, np.ndarray], spins: int) -> dict[str, np.ndarray]:
    """Tokens in which each class has FEWEST clips or a few more, or all of its scenes, and what spins has more."""
    times = -(-FEWEST // np.bincount(tokens["label"]))
    times[SPIN :: len(MOTIONS)] *= spins
    return {name: np.repeat(array, times[tokens["label"]], axis=0) for name, array in tokens.items()}


def stage_model(stage: str, options: argparse.Namespace) -> Magvit:
    """What is fitted in a stage, with its optimizer."""
    magvit = model_with_tokenizer({"part": LearnsFromPart, "window": LearnsFromWindow}.get(stage, Magvit))
    magvit.tokenizer.trainable = False
    magvit.task_weights = [OFTEN if name == HARDEST else 1.0 for name in magvit.tasks]
    schedule = warmup_cosine(options.learning_rate or STAGES[stage], options.steps, 100)
    magvit.compile(
        optimizer=KernelMuon(schedule, adam_lr_ratio=0.1, adam_beta_2=0.98, weight_decay=0.0, adam_weight_decay=0.0)
    )
    return magvit


def stage_before(options: argparse.Namespace) -> str | None:
    """The last stage before this one that has a checkpoint."""
    earlier = list(STAGES)[: list(STAGES).index(options.stage)]
    return next((name for name in reversed(earlier) if Checkpoint(options.run / name).read()), None)


def start(magvit: Magvit, options: argparse.Namespace) -> None:
    """Puts into a stage's model what it begins with."""
    if options.from_shipped:
        # Of the transformer alone: the shipped model's tokenizer may be an earlier one than that of the tokens.
        grow(magvit.transformer, shipped_transformer(MODEL))
        note_start(options.run / options.stage, MODEL)
    elif done := stage_before(options):
        before = stage_model(done, options)
        Checkpoint(options.run / done).restore(before)
        magvit.transformer.set_weights(before.transformer.get_weights())
    else:
        start_from_codes(magvit, options.seed)
        start_from_places(magvit)


def train(options: argparse.Namespace) -> None:
    folder = options.run / options.stage
    folder.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "scripts/train_shipped_transformer.py", *sys.argv[1:]])
    write_text(folder / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    check_tokens(options.run / "tokens")
    magvit = stage_model(options.stage, options)
    tokens = even(tokens_of(options.run / "tokens"), SPINS[options.stage])
    data = TokenBatches(tokens, BATCH[options.stage], options.seed, steps_per_epoch=EPOCH)
    checkpoint = Checkpoint(folder, data=data)
    note_plan(folder, EPOCH * checkpoint.read().get("epoch", 0), options.steps)
    if not checkpoint.read():
        start(magvit, options)
    magvit.fit(
        data,
        initial_epoch=checkpoint.restore(magvit),
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint],
        verbose=2,
    )


def ship(options: argparse.Namespace) -> None:
    check_tokens(options.run / "tokens")
    magvit = stage_model(options.stage, options)
    Checkpoint(options.run / options.stage).restore(magvit)
    alone = model_with_tokenizer()  # without the optimizer
    alone.transformer.set_weights(magvit.transformer.get_weights())
    stages, earlier = history(STAGES, options.stage, options.run)
    folder = write_shipped(alone, MODEL)
    count = len(tokens_of(options.run / "tokens")["tokens"])
    told = {
        "data": f"MovingShapes, a clip {CLIP} of each of the {count} scenes of the split 'train', look {LOOK!r}",
        "commands": {stage: (options.run / stage / "command.txt").read_text() for stage in stages},
        "steps": {stage: EPOCH * Checkpoint(options.run / stage).read()["epoch"] for stage in stages},
        "batch": {stage: BATCH[stage] for stage in stages},
        "seed": options.seed,
        "curves": {stage: curves(options.run / stage) for stage in stages},
        "hardware": f"two CPU cores, {keras.config.backend()}, {options.precision}",
        "date": time.strftime("%Y-%m-%d"),
        "licence": "Apache-2.0",
        **plans([options.run / stage for stage in stages]),
        "tokens_of_a_prediction": a_prediction(Magvit.from_preset(MODEL), LOOK),
        **scores(Magvit.from_preset(MODEL), options.held_out, LOOK),
        **({"earlier": earlier} if earlier else {}),
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps({name: value for name, value in told.items() if name != "tokens_of_a_prediction"}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--tokens", action="store_true", help="encode the training scenes")
    parser.add_argument("--process", type=int, nargs=2, default=(0, 1), help="encode part I of N, to share the work")
    parser.add_argument("--steps", type=int, default=10500, help="length of the stage")
    parser.add_argument("--stage", choices=STAGES, default="whole")
    parser.add_argument("--learning-rate", type=float, help="highest of the stage")
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
        encode(options)
        return
    keras.config.set_dtype_policy(options.precision)
    train(options)


if __name__ == "__main__":
    main()
