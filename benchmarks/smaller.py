"""An 8-bit transformer, and fewer decoding steps: what they save, and what they cost.

    python benchmarks/smaller.py                             # all backends that are installed
    python benchmarks/smaller.py --clips 16 --steps 4 12
    python benchmarks/smaller.py --train 300                 # of a transformer that it trains first, for 300 steps

Takes `magvit_tiny_moving_shapes` and clips of Moving Shapes that it has not seen; another preset or folder by
`--preset`. Where the transformer has fresh weights, `--train` trains one, which is kept in build/smaller. Agreement is
the share of the tokens that the 8-bit transformer makes as the other does, from the same seeds: of one pass its first
choices, of `generate` the tokens of the clips. PSNR is over the pixels that a task asks for.
"""

import json
import pathlib
import shlex
import sys
import time

from cells import in_process, parser, report
from heading import heading
from page import table, write_part

import magvit_keras as mk

PRESET = "magvit_tiny_moving_shapes"
TRAINED = pathlib.Path(__file__).parents[1] / "build" / "smaller"
TASKS = ("frame_prediction", "central_inpainting")
STEPS = (4, 6, 8, 12)


def main() -> None:
    asked = parser(__doc__)
    asked.add_argument("--preset", default=PRESET)
    asked.add_argument("--train", type=int, default=0, help="steps")
    asked.add_argument("--note", help="a sentence about the preset, for the page")
    asked.add_argument("--clips", type=int, default=32)
    asked.add_argument("--steps", type=int, nargs="*", default=list(STEPS))
    options = asked.parse_args()
    if options.cell:
        mk.choose_backend()  # as notebooks do; PyTorch then keeps memory
        name, preset, *more = json.loads(options.cell)
        report({"quantize": quantized, "steps": by_steps, "train": trained}[name](preset, *more))
        return
    preset, about = options.preset, set()
    if options.train:
        note = in_process(options.backends[0], ["train", preset, options.train])["note"]
        preset = str(TRAINED)
    else:
        note = options.note or f"Of `{preset}`."
    rows = []
    for backend in options.backends:
        found = in_process(backend, ["quantize", preset, options.clips])
        about.add(found.pop("heading"))
        rows.append([backend, *(f"{value:.3g}" for value in found.values())])
        print(rows[-1], file=sys.stderr, flush=True)
    given = shlex.join(["python", "benchmarks/smaller.py", *sys.argv[1:]])
    about = {line.replace("`python benchmarks/smaller.py`", f"`{given}`") for line in about}
    write_part("smaller", as_text(note, rows, about, None, options.clips))
    found = in_process(options.backends[0], ["steps", preset, options.clips, options.steps])
    write_part("smaller", as_text(note, rows, about, found, options.clips))


def as_text(note: str, rows: list[list[str]], about: set[str], steps: dict | None, clips: int) -> str:
    """Both tables; the second one takes a while, and until then the page says that it is missing."""
    columns = ["backend", "tokens as float32, one pass", "tokens as float32, generate", "MB float32", "MB int8"]
    fewer = ["Fewer decoding steps: not measured yet."]
    if steps is not None:
        fewer = [f"Fewer decoding steps, float32, {clips} clips:", "", table(steps["columns"], steps["rows"])]
    text = [
        f"{note} Four clips at a time for the first table.",
        "",
        table([*columns, "generate float32, s", "generate int8, s"], rows),
        "",
        *fewer,
        "",
        *sorted(about),
    ]
    return "\n".join(text)


def trained(preset: str, steps: int) -> dict:
    """Trains the preset's transformer on tokens of generated clips and keeps it."""
    import keras
    import numpy as np

    from magvit_keras.training.optimizers import transformer_optimizer

    keras.utils.set_random_seed(0)
    note = f"Of `{preset}` with the tokenizer's own weights and a transformer that was trained for {steps} steps only."
    if TRAINED.is_dir():
        return {"note": note}
    model = mk.Magvit.from_preset(preset)
    clips = _clips(400, "train")
    model.compile(transformer_optimizer(steps, 2e-3))
    rng, batch = np.random.default_rng(0), 8
    for step in range(0, steps, 25):
        rows = [rng.choice(400, batch, replace=False) for _ in range(min(25, steps - step))]
        rows = np.concatenate(rows)
        data = {"video": clips["video"][rows], "label": clips["label"][rows]}
        logs = model.fit(data, batch_size=batch, epochs=1, verbose=0, shuffle=False).history
        print(step, {k: round(v[-1], 3) for k, v in logs.items() if "loss" in k}, file=sys.stderr, flush=True)
    model.save_to_preset(TRAINED)
    return {"note": note}


def _clips(count: int, split: str) -> dict:
    from magvit_keras.data import MovingShapes

    return MovingShapes(count, 16, (64, 64), split=split, look="grid").arrays(limit=count)


def _model_and_clips(preset: str, count: int) -> tuple:
    arrays = _clips(count, "test")
    return mk.Magvit.from_preset(preset), arrays["video"], arrays["label"]


def _timed(model: object, **options: object) -> tuple:
    call = lambda: model.generate("frame_prediction", return_details=True, **options)  # noqa: E731
    call()  # compiles
    start = time.perf_counter()
    made = call()
    return made.tokens, time.perf_counter() - start


def quantized(preset: str, count: int) -> dict:
    """Agreement, memory and time of the 8-bit transformer."""
    import keras
    import numpy as np

    model, clips, _ = _model_and_clips(preset, min(count, 4))
    options = {"video": clips, "num_steps": 12, "seed": 0}
    shape = (4, model.transformer.sequence_length)
    ids = np.random.default_rng(0).integers(0, model.transformer.codebook_size, shape).astype("int32")

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
        "heading": heading(),
    }


def by_steps(preset: str, count: int, steps: list[int]) -> dict:
    """PSNR of the tasks that have an answer, and the classifier's scores of class-conditional clips."""
    import numpy as np

    from magvit_keras.commit.conditions import condition_plan
    from magvit_keras.metrics import shapes_accuracy, shapes_fvd

    model, clips, labels = _model_and_clips(preset, count)
    real = np.asarray(clips, "float32") / (255.0 if clips.dtype == np.uint8 else 1.0)
    rows = []
    for number in steps:
        cells, seconds = [], None
        for name in TASKS:
            task = model.tasks[name]
            given = np.asarray(condition_plan(task, model.video_shape, model.latent_shape).is_condition)
            made = model.generate(name, video=clips, num_steps=number, seed=0)
            if seconds is None:  # the first call compiled
                start = time.perf_counter()
                model.generate(name, video=clips, num_steps=number, seed=0)
                seconds = time.perf_counter() - start
            asked = ~given if given.shape == made.shape[1:4] else np.ones(made.shape[1:4], bool)
            error = np.square(made - real)[:, asked].mean(axis=(1, 2))
            cells.append(f"{np.mean(-10 * np.log10(np.maximum(error, 1e-10))):.2f}")
        made = model.generate("class_conditional_generation", label=labels, num_steps=number, seed=0)
        accuracy = shapes_accuracy(made, labels, model.class_names)
        scores = [f"{accuracy.value:.3f}", f"{shapes_fvd(real, made).value:.1f}"]
        rows.append([str(number), *cells, *scores, f"{seconds:.1f}"])
    columns = ["steps", *(f"PSNR {name.replace('_', ' ')}" for name in TASKS), "shapes_accuracy", "shapes_fvd"]
    return {"columns": [*columns, f"seconds, {TASKS[0].replace('_', ' ')}"], "rows": rows, "heading": heading()}


if __name__ == "__main__":
    main()
