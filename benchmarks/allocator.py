"""What it gains to keep freed memory in the process, on a CPU: a train step with and without `mk.keep_memory()`.

    python benchmarks/allocator.py                      # all backends that are installed
    python benchmarks/allocator.py --backends torch

Steps of the shipped transformer's training, a batch of 8: PyTorch in bfloat16, the others, which are slower with it on
most CPUs, in float32. A whole run writes its table into docs/performance.md.
"""

import json
import time

from cells import BACKENDS, in_process, parser, report
from heading import heading
from page import table, write_part

BATCH, STEPS = 8, 6
PRECISION = {"jax": "float32", "tensorflow": "float32", "torch": "mixed_bfloat16"}


def measure(kept: bool) -> dict:
    """Seconds of a train step, the median of those after the first."""
    import magvit_keras as mk

    if kept and not mk.keep_memory():
        raise RuntimeError("This system's C library cannot be told to keep memory; glibc can.")
    import keras
    import numpy as np

    keras.config.set_dtype_policy(PRECISION[keras.config.backend()])
    magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes", load_weights=False)
    magvit.tokenizer.trainable = False
    magvit.compile(optimizer="adam")
    rng, codes = np.random.default_rng(0), magvit.tokenizer.codebook_size
    batch = {
        "tokens": rng.integers(0, codes, (BATCH, *magvit.latent_shape)).astype("int32"),
        "condition_tokens": rng.integers(0, codes, (BATCH, len(magvit.tasks), *magvit.latent_shape)).astype("int32"),
        "label": np.arange(BATCH, dtype="int32"),
    }
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        magvit.train_on_batch(batch)
        times.append(time.perf_counter() - began)
    return {"seconds": sorted(times[1:])[len(times[1:]) // 2], "heading": heading()}


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.cell:
        report(measure(json.loads(options.cell)))
        return
    rows, about = [], set()
    for backend in options.backends:
        found = [in_process(backend, kept) for kept in (False, True)]
        about |= {cell["heading"] for cell in found}
        given_back, kept = (cell["seconds"] for cell in found)
        rows.append(
            [backend, PRECISION[backend], f"{given_back:.2f}", f"{kept:.2f}", f"{given_back / kept:.2f} times as fast"]
        )
    columns = ["backend", "precision", "step, s", "with `keep_memory`, s", "ratio"]
    text = "\n".join([table(columns, rows, text_columns=2), "", *sorted(about)])
    print(text)
    if options.backends == list(BACKENDS):
        write_part("allocator", text)


if __name__ == "__main__":
    main()
