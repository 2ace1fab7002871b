"""What each hand-made CPU form gains end to end: B size at 16x128x128, one clip, with the form and without it.

    python benchmarks/forms.py                      # all backends that are installed
    python benchmarks/forms.py --backends torch

A form stays in the package only if its program is at least 10 % faster with it. The processes with and without take
turns; in each the fastest repetition counts, and the table says between which ratios the pairs lay. The rows go into
docs/performance.md, where those of other backends stay.
"""

import json
from collections.abc import Callable

from cells import BACKENDS, in_process, parser, report
from heading import heading
from page import kept_rows, table, write_part
from run import prepare, seconds

PAIRS, REPEATS = 2, 5
#: (form, backends, programs)
FORMS = (
    ("fewer products over time", BACKENDS, ("encode", "decode")),
    ("3D convolutions as sums of 2D ones", ("jax",), ("encode", "decode")),
    ("attention by heads", ("jax", "tensorflow"), ("transformer",)),
    ("LayerNorm of a sum in one pass", ("tensorflow",), ("transformer",)),
    ("GELU of quicker functions", ("torch",), ("transformer",)),
)


def take_away(form: str) -> None:
    """Puts what the backend itself has in the place of a form."""
    import keras

    from magvit_keras import backend
    from magvit_keras.backend import plain
    from magvit_keras.backend.forms import winograd

    if form == "fewer products over time":
        winograd.frames_at_once = lambda x, kernel: 0
    elif form == "3D convolutions as sums of 2D ones":
        from magvit_keras.backend.forms import jax_convolution

        jax_convolution.convolve_on_cpu = jax_convolution.convolve
    elif form == "attention by heads":
        backend.attention = lambda query, key, value, scale, causal: None
    elif form == "LayerNorm of a sum in one pass":
        backend.one_pass = plain.one_pass
    else:
        import magvit_keras.backend.torch as torch_backend

        torch_backend._gelu = lambda x: keras.ops.gelu(x, approximate=True)


def measure(form: str, program: str, with_it: bool) -> dict:
    """Seconds of the fastest repetition."""
    if not with_it:
        take_away(form)
    call: Callable[[], None] = prepare(program)[0]
    return {"seconds": min(seconds(call) for _ in range(REPEATS)), "heading": heading()}


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.cell:
        report(measure(*json.loads(options.cell)))
        return
    rows, about = [], set()
    cells = [(f, b, p) for f, backends, programs in FORMS for b in backends for p in programs if b in options.backends]
    for form, backend, program in cells:
        pairs = [[in_process(backend, [form, program, with_it]) for with_it in (False, True)] for _ in range(PAIRS)]
        about |= {cell["heading"] for pair in pairs for cell in pair}
        times = [[cell["seconds"] for cell in pair] for pair in pairs]
        without, with_it = (min(side) for side in zip(*times, strict=True))
        ratios = [pair[0] / pair[1] for pair in times]
        between = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([form, backend, program, f"{without:.2f}", f"{with_it:.2f}", f"{without / with_it:.2f}", between])
        print(*rows[-1], flush=True)
    kept, others = kept_rows("forms", options.backends, column=1)
    columns = ["form", "backend", "program", "seconds without", "with", "times as fast", "of single pairs"]
    text = "\n".join([table(columns, [*kept, *rows], text_columns=3), "", *sorted(about | others)])
    print(text)
    write_part("forms", text)


if __name__ == "__main__":
    main()
