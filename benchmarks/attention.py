"""PyTorch's attention in training on a CPU, bfloat16: by the fused kernel, and with weights that are kept.

    python benchmarks/attention.py

Outputs and gradients of one layer. The ways take turns in one process, and the fastest time of each counts. Writes its
table into docs/performance.md.
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from heading import heading
from page import table, write_part

import magvit_keras as mk
from magvit_keras import backend
from magvit_keras.layers.transformer_block import SelfAttention

SIZES = [(1, 1026, 12), (8, 514, 3), (8, 1026, 3), (4, 1026, 12)]  # clips, tokens, heads of width 64
WAYS = {"fused": 0, "weights kept": 2**62}  # how many weights may be kept
TURNS = 6  # the first is not counted


def seconds(clips: int, tokens: int, heads: int) -> dict[str, float]:
    """The fastest time of each way."""
    layer = SelfAttention(heads, dtype="mixed_bfloat16")
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(clips, tokens, 64 * heads)), "bfloat16")
    layer.build(x.shape)

    def loss():
        return keras.ops.sum(keras.ops.square(layer(x, training=True))), ()

    times = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way, limit in WAYS.items():
            backend._chosen._FEW_WEIGHTS = limit
            began = time.perf_counter()
            backend.value_and_gradients(loss, layer.trainable_variables, [])
            times[way].append(time.perf_counter() - began)
    return {way: min(found[1:]) for way, found in times.items()}


def main() -> None:
    """Prints the table and writes it into the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    mk.keep_memory()
    rows = []
    for size in SIZES:
        with keras.device("cpu"):
            found = seconds(*size)
        weights = size[0] * size[2] * size[1] ** 2 / 1e6
        rows.append([*map(str, size), f"{weights:.0f}", *(f"{1000 * s:.0f}" for s in found.values())])
        rows[-1].append(f"{found['fused'] / found['weights kept']:.2f}")
        print(*rows[-1], flush=True)
    columns = ["clips", "tokens", "heads", "weights, millions", *(f"{way}, ms" for way in WAYS), "times as fast"]
    write_part("attention", table(columns, rows, text_columns=0) + "\n\n" + heading())


if __name__ == "__main__":
    main()
