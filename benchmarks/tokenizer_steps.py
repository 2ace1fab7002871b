"""What a train step of a tokenizer costs, by preset and backend, on equal clips.

    python benchmarks/tokenizer_steps.py
    python benchmarks/tokenizer_steps.py --backends torch

The presets take their steps in turns, in one process of a backend. The first steps compile; of the others the fastest
counts.
"""

import json
import sys
import time

from cells import in_process, parser, report
from heading import heading
from page import kept_rows, table, write_part

PRESETS = ("3dvq_tiny", "3dvq_fast_tiny", "3dvq_fast_natural")
CLIPS, CLIP = 4, (16, 64, 64, 3)
REPEATS = 4


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.cell:
        report(measure(json.loads(options.cell)))
        return
    rows, about = kept_rows("tokenizer_steps", options.backends, column=0)
    for backend in options.backends:
        found = in_process(backend, list(PRESETS))
        seconds, about = found["seconds"], {*about, found["heading"]}
        rows.append([backend, *(f"{s:.2f}" for s in seconds), *(f"{seconds[0] / s:.1f}" for s in seconds[1:])])
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    fast = PRESETS[1:]
    columns = ["backend", *(f"`{name}`, s" for name in PRESETS), *(f"`{name}`, times as fast" for name in fast)]
    told = f"A step of {CLIPS} clips of {'x'.join(map(str, CLIP[:3]))}, reconstruction alone."
    write_part("tokenizer_steps", "\n".join([table(columns, rows), "", told, "", *sorted(about)]))


def measure(presets: list[str]) -> dict:
    """Seconds of a step of each preset."""
    import keras
    import numpy as np

    import magvit_keras as mk
    from magvit_keras.training.optimizers import tokenizer_optimizer

    if keras.config.backend() == "torch":
        mk.keep_memory()
    clips = np.random.default_rng(0).integers(0, 256, (CLIPS, *CLIP), "uint8")
    models = [mk.VideoTokenizer.from_preset(name, load_weights=False) for name in presets]
    times = [[] for _ in models]
    for model in models:
        model.compile(optimizer=tokenizer_optimizer(100))
        model.train_on_batch(clips)
    for _ in range(REPEATS):
        for model, found in zip(models, times, strict=True):
            start = time.perf_counter()
            model.train_on_batch(clips)
            found.append(time.perf_counter() - start)
    return {"seconds": [min(found) for found in times], "heading": heading()}


if __name__ == "__main__":
    main()
