"""The quantizers by name. All have `codebook_size`, `embedding_dim`, `ids(latents)`, `lookup(ids)` and the call."""

from typing import Any

import keras

from magvit_keras.tokenizer.finite_scalar_quantizer import FiniteScalarQuantizer
from magvit_keras.tokenizer.lookup_free_quantizer import LookupFreeQuantizer
from magvit_keras.tokenizer.quantizer import VectorQuantizer

#: "vq": codes learned by gradients (MAGVIT); "vq_ema": codes that are running means of their latents; "lfq": signs
#: (MAGVIT-v2); "fsq": rounding to levels.
QUANTIZERS = ("vq", "vq_ema", "lfq", "fsq")


def make_quantizer(
    quantizer: str,
    codebook_size: int | None,
    embedding_dim: int | None,
    fsq_levels: tuple[int, ...] | None,
    **losses: Any,
) -> keras.layers.Layer:
    """The quantizer of that name; sizes left as None are those that its kind implies.

    Args:
        quantizer: one of `QUANTIZERS`.
        codebook_size: by default 1024; the product of the levels for "fsq".
        embedding_dim: by default 256 for learned codes, the number of bits for "lfq" and of levels for "fsq".
        fsq_levels: by default (8, 5, 5, 5); for "fsq" alone.
        **losses: commitment_cost, entropy_loss_weight, entropy_temperature.

    Raises:
        ValueError: an unknown name, or sizes that contradict each other.
    """
    if quantizer not in QUANTIZERS:
        raise ValueError(f"Unknown quantizer {quantizer!r}; expected one of {', '.join(QUANTIZERS)}.")
    if fsq_levels is not None and quantizer != "fsq":
        raise ValueError(f'fsq_levels is for quantizer="fsq"; received {tuple(fsq_levels)} with {quantizer!r}.')
    if quantizer in ("vq", "vq_ema"):
        size, dim = codebook_size or 1024, embedding_dim or 256
        return VectorQuantizer(size, dim, moving=quantizer == "vq_ema", name="quantizer", **losses)
    if quantizer == "lfq":
        made = LookupFreeQuantizer(codebook_size or 1024, name="quantizer", **losses)
    else:
        made = FiniteScalarQuantizer(fsq_levels or (8, 5, 5, 5), name="quantizer")
    for name, given in (("codebook_size", codebook_size), ("embedding_dim", embedding_dim)):
        implied = getattr(made, name)
        if given not in (None, implied):
            raise ValueError(
                f"quantizer={quantizer!r} with these sizes implies {name}={implied}; received {given}. "
                f"Pass {name}=None to have it derived."
            )
    return made
