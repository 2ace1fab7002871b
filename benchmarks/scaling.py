"""Cost of the programs against clip length, resolution and batch: time and temporary memory, with fitted exponents.

    python benchmarks/scaling.py                             # on JAX; about four minutes on two cores
    python benchmarks/scaling.py --quick                     # a tiny model and few sizes, to see that it runs

One axis at a time, around a clip of 16x64x64 alone. The transformer has the paper's B size; the tokenizer has the form
of B at half its width, a quarter of its work. An exponent is the slope of a straight line through the points of the
logarithms: cost grows as size to that power. Memory is what the compiled program needs besides its arguments, as the
compiler says. Writes docs/images/scaling.png and the part of docs/performance.md.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import numpy as np
from cells import in_process, report
from heading import heading
from page import PAGE, table, write_part

#: Frames, height = width, clips.
AXES = {
    "frames": [(n, 64, 1) for n in (4, 8, 16, 32, 64)],
    "resolution": [(16, n, 1) for n in (32, 64, 96, 128)],
    "clips": [(16, 64, n) for n in (1, 2, 4, 8)],
}
QUICK = {"frames": [(4, 16, 1), (8, 16, 1)], "resolution": [(4, 16, 1), (4, 32, 1)], "clips": [(4, 16, 1), (4, 16, 2)]}
PROGRAMS = ("encode", "decode", "transformer")
REPEATS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        report(measure(json.loads(options.cell), options.quick))
        return
    axes = QUICK if options.quick else AXES
    found, about = {}, ""
    for program in PROGRAMS:
        points = sorted({point for places in axes.values() for point in places})
        measured = in_process("jax", [program, points], *(["--quick"] if options.quick else []))
        about = measured["heading"]
        found[program] = dict(zip(points, measured["rows"], strict=True))
        print(program, found[program], file=sys.stderr, flush=True)
    text = "\n".join([as_table(axes, found), "", about])
    print(text)
    if not options.quick:
        picture = PAGE.parent / "images" / "scaling.png"
        draw(axes, found, picture)
        write_part("scaling", f"![Seconds by frames, resolution and clips](images/{picture.name})\n\n{text}")


def measure(cell: list, quick: bool) -> dict:
    """Seconds and bytes of one program at all points."""
    program, points = cell
    return {"rows": [one(program, *point, quick) for point in points], "heading": heading()}


def one(program: str, frames: int, size: int, clips: int, quick: bool) -> list[float]:
    """Seconds, the least of a few, and bytes of temporary memory."""
    import jax
    import keras

    function, model, data = program_of(program, frames, size, clips, quick)

    def pure(values: list, data: jax.Array) -> jax.Array:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return function(data)

    values = [v.value for v in model.variables]
    compiled = jax.jit(pure).lower(values, data).compile()
    jax.block_until_ready(compiled(values, data))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(compiled(values, data))
        times.append(time.perf_counter() - began)
    return [min(times), compiled.memory_analysis().temp_size_in_bytes]


def program_of(program: str, frames: int, size: int, clips: int, quick: bool) -> tuple:
    """A function of data, its model, and data of that size."""
    import magvit_keras as mk

    rng = np.random.default_rng(0)
    latent = (frames // 4, size // 8, size // 8)
    if program == "transformer":
        sizes = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "mlp_dim": 32} if quick else {}
        model = mk.MaskedTransformer(1024, 101, latent, **sizes)
        return model.codebook_logits, model, rng.integers(0, 1024, (clips, model.sequence_length)).astype("int32")
    model = mk.VideoTokenizer(filters=8 if quick else 32, norm_groups=4 if quick else 32)
    if program == "encode":
        return model._encode, model, rng.random((clips, frames, size, size, 3), "float32")
    return model._decode, model, rng.integers(0, 1024, (clips, *latent)).astype("int32")


def exponent(sizes: list[int], costs: list[float]) -> float:
    """The slope of log cost over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _along(axis: str, places: list, costs: dict, what: int) -> tuple[list[int], list[float]]:
    index = {"frames": 0, "resolution": 1, "clips": 2}[axis]
    return [place[index] for place in places], [costs[place][what] for place in places]


def as_table(axes: dict, found: dict) -> str:
    """Costs at the ends of each axis, and the exponents."""
    rows = []
    for axis, places in axes.items():
        for program, costs in found.items():
            sizes, seconds = _along(axis, places, costs, 0)
            _, memory = _along(axis, places, costs, 1)
            rows.append([program, axis, f"{sizes[0]} to {sizes[-1]}", f"{seconds[0]:.2f} to {seconds[-1]:.2f}"])
            rows[-1] += [f"{exponent(sizes, seconds):.2f}", f"{memory[0] / 1e6:.0f} to {memory[-1] / 1e6:.0f}"]
            rows[-1].append(f"{exponent(sizes, memory):.2f}")
    columns = ["program", "along", "from", "seconds", "exponent of time", "memory, MB", "exponent of memory"]
    return table(columns, rows, text_columns=2)


def draw(axes: dict, found: dict, path: pathlib.Path) -> None:
    """A panel for each axis: seconds, and the fitted lines."""
    from magvit_keras.visualize.figures import COLOURS, new_figure

    figure, panels = new_figure(1, len(axes), (11, 3.8), sharey=True)
    names = {"frames": "frames of a clip", "resolution": "height and width, pixels", "clips": "clips in a batch"}
    for panel, (axis, places) in zip(panels[0], axes.items(), strict=True):
        for colour, (program, costs) in zip(COLOURS, found.items(), strict=False):
            sizes, seconds = _along(axis, places, costs, 0)
            slope = exponent(sizes, seconds)
            middle = math.exp(np.mean(np.log(seconds)) - slope * np.mean(np.log(sizes)))
            panel.plot(sizes, seconds, "o", color=colour)
            panel.plot(sizes, [middle * n**slope for n in sizes], color=colour, label=f"{program}: {slope:.2f}")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(sizes, [str(n) for n in sizes])
        panel.minorticks_off()
        panel.set_xlabel(names[axis])
        panel.legend(title="exponent of time", frameon=False)
    panels[0][0].set_ylabel("seconds")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
