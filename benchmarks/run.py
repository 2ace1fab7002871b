"""Speed of encode, decode, one transformer pass and generate, B size at 16x128x128, on every backend (Sec. 4.3).

    python benchmarks/run.py                                 # all backends that are installed, all programs
    python benchmarks/run.py --backends jax --programs decode

Prints one table. A program's effective rate is the work of the plain algorithm (the GFLOP that XLA counts for the
authors' code) over its time, as a share of the rate at which the same backend multiplies two large float32 matrices
in the same process, before and after each repetition. So a share compares across machines, and above 1 less work is
done than the plain algorithm asks for. Each cell runs in a process of its own; memory is that process' largest.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

BACKENDS = ("jax", "tensorflow", "torch")
#: XLA's count for the authors' code: encode, decode and transformer of one clip, B size.
GFLOP = {"encode": 348.2, "decode": 684.6, "transformer": 217.4}
GFLOP["generate"] = 12 * GFLOP["transformer"] + GFLOP["decode"]
#: What the authors' Flax code reaches on two CPU cores, as a share of the matrix product's rate.
FLAX = {"encode": 0.15, "decode": 0.18, "transformer": 0.46}
SIZE = 2048  # of the matrices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--programs", nargs="*", default=list(GFLOP), choices=list(GFLOP))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print("RESULT " + json.dumps(measure(options.cell, options.repeats)), flush=True)
        return
    rows, about = [], set()
    for backend in options.backends:
        for program in options.programs:
            found = run_cell(backend, program, options.repeats)
            about.add(found.pop("heading"))
            rows.append({"backend": backend, "program": program, **found})
            print(f"{backend} {program}: {found}", file=sys.stderr, flush=True)
    print(table(rows))
    print("\n" + "\n".join(sorted(about)))


def run_cell(backend: str, program: str, repeats: int) -> dict:
    """Measures one program in a fresh process."""
    command = [sys.executable, __file__, "--cell", program, "--repeats", str(repeats)]
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"{backend} {program} failed:\n{done.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def measure(program: str, repeats: int) -> dict:
    """Times one program and the matrix product in turns; the best of each."""
    import keras
    import numpy as np
    from heading import heading

    from magvit_keras import backend

    a = keras.ops.convert_to_tensor(np.random.default_rng(0).standard_normal((SIZE, SIZE), "float32"))
    holder = keras.layers.Identity()

    def product() -> None:
        to_host(backend.run_compiled(holder, "product", keras.ops.matmul, a, a))

    call, first = prepare(program)
    product()
    times, rates = [], []
    for _ in range(repeats):
        rates.append(2e-9 * SIZE**3 / min(seconds(product) for _ in range(3)))
        times.append(seconds(call))
    rates.append(2e-9 * SIZE**3 / min(seconds(product) for _ in range(3)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": min(times),
        "rate": max(rates),
        "share": GFLOP[program] / min(times) / max(rates),
        "first": first,
        "peak_gib": peak,
        "heading": heading(),
    }


def prepare(program: str) -> tuple:
    """The call to time, and the seconds of its first run, which compiles."""
    import keras
    import numpy as np

    import magvit_keras as mk

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if program in ("encode", "decode"):
        tokenizer = mk.VideoTokenizer.from_preset("3dvq_base_ucf101")
        video = rng.random((1, 16, 128, 128, 3), "float32")
        ids = rng.integers(0, 1024, (1, 4, 16, 16)).astype("int32")
        call = (
            (lambda: to_host(tokenizer.encode(video)))
            if program == "encode"
            else lambda: to_host(tokenizer.decode(ids))
        )
    elif program == "transformer":
        from magvit_keras import backend

        transformer = mk.MaskedTransformer.from_preset("transformer_base_ucf101")
        ids = rng.integers(0, 1024, (1, transformer.sequence_length)).astype("int32")
        call = lambda: to_host(backend.run_compiled(transformer, "logits", transformer.codebook_logits, ids))  # noqa: E731
    else:
        magvit = mk.Magvit.from_preset("magvit_base_ucf101_cg")
        call = lambda: magvit.generate(label=[0])  # noqa: E731
    return call, seconds(call)


def seconds(call: object) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def to_host(x: object) -> object:
    """Waits for the result."""
    import keras

    return keras.ops.convert_to_numpy(x)


def table(rows: list[dict]) -> str:
    lines = [
        "| backend | program | seconds | matrix product, GFLOP/s | effective rate | authors' Flax code | first call, s "
        "| memory, GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        flax = f"{FLAX[row['program']]:.2f}" if row["program"] in FLAX else f"{flax_of_generate():.2f}"
        lines.append(
            f"| {row['backend']} | {row['program']} | {row['seconds']:.2f} | {row['rate']:.0f} | {row['share']:.2f} | "
            f"{flax} | {row['first']:.1f} | {row['peak_gib']:.1f} |"
        )
    return "\n".join(lines)


def flax_of_generate() -> float:
    """Share of 12 steps and a decode at the Flax code's shares of each."""
    time_of = 12 * GFLOP["transformer"] / FLAX["transformer"] + GFLOP["decode"] / FLAX["decode"]
    return GFLOP["generate"] / time_of


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
