"""Which activations of a model are kept for the backward pass, and which are computed again."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from magvit_keras import backend

#: "none" keeps all activations. "blocks" keeps the inputs of the residual or transformer blocks, for a third more work.
#: "full" keeps the inputs of whole levels, or of groups of transformer blocks, and of the blocks of one at a time, for
#: about two thirds more. The numbers are the same with all three.
REMATS = ("none", "blocks", "full")


def check_remat(remat: str) -> str:
    """Returns `remat`, or raises with the list of known ones."""
    if remat not in REMATS:
        raise ValueError(f"Unknown remat {remat!r}; expected one of {', '.join(REMATS)}.")
    return remat


def run_block(remat: str, block: keras.Layer, x: Any, **options: Any) -> Any:
    """`block(x, **options)`, whose inner activations are kept with "none" only."""
    if remat == "none":
        return block(x, **options)
    return backend.rematerialize(lambda x: block(x, **options), [block], x)


def run_level(remat: str, level: Callable[[Any], Any], layers: Sequence[keras.Layer], x: Any) -> Any:
    """`level(x)`, a function of several blocks that calls `layers`; with "full" only `x` is kept."""
    return backend.rematerialize(level, layers, x) if remat == "full" else level(x)
