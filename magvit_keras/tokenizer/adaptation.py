"""The start of a tokenizer's training from the data: principal components, k-means, the mean colour."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import to_float, to_numpy
from magvit_keras.layers import wavelet

#: Latents of which k-means learns the codes, its rounds, and latents that are compared with all codes at once.
_LATENTS, _ROUNDS, _ROWS = 2**16, 8, 2**11
#: Clips, or images, that are looked at at once.
_BATCH = 8


def adapt(tokenizer: Any, clips: Any, seed: int) -> None:
    """See `BaseTokenizer.adapt`."""
    clips = to_numpy(clips)
    clips = clips.reshape(-1, *clips.shape[-tokenizer.rank - 1 :])
    encoder, decoder, quantizer = tokenizer.encoder, tokenizer.decoder, tokenizer.quantizer
    if tokenizer.wavelet is not None:
        pixels = _mapped(lambda x: wavelet.fold(to_float(x) - 0.5, encoder.block), clips)
        directions, mean = _principal_components(pixels, tokenizer.embedding_dim)
        encoder.shortcut_conv.kernel.assign(directions.reshape(encoder.shortcut_conv.kernel.shape))
        encoder.conv_out.kernel.assign(np.zeros(encoder.conv_out.kernel.shape))
        encoder.conv_out.bias.assign(-mean @ directions)
    latents = _mapped(lambda x: backend.run_compiled(tokenizer, "latents", tokenizer.latents, to_float(x)), clips)
    if tokenizer.wavelet is None:
        mean = latents.mean(0)
        scale = 1 / max((latents - mean).std(), 1e-6)
        encoder.conv_out.kernel.assign(encoder.conv_out.kernel * scale)
        encoder.conv_out.bias.assign((encoder.conv_out.bias - mean) * scale)
        latents = (latents - mean) * scale
    if hasattr(quantizer, "codebook"):
        codes, counts = kmeans(latents, tokenizer.codebook_size, np.random.default_rng(seed))
        quantizer.codebook.assign(codes)
        if quantizer.moving:
            quantizer.counts.assign(counts)
    if tokenizer.wavelet is not None:
        codes = to_numpy(quantizer.lookup(quantizer.ids(latents)))
        matrix = np.linalg.lstsq(codes, pixels - mean, rcond=None)[0]  # (D, C)
        decoder.shortcut_conv.kernel.assign(matrix.reshape(decoder.shortcut_conv.kernel.shape))
    colour = np.mean([clip.reshape(-1, 3).mean(0) for clip in clips], axis=0) / (255 if clips.dtype == np.uint8 else 1)
    bias = np.zeros(decoder.conv_out.bias.shape)
    bias[:3] = colour if tokenizer.wavelet is None else (colour - 0.5) * wavelet.unit(tokenizer.wavelet)
    decoder.conv_out.bias.assign(bias)
    decoder.conv_out.kernel.assign(np.zeros(decoder.conv_out.kernel.shape))


def kmeans(latents: np.ndarray, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres (K, D) of latents (N, D), and how many latents are nearest to each (K,).

    Centres that lose all their latents move to random ones; where there are more centres than latents, some are equal.
    """
    latents = latents[rng.permutation(len(latents))[:_LATENTS]]
    centres = latents[np.arange(number) % len(latents)]
    for _ in range(_ROUNDS):
        half = 0.5 * np.square(centres).sum(1)
        parts = [latents[i : i + _ROWS] for i in range(0, len(latents), _ROWS)]
        nearest = np.concatenate([np.argmin(half - part @ centres.T, axis=1) for part in parts])
        counts = np.bincount(nearest, minlength=number)
        sums = np.stack([np.bincount(nearest, values, number) for values in latents.T], axis=1)
        random = latents[rng.integers(0, len(latents), number)]
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], random).astype("float32")
    return centres, counts


def _principal_components(rows: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (C, D) along which rows (N, C) vary most, scaled for the mean square 1; and the rows' mean (C,)."""
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))  # ascending
    values, vectors = values[::-1][:number], vectors[:, ::-1][:, :number]
    return vectors / max(np.sqrt(values.mean()), 1e-6), mean


def _mapped(fn: Callable, array: np.ndarray) -> np.ndarray:
    """`fn` of the array, some examples at a time, as rows (N, C)."""
    parts = [fn(array[i : i + _BATCH]) for i in range(0, len(array), _BATCH)]
    rows = [to_numpy(ops.cast(part, "float32")) for part in parts]
    return np.concatenate([part.reshape(-1, part.shape[-1]) for part in rows])
