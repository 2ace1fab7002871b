"""Step time and memory of both train steps: by backend, precision, rematerialization and accumulation.

    python benchmarks/training.py                            # all backends that are installed; about half an hour
    python benchmarks/training.py --backends jax torch       # the rows of others stay as they are

The models have the form of the paper's B at a sixteenth of its size, so that a processor trains them. Each row is a
process of its own. Memory is by how much that process' largest memory exceeds what it held before the first step, the
compiler's own memory included; time is the fastest of the steps after the first. PyTorch's time is that of a second
process, which keeps freed memory (`mk.keep_memory`) and so needs more than the row says.
"""

import json
import os
import resource
import sys
import time

from cells import BACKENDS, in_process, parser, report
from heading import heading
from page import kept_rows, table, write_part

import magvit_keras as mk

#: Precision, remat, parts of a batch.
FORMS = (
    ("float32", "none", 1),
    ("float32", "blocks", 1),
    ("float32", "full", 1),
    ("float32", "none", 4),
    ("mixed_bfloat16", "none", 1),
)
STEPS = ("transformer", "tokenizer")
BATCH = {"tokenizer": 4, "transformer": 16}
REPEATS = 2


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.cell:
        report(measure(*json.loads(options.cell)))
        return
    rows, about = kept_rows("training", options.backends, column=1)
    for step in STEPS:
        # The tokenizer last on JAX, which compiles each form for a minute.
        for backend in reversed(options.backends):
            for form in FORMS:
                # Without this glibc keeps what was freed, and the largest memory says little.
                found = in_process(backend, [step, *form, False], MALLOC_TRIM_THRESHOLD_="0")
                if backend == "torch":
                    found["seconds"] = in_process(backend, [step, *form, True])["seconds"]
                about.add(found["heading"])
                dtype, remat, parts = form
                numbers = [f"{found['seconds']:.2f}", f"{found['bytes'] / 1e6:.0f}"]
                rows.append([step, backend, dtype.removeprefix("mixed_"), remat, str(parts), *numbers])
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
                write_part("training", as_text(rows, about))  # as it comes: the whole takes a while


def as_text(rows: list[list[str]], about: set[str]) -> str:
    """The table, and where it was measured."""
    columns = ["train step", "backend", "precision", "remat", "parts of a batch", "seconds a batch", "memory, MB"]
    models = (
        f"Tokenizer: 16 filters and discriminator, {BATCH['tokenizer']} clips of 8x64x64. Transformer: 12 layers of "
        f"width 192 on 4x8x8 tokens, dropout 0.1, {BATCH['transformer']} clips. PyTorch's times are with "
        "`keep_memory`, its memory without."
    )
    done = {(step, backend) for step, backend, *_ in rows}
    missing = [f"{step} on {backend}" for step in STEPS for backend in BACKENDS if (step, backend) not in done]
    left = ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    shown = sorted(rows, key=lambda row: row[:2])
    return "\n".join([table(columns, shown, text_columns=4), "", models, *left, "", *sorted(about)])


def measure(step: str, dtype: str, remat: str, parts: int, keep: bool) -> dict:
    """Steps of one form; the first compiles."""
    import keras

    if keep:
        mk.keep_memory()
    keras.config.set_dtype_policy(dtype)
    keras.utils.set_random_seed(0)
    model, data = (_tokenizer if step == "tokenizer" else _transformer)(remat, parts)
    before = _held()
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        model.fit(data, batch_size=BATCH[step] // parts, epochs=1, verbose=0)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": min(times[1:]), "bytes": peak - before, "heading": heading()}


def _held() -> int:
    """Memory of this process now, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _tokenizer(remat: str, parts: int) -> tuple:
    import numpy as np

    from magvit_keras.training.optimizers import tokenizer_optimizer

    tokenizer = mk.VideoTokenizer(filters=16, norm_groups=8, remat=remat)
    discriminator = mk.VideoDiscriminator(
        filters=8, channel_multipliers=(2, 4, 4, 4), video_shape=(8, 64, 64), remat=remat
    )
    model = mk.VQGAN(tokenizer, discriminator, perceptual_loss=None)
    model.compile(*(tokenizer_optimizer(100, gradient_accumulation_steps=parts) for _ in range(2)))
    return model, np.random.default_rng(0).random((BATCH["tokenizer"], 8, 64, 64, 3), "float32")


def _transformer(remat: str, parts: int) -> tuple:
    import numpy as np

    from magvit_keras.training.optimizers import transformer_optimizer

    shape = (4, 8, 8)
    sizes = {"num_layers": 12, "hidden_size": 192, "num_heads": 12, "mlp_dim": 768, "dropout": 0.1}
    transformer = mk.MaskedTransformer(1024, 2, shape, remat=remat, **sizes)
    tokenizer = mk.VideoTokenizer(filters=8, num_res_blocks=1, norm_groups=4)
    model = mk.Magvit(tokenizer, transformer, tasks=["frame_prediction"])
    model.compile(transformer_optimizer(100, gradient_accumulation_steps=parts))
    tokens = np.random.default_rng(0).integers(0, 1024, (BATCH["transformer"], *shape)).astype("int32")
    return model, {"tokens": tokens, "condition_tokens": tokens[:, None]}


if __name__ == "__main__":
    main()
