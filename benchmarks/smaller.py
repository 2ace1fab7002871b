"""An 8-bit transformer, and fewer decoding steps: what they save, and what they cost.

    python benchmarks/smaller.py                             # all backends that are installed
    python benchmarks/smaller.py --clips 16 --steps 4 12

Takes `magvit_tiny_moving_shapes` and clips of Moving Shapes that it has not seen. Agreement is the share of the tokens
that the 8-bit transformer makes as the other does, from the same seeds: of one pass its first choices, of `generate`
the tokens of the clips. PSNR is over the pixels that a task asks for.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from heading import heading
from page import table, write_part

BACKENDS = ("jax", "tensorflow", "torch")
PRESET = "magvit_tiny_moving_shapes"
TASKS = ("frame_prediction", "frame_interpolation", "central_outpainting", "central_inpainting")
STEPS = (4, 6, 8, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--clips", type=int, default=36)
    parser.add_argument("--steps", type=int, nargs="*", default=list(STEPS))
    parser.add_argument("--cell", choices=("quantize", "steps"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        found = quantized(options.clips) if options.cell == "quantize" else by_steps(options.clips, options.steps)
        print("RESULT " + json.dumps(found), flush=True)
        return
    rows, about = [], set()
    for backend in options.backends:
        found = in_process(backend, "quantize", options)
        about.add(found.pop("heading"))
        rows.append([backend, *(f"{value:.3g}" for value in found.values())])
        print(rows[-1], file=sys.stderr, flush=True)
    found = in_process(options.backends[0], "steps", options)
    about.add(found["heading"])
    columns = ["backend", "tokens as float32, one pass", "tokens as float32, generate", "MB float32", "MB int8"]
    text = [
        table([*columns, "generate float32, s", "generate int8, s"], rows),
        "",
        "Fewer decoding steps, float32:",
        "",
        table(found["columns"], found["rows"]),
        "",
        *sorted(about),
    ]
    write_part("smaller", "\n".join(text))


def in_process(backend: str, cell: str, options: argparse.Namespace) -> dict:
    """Measures in a fresh process."""
    command = [sys.executable, __file__, "--cell", cell, "--clips", str(options.clips)]
    command += ["--steps", *map(str, options.steps)]
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"{backend} {cell} failed:\n{done.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def _about() -> str:
    return heading(PRESET).replace(" --cell quantize", "").replace(" --cell steps", "")


def _model_and_clips(count: int) -> tuple:
    import magvit_keras as mk
    from magvit_keras.data import MovingShapes

    source = MovingShapes(count, 16, (64, 64), split="test", occlusion=0.0, texture=0.15)
    arrays = source.arrays(limit=count)
    return mk.Magvit.from_preset(PRESET), arrays["video"], arrays["label"]


def _timed(model: object, **options: object) -> tuple:
    model.generate("frame_prediction", **options)  # compiles
    start = time.perf_counter()
    made = model.generate("frame_prediction", return_details=True, **options)
    return made.tokens, time.perf_counter() - start


def quantized(count: int) -> dict:
    """Agreement, memory and time of the 8-bit transformer."""
    import keras
    import numpy as np

    model, clips, _ = _model_and_clips(min(count, 8))
    options = {"video": clips, "num_steps": 12, "seed": 0}
    ids = np.random.default_rng(0).integers(0, 1024, (8, model.transformer.sequence_length)).astype("int32")

    def first_choices() -> np.ndarray:
        return keras.ops.convert_to_numpy(model.transformer.codebook_logits(ids)).argmax(-1)

    def megabytes() -> float:
        kinds = [keras.backend.standardize_dtype(w.dtype) for w in model.transformer.weights]
        sizes = [int(np.prod(w.shape)) for w in model.transformer.weights]
        return sum(n * (1 if kind == "int8" else 4) for n, kind in zip(sizes, kinds, strict=True)) / 1e6

    choices, size = first_choices(), megabytes()
    tokens, seconds = _timed(model, **options)
    model.transformer.quantize("int8")
    few_choices, few_size = first_choices(), megabytes()
    few_tokens, few_seconds = _timed(model, **options)
    return {
        "choices": float((choices == few_choices).mean()),
        "tokens": float((tokens == few_tokens).mean()),
        "megabytes": size,
        "megabytes_int8": few_size,
        "seconds": seconds,
        "seconds_int8": few_seconds,
        "heading": _about(),
    }


def by_steps(count: int, steps: list[int]) -> dict:
    """PSNR of the tasks that have an answer, and the classifier's scores of class-conditional clips."""
    import numpy as np

    from magvit_keras.commit.conditions import condition_plan
    from magvit_keras.metrics import shapes_accuracy, shapes_fvd

    model, clips, labels = _model_and_clips(count)
    real = np.asarray(clips, "float32") / (255.0 if clips.dtype == np.uint8 else 1.0)
    rows = []
    for number in steps:
        cells, seconds = [], 0.0
        for name in TASKS:
            task = model.tasks[name]
            given = np.asarray(condition_plan(task, model.video_shape, model.latent_shape).is_condition)
            start = time.perf_counter()
            made = model.generate(name, video=clips, num_steps=number, seed=0)
            seconds += time.perf_counter() - start
            asked = ~given if given.shape == made.shape[1:4] else np.ones(made.shape[1:4], bool)
            error = np.square(made - real)[:, asked].mean(axis=(1, 2))
            cells.append(f"{np.mean(-10 * np.log10(np.maximum(error, 1e-10))):.2f}")
        made = model.generate("class_conditional_generation", label=labels, num_steps=number, seed=0)
        accuracy = shapes_accuracy(made, labels, model.class_names)
        scores = [f"{accuracy.value:.3f}", f"{shapes_fvd(real, made).value:.1f}"]
        rows.append([str(number), *cells, *scores, f"{seconds:.1f}"])
    columns = ["steps", *(f"PSNR {name.replace('_', ' ')}" for name in TASKS), "shapes_accuracy", "shapes_fvd"]
    return {"columns": [*columns, "seconds of the four tasks"], "rows": rows, "heading": _about()}


if __name__ == "__main__":
    main()
