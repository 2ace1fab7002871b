"""How long a training will take on this machine, measured in a few steps on models that are thrown away."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from magvit_keras.data import Source, UnreadableVideo
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.recipes import Recipe

#: Clips that `--minutes` chooses among, the best first: (T, H, W).
SHAPES = ((16, 128, 128), (16, 64, 64), (8, 64, 64), (8, 32, 32))
# Steps of the tokenizer below which larger clips are not worth it.
_ENOUGH = 1000
# Parts of the time for the two stages; the rest is for tokens and starting.
_PARTS = (0.6, 0.3)
_PARTS_OF_DECODER_ONLY = (0.3, 0.6)


def step_seconds(model: keras.Model, recipe: Recipe, steps: int = 2) -> float:
    """Seconds of a step of a compiled model on random clips or tokens; the model is changed.

    Args:
        model: a tokenizer, a `VQGAN`, or a `Magvit`.
        recipe: says how many clips of what size.
        steps: measured after a first one, which compiles.
    """
    count = min(recipe.batch_size, 4)
    batch = _tokens(model, count) if isinstance(model, Magvit) else _clips(recipe, count)
    model.train_on_batch(batch)
    start = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(batch)
    return (time.perf_counter() - start) / steps * recipe.batch_size / count


def reading_seconds(source: Source, recipe: Recipe, workers: int, clips: int = 8) -> float:
    """Seconds by which reading its clips lengthens a step of a tokenizer's training.

    Workers read beside the training, on the same processor.

    Args:
        source: of the clips.
        recipe: says how many a step takes.
        workers: processes that read.
        clips: how many are read, one after the other.
    """
    for epoch in (0, 1):  # at first each file is looked through, once
        start = time.perf_counter()
        for index in range(clips):
            with contextlib.suppress(UnreadableVideo):
                source.read(index * len(source) // clips, epoch)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (time.perf_counter() - start) / clips * recipe.batch_size / min(cores, max(1, workers) + 1)


def copy_of(magvit: Magvit) -> Magvit:
    """A model of the same sizes, compiled alike, with weights of its own."""
    made = Magvit.from_config(magvit.get_config())
    made.compile(optimizer=type(magvit.optimizer).from_config(magvit.optimizer.get_config()))
    return made


def chosen_shape(pixels: int, seconds: float, budget: float, shapes: Iterable[tuple[int, int, int]] = SHAPES) -> Any:
    """The first of the sizes of clips for which the time allows steps enough, or the last.

    Args:
        pixels: of a clip that was measured.
        seconds: of a step of the tokenizer on such clips.
        budget: seconds of the whole training.
        shapes: to choose among, the best first.

    Example:
        >>> chosen_shape(16 * 64 * 64, seconds=2.0, budget=1800), chosen_shape(16 * 64 * 64, seconds=0.2, budget=1800)
        ((8, 64, 64), (16, 128, 128))
    """
    shapes = list(shapes)
    for shape in shapes:
        if _PARTS[0] * budget / (seconds * np.prod(shape) / pixels) >= _ENOUGH:
            return shape
    return shapes[-1]


def chosen_steps(seconds: tuple[float, float], budget: float, decoder_only: bool = False) -> tuple[int, int]:
    """Steps of the two stages for which the time is enough, in two digits.

    Args:
        seconds: of a step of each.
        budget: seconds of the whole training.
        decoder_only: whether the first stage trains a decoder alone, which asks for less.

    Example:
        >>> chosen_steps((0.5, 0.25), budget=1800)
        (2100, 2100)
    """
    parts = _PARTS_OF_DECODER_ONLY if decoder_only else _PARTS
    steps = [max(20, int(part * budget / each)) for part, each in zip(parts, seconds, strict=True)]
    return tuple(int(n // 10 ** (len(str(n)) - 2) * 10 ** (len(str(n)) - 2)) for n in steps)


def block_means_psnr(videos: np.ndarray, block: Iterable[int]) -> float:
    """PSNR in dB of clips whose blocks of pixels are replaced by their mean colour, without any learning.

    Args:
        videos: uint8 (B, T, H, W, 3), T, H and W multiples of the block's sides.
        block: (t, h, w), the pixels that share a token.

    Example:
        >>> clips = np.zeros((1, 1, 8, 8, 3), "uint8")
        >>> clips[..., :4, :] = 255
        >>> round(block_means_psnr(clips, (1, 8, 8)), 1), round(block_means_psnr(clips, (1, 4, 4)), 1)
        (6.0, 100.0)
    """
    t, h, w = block
    found = []
    for clip in videos:
        pixels = clip.astype("float32") / 255
        cells = pixels.reshape(len(clip) // t, t, clip.shape[1] // h, h, clip.shape[2] // w, w, 3)
        found.append(np.square(cells - cells.mean((1, 3, 5), keepdims=True)).mean())
    return float(np.mean(-10 * np.log10(np.maximum(found, 1e-10))))


def quality(scores: dict[str, float], videos: np.ndarray, tokenizer: Any, which: str) -> list[str]:
    """What to say of a trained tokenizer, and where it is poor, what to try next.

    Args:
        scores: what `evaluate` returned.
        videos: uint8 (B, T, H, W, 3), of which.
        tokenizer: a `VideoTokenizer`.
        which: what the videos are, in words.
    """
    blocks = block_means_psnr(videos, tokenizer.downsampling)
    ids = [keras.ops.convert_to_numpy(tokenizer.encode(videos[i : i + 8])).ravel() for i in range(0, len(videos), 8)]
    used, codes = len(np.unique(np.concatenate(ids))), tokenizer.codebook_size
    said = [
        f"{which}: PSNR {scores['psnr']:.1f} dB, squared error {scores['reconstruction_loss']:.4f}. As many blocks of "
        f"mean colour reach {blocks:.1f} dB; {used} of {codes} codes are used."
    ]
    if scores["psnr"] < blocks + 1:
        said.append(
            "That is poor: clips will look like patches. Next, train the tokenizer longer (--tokenizer-steps), on "
            "smaller clips (--size), or from trained weights; `magvit-keras doctor FOLDER` compares what there is."
        )
    elif used < 0.3 * min(codes, np.concatenate(ids).size):
        said.append(
            "Few codes are used: next, try fewer (--set tokenizer.codebook_size=...), or --set quantizer=vq_ema."
        )
    return said


def memory_bytes() -> int:
    """The most memory that this process has used; 0 where the system does not tell (Windows)."""
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return 0


def _clips(recipe: Recipe, count: int) -> np.ndarray:
    shape = recipe.video_shape[1:] if recipe.kind == "image_tokenizer" else recipe.video_shape
    return np.random.default_rng(0).integers(0, 256, (count, *shape, 3), "uint8")


def _tokens(magvit: Magvit, count: int) -> dict[str, np.ndarray]:
    rng, grid = np.random.default_rng(0), magvit.transformer.latent_shape
    draw = lambda *shape: rng.integers(0, magvit.tokenizer.codebook_size, shape, "int32")  # noqa: E731
    label = np.zeros(count, "int32")
    return {"tokens": draw(count, *grid), "condition_tokens": draw(count, len(magvit.tasks), *grid), "label": label}
