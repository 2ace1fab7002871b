"""Parts of the trainings of the shipped models: optimizer, windows, a model without codes, and what is told of them."""

import copy
import json
import pathlib
from collections.abc import Iterable

import h5py
import keras
import numpy as np

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.checks import to_float
from magvit_keras.files import write_text
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.shipped import SHIPPED, shipped_weights
from magvit_keras.presets.transformers import MAGVITS
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

CLIP = (16, 64, 64)
EPOCH = 50  # batches
EARLIER = "earlier.json"  # of a stage that started from shipped weights: how those were made
CODES_SHARE = 20.0  # of the learning rate, for codes
GROUND = 0.3  # weight of `ground_spread`


@keras.saving.register_keras_serializable("train_shipped")
class KernelMuon(keras.optimizers.Muon):
    """Keras' Muon for kernels of any rank, taken as matrices (all inputs, all outputs); Adam for everything else."""

    def _should_use_adamw(self, variable):
        return variable.name != "kernel" or min(_as_matrix(variable.shape)) <= 3

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        # Codes are as large as the latents, and follow them faster than other weights move.
        share = CODES_SHARE if variable.name == "codebook" else 1.0
        super()._adamw_update_step(gradient, variable, learning_rate * share, m, v)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Makes the matrices of one shape orthogonal together: one by one, small products slow the whole step."""
        stacks = {}
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            if self.adam_velocities[index] is not None:
                self.update_step(gradient, variable, learning_rate)
                continue
            m = self.momentums[index]
            self.assign(m, m + (gradient - m) * (1 - self.momentum))
            shape = _as_matrix(variable.shape)
            matrix = keras.ops.reshape(gradient + self.momentum * (m - gradient), shape)
            stacks.setdefault(shape, []).append((variable, matrix))
        for (rows, columns), found in stacks.items():
            stack = keras.ops.stack([matrix for _, matrix in found])
            stack = keras.ops.cast(stack, keras.config.dtype_policy().compute_dtype)  # bfloat16 is exact enough here
            steps = keras.ops.cast(self.zeropower_via_newtonschulz5(stack, self.ns_steps), "float32")
            steps = steps * (learning_rate * max(1.0, rows / columns) ** 0.5)
            for i, (variable, _) in enumerate(found):
                self.assign_sub(variable, keras.ops.reshape(steps[i], variable.shape))


def _as_matrix(shape: tuple) -> tuple[int, int]:
    """Inputs and outputs of a kernel: (..., in, out), or of heads (width, heads, d) and (heads, d, width)."""
    size = int(np.prod(shape))
    outputs = size // shape[0] if len(shape) == 3 and shape[0] >= shape[-1] else shape[-1]
    return size // outputs, outputs


def ground_spread(pixels, latents):
    """How far the latents of patches that show the ground alone lie from their mean in the clip: squared, on average.

    An encoder tells, in the latents beside a shape and even far from it, of the shape. A transformer would have to
    learn all that. Where this is small, the ground has one code. The ground is the colour of the first pixel.
    """
    batch, *grid, width = latents.shape
    cells = [size // count for size, count in zip(pixels.shape[1:4], grid, strict=True)]
    differs = keras.ops.any(keras.ops.abs(pixels - pixels[:, :1, :1, :1]) > 0.01, axis=-1)
    differs = keras.ops.reshape(differs, (batch, grid[0], cells[0], grid[1], cells[1], grid[2], cells[2]))
    ground = keras.ops.cast(~keras.ops.any(differs, axis=(2, 4, 6)), "float32")[..., None]
    latents, axes = keras.ops.cast(latents, "float32"), (1, 2, 3)
    count = keras.ops.maximum(keras.ops.sum(ground, axes, keepdims=True), 1)
    mean = keras.ops.sum(ground * latents, axes, keepdims=True) / count
    return keras.ops.sum(ground * keras.ops.square(latents - mean)) / (keras.ops.sum(count) * width)


@keras.saving.register_keras_serializable("train_shipped")
class OneCodeForTheGround(VideoTokenizer):
    """Trained with a part of the loss that draws the latents of the ground together."""

    def reconstruct(self, pixels, training=False):
        latents = self.latents(pixels)
        quantized, ids, losses = self.quantizer(latents, training=training)
        losses["commitment"] = losses["commitment"] + GROUND * ground_spread(pixels, latents)
        return self.pixels(quantized), ids, losses


@keras.saving.register_keras_serializable("train_shipped")
class Autoencoder(keras.Model):
    """A tokenizer whose latents get noise instead of codes: so much of their root mean square, in training."""

    def __init__(self, tokenizer: keras.Model, noise: float):
        super().__init__()
        self.tokenizer, self.noise = tokenizer, noise

    def call(self, x, training=False):
        pixels = to_float(x)
        latents = self.tokenizer.latents(pixels)
        if isinstance(self.tokenizer, OneCodeForTheGround):
            self.add_loss(GROUND * ground_spread(pixels, latents))
        square = keras.ops.mean(keras.ops.square(keras.ops.cast(latents, "float32")))
        self.add_loss(0.003 * keras.ops.square(square - 1))
        if training and self.noise:
            scale = keras.ops.cast(self.noise * keras.ops.sqrt(square), latents.dtype)
            latents = latents + scale * keras.random.normal(latents.shape, dtype=latents.dtype)
        return keras.ops.cast(self.tokenizer.pixels(latents), "float32")


class Windows(keras.utils.PyDataset):
    """Random windows of random clips; seed, epoch and step decide which. `turned`: mirrored, transposed, backwards."""

    def __init__(
        self, clips: np.ndarray, window: tuple[int, int, int], batch: int, seed: int, pairs: bool, turned: bool
    ):
        super().__init__()
        self.pairs, self.turned = pairs, turned
        self.clips, self.window, self.batch, self.seed, self.epoch = clips, window, batch, seed, 0

    def __len__(self) -> int:
        return EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        found = np.stack([self._view(rng, index) for index in rng.integers(0, len(self.clips), self.batch)])
        found = found[:, 0] if self.window[0] == 1 else found
        return (found, found.astype("float32") / 255) if self.pairs else found

    def _view(self, rng: np.random.Generator, index: int) -> np.ndarray:
        starts = [rng.integers(0, size - w + 1) for size, w in zip(CLIP, self.window, strict=True)]
        clip = self.clips[index][tuple(slice(s, s + w) for s, w in zip(starts, self.window, strict=True))]
        if not self.turned:
            return clip
        for axis in range(3):
            if rng.random() < 0.5:
                clip = np.flip(clip, axis)
        return clip.transpose(0, 2, 1, 3) if rng.random() < 0.5 else clip


def grow(transformer: MaskedTransformer, smaller: MaskedTransformer) -> None:
    """Gives a transformer the weights of one with fewer blocks; those that are new change nothing until they learn.

    A new block adds zeros to what it is given and normalizes it. It was normalized before, so the gain and shift of
    the smaller one's last norm move to the end.
    """
    pairs = [(transformer.embedding, smaller.embedding), (transformer.output_head, smaller.output_head)]
    for new, old in [*pairs, *zip(transformer.blocks, smaller.blocks, strict=False)]:
        new.set_weights(old.get_weights())
    added = transformer.blocks[len(smaller.blocks) :]
    for block in added:
        for layer in (block.attention.out, block.mlp_out):
            layer.set_weights([np.zeros(weight.shape, "float32") for weight in layer.weights])
    if added:
        last = transformer.blocks[len(smaller.blocks) - 1].mlp_norm
        ones_and_zeros = added[-1].mlp_norm.get_weights()
        added[-1].mlp_norm.set_weights(last.get_weights())
        last.set_weights(ones_and_zeros)


def shipped_transformer(name: str) -> MaskedTransformer:
    """The transformer of the weights that are shipped, which may have fewer blocks than the preset is to have."""
    path = shipped_weights(name)
    with h5py.File(path) as file:
        blocks = len(file["layers/masked_transformer/blocks"])
    config = copy.deepcopy(MAGVITS[name]["config"])
    config["transformer"]["config"]["num_layers"] = blocks
    magvit = Magvit.from_config(config)
    magvit.load_weights(path)
    return magvit.transformer


def curves(folder: pathlib.Path) -> dict[str, list[float]]:
    """Losses by epoch, and the PSNR where there are codes, of a stage's checkpoint."""
    history = Checkpoint(folder).read()["history"]
    kept = [name for name in ("loss", "psnr", "mask_loss", "mask_accuracy") if name in history]
    return {name: [float(f"{value:.4g}") for value in history[name]] for name in kept}


def note_start(folder: pathlib.Path, name: str) -> None:
    """Keeps, for a stage that starts from shipped weights, how those were made: they may be shipped again meanwhile."""
    if not (folder / EARLIER).exists():
        write_text(folder / EARLIER, (SHIPPED / name / "training.json").read_text())


def note_plan(folder: pathlib.Path, step: int, steps: int) -> None:
    """Writes down how many steps the training is to have, and from which step on that holds."""
    path = folder / "plans.json"
    plans = json.loads(path.read_text()) if path.exists() else []
    if not plans or plans[-1][1] != steps:
        write_text(path, json.dumps([*plans, [step, steps]]))


def plans(folders: list[pathlib.Path]) -> dict[str, str]:
    """What the learning rates of the stages followed, where that was changed on the way."""
    told = []
    for folder in folders:
        first, *changes = json.loads((folder / "plans.json").read_text())
        said = "".join(f", changed to {steps} after {step}" for step, steps in changes)
        told += [f"{folder.name} made for {first[1]} steps{said}"] if changes else []
    return {"plan": f"{'; '.join(told)}: learning rates as planned at the time"} if told else {}


def history(order: Iterable[str], stage: str, run: pathlib.Path) -> tuple[list[str], dict]:
    """The stages behind a stage's weights, and how the weights were made that the first of them started from."""
    names = list(order)
    stages = [name for name in names[: names.index(stage) + 1] if Checkpoint(run / name).read()]
    for first in reversed(range(len(stages))):
        path = run / stages[first] / EARLIER
        if path.exists():
            before = json.loads(path.read_text())
            kept = ("data", "steps", "commands", "date", "plan", "curves", "earlier")
            return stages[first:], {key: before[key] for key in kept if key in before}
    return stages, {}
