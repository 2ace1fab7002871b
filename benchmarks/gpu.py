"""Frames a second of `generate` on a GPU, B and L at 16x128x128, against the paper's figure and the card's roofline.

    python benchmarks/gpu.py                                 # JAX and PyTorch, B and L; needs a GPU
    python benchmarks/gpu.py --backends torch --batches 1 16
    python benchmarks/gpu.py --sizes tiny --any-device       # a tiny model on what is there, to see that it runs

A clip is class-conditional: 12 passes of the transformer, then the decoder, and the pixels copied to the host. The
roofline is the largest number of frames a second at which the card's matrix unit is always busy: the rate of a large
matrix product of the same precision, measured in the same process, over the operations of the plain algorithm. float32
on a GPU is TF32 in every product, of the model and of the roofline, and so is the row called. Each row is a process of
its own; one that fails, as for want of memory, says so in the table. The paper gives 37 frames a second on a V100
(Sec. 4.3). A whole run on a GPU, with none of the choices above, writes docs/performance.md.
"""

import json
import re
import sys
import time

from cells import in_process, parser, report
from heading import heading
from page import table, write_part

PAPER = 37.0
SIZES = {"B": "magvit_base_ucf101_cg", "L": "magvit_large_ucf101_cg", "tiny": "magvit_tiny_moving_shapes"}
DTYPES = ("float32", "mixed_bfloat16")
BACKENDS = ("jax", "torch")
BATCHES = (1, 8)
PAPER_SIZES = ("B", "L")
STEPS = 12
REPEATS = 5


def main() -> None:
    asked = parser(__doc__, BACKENDS)
    asked.add_argument("--sizes", nargs="*", default=list(PAPER_SIZES), choices=list(SIZES))
    asked.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    asked.add_argument("--precisions", nargs="*", default=list(DTYPES), choices=DTYPES)
    asked.add_argument("--any-device", action="store_true", help="runs without a GPU, too, and then only prints")
    options = asked.parse_args()
    if options.cell:
        report(measure(*json.loads(options.cell)))
        return
    rows, about, measured, error = [], set(), {}, ""
    for backend in options.backends:
        for size in options.sizes:
            for dtype in options.precisions:
                for batch in options.batches:
                    try:
                        # The traceback as it is: JAX would put a remark on it after the error.
                        cell = [size, dtype, batch, options.any_device]
                        found = in_process(backend, cell, JAX_TRACEBACK_FILTERING="off")
                    except RuntimeError as failure:
                        error = last_error(str(failure))
                        # As the rows before it say: what is float32 elsewhere is TF32 on a GPU.
                        precision = measured.get(backend, {}).get(dtype, dtype.removeprefix("mixed_"))
                        rows.append(failed_row(backend, size, precision, batch, error))
                    else:
                        about.add(found["heading"])
                        measured.setdefault(backend, {})[dtype] = found["precision"]
                        rows.append(row_of(backend, size, batch, found))
                    print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    if not measured:
        raise SystemExit(f"Every row failed, the last one so: {error}")
    columns = ["backend", "size", "precision", "batch", "frames/s", f"of the paper's {PAPER:.0f}", "roofline, frames/s"]
    columns += ["of the roofline", "GPU memory, GB"]
    text = "\n".join([table(columns, rows, text_columns=3), "", *sorted(about)])
    print(text)
    chosen = (options.backends, options.sizes, options.precisions, options.batches)
    whole = chosen == tuple(map(list, (BACKENDS, PAPER_SIZES, DTYPES, BATCHES)))
    # A backend that measured nothing is one that sees no GPU here.
    if whole and len(measured) == len(BACKENDS) and not options.any_device:
        write_part("gpu", text)


def row_of(backend: str, size: str, batch: int, found: dict) -> list[str]:
    """The cells of one measurement."""
    rate, limit = found["frames"] / found["seconds"], found["rate"] * 1e9 / found["flop"]
    memory = "-" if found["bytes"] is None else f"{found['bytes'] / 1e9:.1f}"
    return [
        *(backend, size, found["precision"], str(batch), f"{rate:.1f}"),
        *(f"{rate / PAPER:.1f} x", f"{limit:.1f}", f"{rate / limit:.2f}", memory),
    ]


def failed_row(backend: str, size: str, precision: str, batch: int, error: str) -> list[str]:
    """The cells of a measurement that did not come about."""
    text = f"failed: {error}".replace("|", "/")
    return [backend, size, precision, str(batch), text, *("-",) * 4]


def last_error(text: str) -> str:
    """The last line of an error in what a process has printed, or else its last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt): ", line)]
    return (errors or lines)[-1].strip()


def measure(size: str, dtype: str, batch: int, any_device: bool) -> dict:
    """Seconds of a batch, and the rate of a matrix product of the same precision."""
    import keras
    import numpy as np

    import magvit_keras as mk
    from magvit_keras.devices.hardware import accelerators

    kinds = accelerators(keras.config.backend())
    if not kinds and not any_device:
        raise SystemExit(f"{keras.config.backend()} sees no GPU here; --any-device measures anyway.")
    # Keras would put the arguments of a layer after the error's own line.
    keras.config.disable_traceback_filtering()
    precision = dtype.removeprefix("mixed_")
    if precision == "float32" and use_tf32(keras.config.backend()):
        precision = "tf32"
    keras.config.set_dtype_policy(dtype)
    keras.utils.set_random_seed(0)
    model = mk.Magvit.from_preset(SIZES[size], load_weights=False)
    labels = np.zeros(batch, "int32")

    def call() -> np.ndarray:
        return model.generate("class_conditional_generation", label=labels, num_steps=STEPS, max_batch_size=batch)

    call()  # compiles
    times = []
    for _ in range(REPEATS if kinds else 2):
        began = time.perf_counter()
        clips = call()
        times.append(time.perf_counter() - began)
    most = peak_bytes()  # before the matrices of the roofline are made
    shape = clips.shape[1:4]
    return {
        "seconds": min(times),
        "frames": batch * shape[0],
        "flop": operations(model.tokenizer.get_config(), model.transformer.get_config(), shape) / shape[0],
        "rate": product_rate(dtype.removeprefix("mixed_"), 8192 if kinds else 512),
        "bytes": most,
        "precision": precision,
        "heading": heading(kinds[0] if kinds else "no GPU"),
    }


def use_tf32(backend: str) -> bool:
    """Has float32 products on a GPU run under TF32, on all backends alike; False where there is no GPU.

    By default PyTorch's matrix products would be of full precision and its convolutions not, and JAX's all under TF32.
    """
    if backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # of no effect on a CPU
        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        if jax.default_backend() != "gpu":  # on a TPU the name stands for three products in bfloat16
            return False
        jax.config.update("jax_default_matmul_precision", "tensorfloat32")
        return True
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(True)
    return bool(tf.config.list_physical_devices("GPU"))


def operations(tokenizer_config: dict, transformer_config: dict, shape: tuple) -> float:
    """Floating point operations of a clip by the plain algorithm: the steps, and the decoder's part."""
    from magvit_keras.presets import estimates

    transformer = estimates.transformer_cost(transformer_config).macs
    tokenizer = estimates.tokenizer_cost(tokenizer_config, shape).macs
    # Of XLA's count for the authors' B model, 348.2 GFLOP encode and 684.6 decode.
    return 2.0 * (STEPS * transformer + tokenizer * 684.6 / (348.2 + 684.6))


def product_rate(dtype: str, size: int) -> float:
    """GFLOP/s of a product of two square matrices."""
    import keras

    from magvit_keras import backend

    holder = keras.layers.Identity()
    a = keras.ops.cast(keras.random.normal((size, size), seed=0), dtype)

    def call() -> None:
        # A number comes back, so that the product is waited for and not copied.
        keras.ops.convert_to_numpy(backend.run_compiled(holder, "product", _product_sum, a))

    call()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 2e-9 * size**3 * PRODUCTS / min(times)


#: Products of one measurement, one after the other, so that the wait for the host does not count.
PRODUCTS = 8


def _product_sum(a: object) -> object:
    import keras

    x = a
    for _ in range(PRODUCTS):
        x = keras.ops.matmul(x, a) * 0.01
    return keras.ops.sum(keras.ops.cast(x, "float32"))


def peak_bytes() -> int | None:
    """The most memory that the device has held, where the backend counts it."""
    import keras

    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    if keras.config.backend() == "jax":
        import jax

        counts = jax.devices()[0].memory_stats()
        return counts["peak_bytes_in_use"] if counts else None
    return None


if __name__ == "__main__":
    main()
