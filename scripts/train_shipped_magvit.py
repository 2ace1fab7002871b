"""Trains the tokenizers for Moving Shapes that the package ships, and writes them into the package.

    for stage in image_autoencoder image_noise image video_noise video decoder adversarial; do
        KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage $stage
    done
    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage image --ship
    KERAS_BACKEND=torch python scripts/train_shipped_magvit.py --run runs/shipped --stage adversarial --ship

An autoencoder without codes learns several times as fast as one whose codes are still bad. So the 2D-VQ first learns
windows of frames without codes, then with noise on its latents as large as the error that codes will make; the codes
start as the k-means centres of the latents. The 3D-VQ is inflated from it, goes the same way, and last learns whole
clips against a discriminator. A command goes on where it was when it is given again; `--steps` says how long the stage
is to be, and the learning rate falls to zero there. With `--from-shipped` a stage starts from the weights that are
shipped, codes included, whatever came before. With `--look grid` the tokenizer is that of the grid look: the stage
`video_noise` is then the first, and starts from the shipped tokenizer of plain clips; a part of the loss draws the
latents of the ground together, and before the stage `decoder` codes that lie close together are parted. With `--ship`
a stage's model is measured on held-out clips and written to `magvit_keras/presets/shipped/`.
"""

import argparse
import json
import pathlib
import sys
import time

import keras
import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree
from shipped_parts import (
    CLIP,
    EPOCH,
    Autoencoder,
    KernelMuon,
    OneCodeForTheGround,
    Windows,
    curves,
    history,
    note_start,
)

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.checks import to_float
from magvit_keras.data import MovingShapes
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import atomic_path, write_text
from magvit_keras.presets.shipped import SHIPPED, write_shipped
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN
from magvit_keras.training.optimizers import tokenizer_optimizer, warmup_cosine

IMAGE_TOKENIZER, VIDEO_TOKENIZER = "2dvq_tiny_moving_shapes", "3dvq_tiny_moving_shapes"
GRID_TOKENIZER, GRID_FIRST = "3dvq_grid_shapes", "video_noise"
CENTRES_FROM = 100000  # latents
NEAR = 0.35  # distance of two codes that tell nothing different; the mean square of a latent is about 1 in each of 8
STAGES = {  # in this order
    "image_autoencoder": {"window": (1, 32, 32), "batch": 16, "steps": 1000, "learning_rate": 0.02},
    "image_noise": {"window": (1, 32, 32), "batch": 16, "steps": 2000, "learning_rate": 0.02, "noise": 0.5},
    "image": {"window": (1, 64, 64), "batch": 8, "steps": 800, "learning_rate": 0.002},
    "video_noise": {"window": (16, 32, 32), "batch": 4, "steps": 8000, "learning_rate": 0.02, "noise": 0.3},
    "video": {"window": CLIP, "batch": 2, "steps": 500, "learning_rate": 0.002},
    "decoder": {"window": CLIP, "batch": 2, "steps": 2000, "learning_rate": 0.005},
    "adversarial": {"window": CLIP, "batch": 2, "steps": 100, "learning_rate": 1e-4},
}


def preset_of(stage: str, look: str) -> tuple[type, str]:
    """Class and name of what a stage trains."""
    if look == "grid":
        return OneCodeForTheGround, GRID_TOKENIZER
    return (ImageTokenizer, IMAGE_TOKENIZER) if "image" in stage else (VideoTokenizer, VIDEO_TOKENIZER)


def start_preset(stage: str, options: argparse.Namespace) -> str | None:
    """Name of the shipped preset whose weights a stage starts from, if there is one."""
    if options.from_shipped:
        return preset_of(stage, options.look)[1]
    return VIDEO_TOKENIZER if options.look == "grid" and stage == GRID_FIRST else None


def rendered(folder: pathlib.Path, count: int, seed: int, look: str) -> np.ndarray:
    """The clips of the split "train", memory-mapped; rendered once."""
    path = folder / f"{look}_clips_{count}_{seed}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name("partial.npy")
        clips = np.lib.format.open_memmap(partial, "w+", "uint8", (count, *CLIP, 3))
        source = MovingShapes(count, CLIP[0], CLIP[1:], seed=seed, look=look)
        for index in range(count):
            clips[index] = source.read(index)["video"]
            if index % 1000 == 999:
                print(f"{index + 1} of {count} clips", flush=True)
        clips.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def held_out(count: int, look: str) -> np.ndarray:
    return MovingShapes(count, CLIP[0], CLIP[1:], split="validation", look=look).arrays()["video"]


def start(stage: str, options: argparse.Namespace) -> keras.Model:
    """The tokenizer that a stage trains, with the weights of the stage before it."""
    kind, name = preset_of(stage, options.look)
    model = kind.from_preset(name, load_weights=False)
    if first := start_preset(stage, options):
        shipped = kind.from_preset(first)
        model.encoder.set_weights(shipped.encoder.get_weights())
        model.decoder.set_weights(shipped.decoder.get_weights())
        if shipped.codebook_size == model.codebook_size:
            model.quantizer.set_weights(shipped.quantizer.get_weights())
    elif stage == "video_noise":
        image = ImageTokenizer.from_preset(IMAGE_TOKENIZER, load_weights=False)
        image.load_weights(options.run / "image" / "model.weights.h5")
        inflate(image, model)
    elif stage != "image_autoencoder":
        before = list(STAGES)[list(STAGES).index(stage) - 1]
        # Codes that are about to be replaced may be more or fewer than before.
        model.load_weights(options.run / before / "model.weights.h5", skip_mismatch=stage in ("image", "video"))
    return model


def compiled(stage: str, model: keras.Model, options: argparse.Namespace) -> keras.Model:
    """What is fitted in a stage, with its optimizer."""
    rate = options.learning_rate or STAGES[stage]["learning_rate"]
    if stage == "adversarial":
        discriminator = VideoDiscriminator.from_preset("discriminator_tiny_moving_shapes")
        vqgan = VQGAN(model, discriminator, perceptual_loss=None, decoder_only=True, ema_decay=0.98)
        vqgan.compile(*[tokenizer_optimizer(options.steps, rate, warmup_steps=5) for _ in range(2)])
        return vqgan
    schedule = warmup_cosine(rate, options.steps, 20)
    optimizer = KernelMuon(schedule, adam_lr_ratio=0.05, adam_beta_2=0.99, weight_decay=0.0, adam_weight_decay=0.0)
    if stage in ("image", "video", "decoder"):
        if stage == "decoder":
            model.encoder.trainable = model.quantizer.trainable = False
        model.compile(optimizer=optimizer)
        return model
    trained = Autoencoder(model, STAGES[stage].get("noise", 0.0))
    trained.compile(optimizer=optimizer, loss="mse")
    return trained


def latents_of(model: keras.Model, data: Windows) -> np.ndarray:
    """The latents of some batches, (CENTRES_FROM or a few more, D)."""
    latents, step = [], 0
    while sum(map(len, latents)) < CENTRES_FROM:
        found = keras.ops.convert_to_numpy(keras.ops.stop_gradient(model.latents(to_float(data[step]))))
        latents.append(found.reshape(-1, found.shape[-1]).astype("float32"))
        step += 1
    return np.concatenate(latents)


def start_codes(model: keras.Model, data: Windows, seed: int) -> None:
    """Puts the k-means centres of the latents of some batches into the codebook."""
    latents = latents_of(model, data)
    # Of the many latents of one flat colour few may be centres at first.
    _, different = np.unique(np.round(2 * latents), axis=0, return_index=True)
    first = latents[np.random.default_rng(seed).permutation(different)[: model.codebook_size]]
    centres, chosen = kmeans2(latents, first, iter=8, minit="matrix")
    model.quantizer.codebook.assign(centres.astype("float32"))
    variance, error = latents.var(0).mean(), np.mean((latents - centres[chosen]) ** 2)
    print(f"latents: variance {variance:.3f}, of that {error / variance:.2f} beside the centres", flush=True)


def part_codes(model: keras.Model, data: Windows, seed: int) -> None:
    """Of codes that lie close together the most used one stays; the others move to latents that are far from codes."""
    latents = latents_of(model, data)
    codes = keras.ops.convert_to_numpy(keras.ops.stop_gradient(model.quantizer.codebook[...])).copy()
    distance, chosen = cKDTree(codes).query(latents)
    stays: list[int] = []
    for code in np.argsort(-np.bincount(chosen, minlength=len(codes))):
        if not stays or np.linalg.norm(codes[stays] - codes[code], axis=1).min() > NEAR:
            stays.append(code)
    move = np.setdiff1d(np.arange(len(codes)), stays)
    odds = np.where(distance > NEAR, distance**2, 0)
    codes[move] = latents[np.random.default_rng(seed).choice(len(latents), len(move), False, odds / odds.sum())]
    model.quantizer.codebook.assign(codes)
    print(f"{len(move)} codes moved", flush=True)


def train(stage: str, options: argparse.Namespace) -> None:
    about, folder = STAGES[stage], options.run / stage
    folder.mkdir(parents=True, exist_ok=True)
    if first := start_preset(stage, options):
        note_start(folder, first)
    command = " ".join(["python", "scripts/train_shipped_magvit.py", *sys.argv[1:]])
    write_text(folder / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    pairs = stage.endswith(("autoencoder", "noise"))
    clips = rendered(options.run, options.clips, options.seed, options.look)
    data = Windows(clips, about["window"], about["batch"], options.seed, pairs, turned=options.look == "plain")
    checkpoint = Checkpoint(folder, data=data)
    model = start(stage, options)
    if stage in ("image", "video") and not options.from_shipped and not checkpoint.read():
        start_codes(model, data, options.seed)
    if stage == "decoder" and options.look == "grid" and not checkpoint.read():
        part_codes(model, data, options.seed)
    trained = compiled(stage, model, options)
    trained(np.zeros((1, *CLIP[1 if "image" in stage else 0 :], 3), "float32"))
    seen = held_out(36, options.look)[:, 0] if "image" in stage else held_out(16, options.look)
    began, before = time.monotonic(), checkpoint.read().get("epoch", 0)
    trained.fit(
        data,
        validation_data=(seen, seen.astype("float32") / 255) if pairs else seen,
        validation_batch_size=4,
        validation_freq=5,
        initial_epoch=checkpoint.restore(trained),
        epochs=-(-options.steps // EPOCH),
        callbacks=[checkpoint],
        verbose=2,
    )
    tokenizer = trained.ema_tokenizer if stage == "adversarial" else model
    alone = type(model).from_config(tokenizer.get_config())  # without the optimizer
    alone.set_weights(tokenizer.get_weights())
    with atomic_path(folder / "model.weights.h5") as partial:
        alone.save_weights(partial)
    print(f"{stage}: {checkpoint.read()['epoch'] - before} epochs in {time.monotonic() - began:.0f} s", flush=True)


def scores(stage: str, look: str) -> dict[str, str | float]:
    """PSNR and codes used of the shipped weights on held-out clips."""
    kind, name = preset_of(stage, look)
    shipped = kind.from_preset(name)
    shipped.compile()
    clips = held_out(144, look)
    clips = clips[:, 0] if stage == "image" else clips
    whole = shipped.evaluate(clips, batch_size=8, verbose=0, return_dict=True)
    first = shipped.evaluate(clips[:8], batch_size=8, verbose=0, return_dict=True)
    ids = [keras.ops.convert_to_numpy(shipped.encode(clips[i : i + 8])) for i in range(0, len(clips), 8)]
    return {
        "held_out": f"{len(clips)} clips of the split 'validation'",
        "psnr_db": round(float(whole["psnr"]), 2),
        "psnr_of_the_first_8_db": round(float(first["psnr"]), 3),
        "codes_used": f"{len(np.unique(ids))} of {shipped.codebook_size}",
    }


def measure(stage: str, look: str) -> None:
    """Updates the scores of what is shipped: its held-out clips are others than when it was."""
    path = SHIPPED / preset_of(stage, look)[1] / "training.json"
    told = json.loads(path.read_text()) | scores(stage, look)
    write_text(path, json.dumps(told, indent=2) + "\n")
    print(json.dumps({name: told[name] for name in ("held_out", "psnr_db", "codes_used")}))


def ship(stage: str, options: argparse.Namespace) -> None:
    kind, name = preset_of(stage, options.look)
    model = kind.from_preset(name, load_weights=False)
    model.load_weights(options.run / stage / "model.weights.h5")
    folder = write_shipped(model, name)
    stages, earlier = history(STAGES, stage, options.run)
    about = f"look {options.look!r}, all classes, split 'train', seed {options.seed}"
    told = {
        "data": f"MovingShapes, {options.clips} clips {CLIP}, {about}",
        "commands": {name: (options.run / name / "command.txt").read_text() for name in stages},
        "stages": {stage: {k: STAGES[stage][k] for k in ("window", "batch")} for stage in stages},
        "steps": {name: EPOCH * Checkpoint(options.run / name).read()["epoch"] for name in stages},
        "seed": options.seed,
        "curves": {name: curves(options.run / name) for name in stages},
        "hardware": f"one to two CPU cores, {keras.config.backend()}, {options.precision}",
        "date": time.strftime("%Y-%m-%d"),
        **scores(stage, options.look),
        "licence": "Apache-2.0",
        **({"earlier": earlier} if earlier else {}),
    }
    write_text(folder / "training.json", json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--look", choices=("plain", "grid"), default="plain", help="of the clips")
    parser.add_argument("--steps", type=int, help="length of the stage")
    parser.add_argument("--learning-rate", type=float, help="highest of the stage")
    parser.add_argument("--clips", type=int, default=6000, help="training clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="mixed_bfloat16", help="a policy of Keras")
    parser.add_argument("--from-shipped", action="store_true", help="start the stage from the shipped weights")
    parser.add_argument("--measure", action="store_true", help="measure the shipped weights again")
    parser.add_argument("--ship", action="store_true", help="write the stage's model into the package")
    options = parser.parse_args()
    if options.look == "grid" and list(STAGES).index(options.stage) < list(STAGES).index(GRID_FIRST):
        parser.error(f"--stage {options.stage}: with --look grid the first stage is {GRID_FIRST}")
    options.steps = options.steps or STAGES[options.stage]["steps"]
    if keras.config.backend() == "torch":
        keep_memory()
    keras.utils.set_random_seed(options.seed)
    if options.measure:
        measure(options.stage, options.look)
        return
    if options.ship:
        ship(options.stage, options)
        return
    keras.config.set_dtype_policy(options.precision)
    train(options.stage, options)


if __name__ == "__main__":
    main()
