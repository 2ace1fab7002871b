"""What it gains to keep freed memory in the process, on a CPU: train step and generate, without and with it.

    python benchmarks/allocator.py                      # all backends that are installed
    python benchmarks/allocator.py --backends torch

`mk.keep_memory()` keeps it. A small model, four layers of width 192, makes 4x16x16 tokens of 4096 codes: training steps
of a batch of 8, and four clips in 12 steps; PyTorch trains in bfloat16, the others, which are slower with it on most
CPUs, in float32. Processes without and with take turns; the fastest of each counts, and the table says between which
ratios the pairs lay. A whole run writes its table into docs/performance.md.
"""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from cells import BACKENDS, in_process, parser, report
from heading import heading
from page import table, write_part

import magvit_keras as mk

BATCH, CLIPS, PAIRS = 8, 4, 2
RUNS = {"train step": 6, "generate": 3}  # in each process; the first is not counted
PRECISION = {"jax": "float32", "tensorflow": "float32", "torch": "mixed_bfloat16"}  # in training


def measure(program: str, kept: bool) -> dict:
    """Seconds of a train step or of generate, the median of those after the first."""
    if kept and not mk.keep_memory():
        raise RuntimeError("This system's C library cannot be told to keep memory; glibc can.")
    import keras

    if program == "train step":
        keras.config.set_dtype_policy(PRECISION[keras.config.backend()])
    tokenizer = mk.VideoTokenizer.from_preset("3dvq_tiny_moving_shapes", load_weights=False)
    sizes = {"num_layers": 4, "hidden_size": 192, "num_heads": 3, "mlp_dim": 768, "dropout": 0.0}
    magvit = mk.Magvit(tokenizer, mk.MaskedTransformer(tokenizer.codebook_size, 36, (4, 16, 16), **sizes))
    run = training(magvit) if program == "train step" else generating(magvit)
    times = []
    for _ in range(RUNS[program]):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return {"seconds": sorted(times[1:])[len(times[1:]) // 2], "heading": heading()}


def training(magvit: Any) -> Callable[[], Any]:
    """A train step on made tokens."""
    import numpy as np

    magvit.tokenizer.trainable = False
    magvit.compile(optimizer="adam")
    rng, codes = np.random.default_rng(0), magvit.tokenizer.codebook_size
    batch = {
        "tokens": rng.integers(0, codes, (BATCH, *magvit.latent_shape)).astype("int32"),
        "condition_tokens": rng.integers(0, codes, (BATCH, len(magvit.tasks), *magvit.latent_shape)).astype("int32"),
        "label": np.arange(BATCH, dtype="int32"),
    }
    return lambda: magvit.train_on_batch(batch)


def generating(magvit: Any) -> Callable[[], Any]:
    """Frame prediction in 12 steps."""
    from magvit_keras.data import MovingShapes

    clips = MovingShapes(CLIPS, split="test", look="plain").arrays()["video"]
    return lambda: magvit.generate("frame_prediction", video=clips)


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.cell:
        report(measure(*json.loads(options.cell)))
        return
    rows, about = [], set()
    for program, backend in itertools.product(RUNS, options.backends):
        pairs = [[in_process(backend, [program, kept]) for kept in (False, True)] for _ in range(PAIRS)]
        about |= {cell["heading"] for pair in pairs for cell in pair}
        seconds = [[cell["seconds"] for cell in pair] for pair in pairs]
        given_back, kept = (min(times) for times in zip(*seconds, strict=True))
        ratios = [pair[0] / pair[1] for pair in seconds]
        between = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([program, backend, f"{given_back:.2f}", f"{kept:.2f}", f"{given_back / kept:.2f}", between])
        print(*rows[-1], flush=True)
    columns = ["program", "backend", "seconds", "with `keep_memory`", "times as fast", "of single pairs"]
    text = "\n".join([table(columns, rows, text_columns=2), "", *sorted(about)])
    print(text)
    if options.backends == list(BACKENDS):
        write_part("allocator", text)


if __name__ == "__main__":
    main()
